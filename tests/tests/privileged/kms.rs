//! Keys in AWS KMS, as a server that others wrote has it, behind a front that checks every signature of a
//! request with botocore, fails each second time, and can lie.

use std::fs;

use earmark_tests::{
    Bench,
    aws::{REGION, Service, USER},
    facts::{
        fleet::ONLY_HTTPS,
        host::NEXT_STEP,
        signer::{BAD_SIGNATURE, ERROR, OTHER_PUBLIC_KEY},
    },
};

fn measured() -> Bench {
    let bench = Bench::new();
    bench.measure().must(0);
    bench
}

#[test]
fn privileged_kms_key_signs_and_a_wrong_kms_signature_is_refused() {
    let bench = measured();
    let service = Service::start(&bench);
    let by_arn = service.key("ed25519");
    let user = [&USER[..], &[REGION]].concat();
    for (key, public, algorithm) in [
        ("awskms:alias/p256", "first.pub", "p256"),
        (by_arn.as_str(), "second.pub", "ed25519"),
    ] {
        let half = ["public", "--key", key, "--out", public, "--json"];
        let half = service.earmark(&bench, &half, &user).must(0);
        assert_eq!(half.json()["algorithm"], algorithm);
    }
    let sign = [
        "sign",
        "OUT",
        "--key",
        "awskms:alias/p256",
        "--key",
        &by_arn,
    ];
    service.earmark(&bench, &sign, &user).must(0);
    let trust = [
        "trust",
        "--key",
        "first.pub",
        "--key",
        "second.pub",
        "--threshold",
        "2",
    ];
    bench
        .earmark(&[&trust[..], &["--out", "key.toml"]].concat())
        .must(0);
    let install = ["install", "OUT", "--root", "root", "--trust", "key.toml"];
    bench.earmark(&install).must(0);
    bench.verify().must(0);
    // The same service, but each signature is over something else.
    fs::remove_file(bench.path("OUT/manifest.json")).unwrap();
    let lied = [&user[..], &[("AWS_ENDPOINT_URL_KMS", service.url("liar"))]].concat();
    for key in ["awskms:alias/p256", &by_arn] {
        let refused = service.earmark(&bench, &["sign", "OUT", "--key", key], &lied);
        assert_ne!(refused.code, 0);
        BAD_SIGNATURE.must_be_in(&refused.err);
    }
    assert!(!bench.path("OUT/manifest.json").exists());
}

#[test]
fn privileged_kms_uses_the_standard_aws_credential_sources() {
    let bench = Bench::new();
    let service = Service::start(&bench);
    let arn = service.key("p256");
    let public = |key: &str, environment: &[(&str, &str)]| {
        service.earmark(&bench, &["public", "--key", key], environment)
    };
    let expected = public(&arn, &USER).must(0).out;
    let path = |name: &str| bench.path(name).display().to_string();
    // A profile.
    let (profile, token) = (path("credentials"), path("token"));
    let text =
        "[release]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = secret/of+the test\n";
    fs::write(&profile, text).unwrap();
    let named = [
        ("AWS_SHARED_CREDENTIALS_FILE", profile.as_str()),
        ("AWS_PROFILE", "release"),
    ];
    assert_eq!(public(&arn, &named).must(0).out, expected);
    // Web identity, as GitHub's OIDC gives it: STS takes the token for a session.
    fs::write(&token, "eyJhbGciOiJub25lIn0.eyJzdWIiOiJyZXBvIn0.c2ln").unwrap();
    let identity = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.as_str()),
        ("AWS_ROLE_ARN", "arn:aws:iam::000000000000:role/release"),
        ("AWS_ROLE_SESSION_NAME", "ci"),
        REGION,
    ];
    assert_eq!(public(&arn, &identity).must(0).out, expected);
    // The role of an instance.
    let role = [
        ("AWS_EC2_METADATA_DISABLED", "false"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.url("honest")),
    ];
    assert_eq!(public(&arn, &role).must(0).out, expected);
    // And from nowhere else.
    let rsa = service.key("rsa");
    let user = USER.as_slice();
    let stranger = [USER[0], ("AWS_SECRET_ACCESS_KEY", "another")];
    for (key, environment, code, says) in [
        (arn.as_str(), &[][..], 11, ERROR.of(&["credentials"])),
        // These words are the service's.
        (&arn, &stranger, 11, ERROR.of(&["wrong signature"])),
        (&rsa, user, 11, OTHER_PUBLIC_KEY),
        ("awskms:alias/p256", user, 2, NEXT_STEP.of(&["AWS_REGION"])),
        (
            "awskms:alias/none",
            &[USER[0], USER[1], REGION],
            11,
            ERROR.of(&["NotFoundException"]),
        ),
        (
            &arn,
            &[
                USER[0],
                USER[1],
                ("AWS_ENDPOINT_URL_KMS", "http://192.0.2.1"),
            ],
            11,
            ONLY_HTTPS,
        ),
    ] {
        let refused = public(key, environment).must(code);
        says.must_be_in(&refused.err);
        assert!(!refused.err.contains("secret/of"), "{}", refused.err);
    }
}
