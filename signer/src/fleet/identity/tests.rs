//! Signatures that `openssl cms -sign -binary -nodetach -outform DER -md sha256` made over `vectors/document.json`
//! with the key of `vectors/aws.pem`, and what else it makes when it is asked for something else. The private
//! keys are not kept; `tests/tests/privileged/fleet.rs` signs anew.

use super::*;

const DOCUMENT: &str = include_str!("vectors/document.json");
const AWS: &str = include_str!("vectors/aws.pem");
const OTHER: &str = include_str!("vectors/other.pem");
const STREAM: &str = include_str!("vectors/stream.b64");

fn report(document: &str, signature: Option<&str>) -> Report {
    let report = serde_json::json!({
        "schema": 1, "time": 1, "instance": "i-0123456789abcdef0",
        "boot_id": "7e1c9c3e-1b7a-4a0e-9d57-0c4fba6f3a11", "booted": null, "agent": "0.1.0",
        "image": null, "manifest": null, "tier": "T0", "verdict": "verified", "gate": null, "reason": null,
        "verified_at": null, "violations": 0, "undecided": 0, "policy": null, "first_boot": null,
        "cloned_from": null, "locks": {}, "taints": [], "taints_more": 0, "channel": null, "dropped": 0,
        "ec2": {"region": "us-lie-1", "account": null, "ami": null, "document": document, "signature": signature}
    });
    serde_json::from_value(report).unwrap()
}

fn check(certificates: &str, document: &str, signature: &str) -> Result<Option<String>, Unproven> {
    let certificates = Certificates::parse(certificates.as_bytes()).unwrap();
    certificates.check(&report(document, Some(signature)))
}

#[test]
fn identity_document_signed_by_given_certificate_is_accepted_in_every_encoding() {
    for (name, signature) in [
        ("definite lengths", include_str!("vectors/der.b64")),
        ("indefinite lengths, as AWS writes it", STREAM),
        (
            "without certificates in it",
            include_str!("vectors/nocerts.b64"),
        ),
        ("openssl smime", include_str!("vectors/smime.b64")),
        (
            "a signer by the id of its key",
            include_str!("vectors/keyid.b64"),
        ),
    ] {
        let region = check(AWS, DOCUMENT, signature);
        assert_eq!(region, Ok(Some("eu-central-1".to_owned())), "{name}");
        let both = format!("eu-central-1\n{OTHER}\neu-west-1\n{AWS}");
        assert!(check(&both, DOCUMENT, signature).is_ok(), "{name}");
        assert_eq!(
            check(OTHER, DOCUMENT, signature),
            Err(Unproven::Signature),
            "{name}"
        );
    }
}

#[test]
fn identity_signature_of_other_key_algorithm_or_form_is_refused() {
    for (name, signature, expected) in [
        (
            "another key",
            include_str!("vectors/other.b64"),
            Unproven::Signature,
        ),
        (
            "no attributes",
            include_str!("vectors/noattr.b64"),
            Unproven::Malformed,
        ),
        (
            "SHA-1",
            include_str!("vectors/sha1.b64"),
            Unproven::Malformed,
        ),
        (
            "SHA-512",
            include_str!("vectors/sha512.b64"),
            Unproven::Malformed,
        ),
        ("PSS", include_str!("vectors/pss.b64"), Unproven::Malformed),
        (
            "no content",
            include_str!("vectors/detached.b64"),
            Unproven::Malformed,
        ),
        (
            "two signers",
            include_str!("vectors/twice.b64"),
            Unproven::Malformed,
        ),
        (
            "content of another type",
            include_str!("vectors/econtent.b64"),
            Unproven::Malformed,
        ),
        ("no base64", "MIAG!", Unproven::Malformed),
        ("nothing", "", Unproven::Malformed),
    ] {
        assert_eq!(check(AWS, DOCUMENT, signature), Err(expected), "{name}");
    }
}

#[test]
fn identity_document_rejects_any_changed_byte() {
    let good = BASE64_STANDARD.decode(STREAM).unwrap();
    let key = certificate_key(AWS);
    let believed = |bytes: &[u8]| {
        let signed = cms::parse(bytes.to_vec())?;
        (signed.content() == DOCUMENT.as_bytes() && signed.is_by(&key)).then_some(())
    };
    assert!(believed(&good).is_some());
    let content = find(&good, DOCUMENT.as_bytes());
    let mut let_pass = 0;
    for index in 0..good.len() {
        for flip in [1, 0x80, 0xff] {
            let mut bytes = good.clone();
            bytes[index] ^= flip;
            // Certificates, who the signer is said to be and the like decide nothing, and so may change.
            let_pass += u32::from(believed(&bytes).is_some());
            if (content..content + DOCUMENT.len()).contains(&index) {
                assert!(believed(&bytes).is_none(), "{index}");
            }
        }
    }
    assert!(let_pass > 0);
    for length in 0..good.len() {
        let cut = believed(&good[..length]);
        // What ends the outermost value is not missed: nothing is read behind it.
        assert!(cut.is_none() || good.len() - length <= 6, "{length}");
    }
}

#[test]
fn identity_document_must_match_signed_content_and_instance() {
    let changed = DOCUMENT.replace("m7i.large", "m7i.xlarge");
    assert_eq!(check(AWS, &changed, STREAM), Err(Unproven::OtherDocument));
    let spaced = format!("{DOCUMENT} ");
    assert_eq!(check(AWS, &spaced, STREAM), Err(Unproven::OtherDocument));
    let certificates = Certificates::parse(AWS.as_bytes()).unwrap();
    let mut other = report(DOCUMENT, Some(STREAM));
    assert!(certificates.check(&other).is_ok());
    other.instance = Some("i-0123456789abcdef1".parse().unwrap());
    assert_eq!(certificates.check(&other), Err(Unproven::OtherInstance));
    other.instance = None;
    assert_eq!(certificates.check(&other), Err(Unproven::Nameless));
    assert_eq!(
        certificates.check(&report(DOCUMENT, None)),
        Err(Unproven::Missing)
    );
    let mut bare = report(DOCUMENT, None);
    bare.ec2 = None;
    assert_eq!(certificates.check(&bare), Err(Unproven::Missing));
}

#[test]
fn invalid_weak_or_excess_identity_certificates_are_refused() {
    let parse = |pem: &str| Certificates::parse(pem.as_bytes());
    for (pem, says) in [
        ("", "no certificate"),
        (include_str!("vectors/ec.pem"), "not RSA"),
        (include_str!("vectors/small.pem"), "less than 2,048"),
        (
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
            "not an X.509",
        ),
        (
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----",
            "not base64",
        ),
        (&AWS[..AWS.len() / 2], "not an X.509"),
        (
            &format!("{AWS}{}", include_str!("vectors/ec.pem")),
            "certificate 2",
        ),
        (&AWS.repeat(129), "more than 128"),
    ] {
        let error = format!("{:#}", parse(pem).unwrap_err());
        assert!(error.contains(says), "{says}: {error}");
    }
    assert!(parse(&AWS.repeat(128)).is_ok());
}

fn certificate_key(pem: &str) -> RsaKey {
    let block = pem_blocks(pem).next().unwrap();
    certificate::rsa_key(BASE64_STANDARD.decode(block).unwrap()).unwrap()
}

fn find(bytes: &[u8], part: &[u8]) -> usize {
    bytes
        .windows(part.len())
        .position(|window| window == part)
        .unwrap()
}
