//! `earmark fleet` against what others wrote: a server of S3, OpenSSL's signatures, a browser.

mod page;

use std::fs;

use earmark_tests::{
    Run,
    aws::{REGION, Service, USER},
    facts::{
        fleet::{
            DOCUMENT_CHANGED, DOCUMENT_OF_ANOTHER, MALFORMED_SIGNATURE, NO_BUCKET, NO_CERTIFICATE,
            NO_HOST, NO_SIGNED_DOCUMENT, REPORT_TOO_LARGE,
        },
        host::NEXT_STEP,
        signer::ERROR,
    },
    fleet::Fleet,
    prometheus, run, run_with,
};
use serde_json::{Value, json};

fn instance(number: u64) -> String {
    format!("i-{number:017x}")
}

/// Puts what is in a directory into the bucket, past the front: it is the reading that is tested.
fn put(fleet: &Fleet, service: &Service, directory: &str, at: &str) {
    let python = std::env::var("EARMARK_PYTHON").expect("EARMARK_PYTHON: run `cargo xtask test`");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/put.py");
    let words = [script, service.url("behind"), at, directory];
    let environment = [&USER[..], &[("AWS_DEFAULT_REGION", REGION.1)]].concat();
    run_with(python, words, Some(&fleet.bench.path("")), &environment).must(0);
}

#[test]
fn privileged_s3_reports_are_all_read_despite_transient_server_errors() {
    const HOSTS: u64 = 1_100;
    let fleet = Fleet::new(&["1.4.0", "1.5.0"]);
    for number in 0..HOSTS {
        let version = if number % 10 == 0 { "1.4.0" } else { "1.5.0" };
        fleet.report(&instance(number), version, json!({}));
    }
    let reports = fleet.bench.path("reports");
    fs::write(reports.join("notes.txt"), "not a report").unwrap();
    let large = format!("{}.{}.json", instance(9_999), earmark_tests::fleet::BOOT);
    fs::write(reports.join(&large), vec![b' '; 1 << 20]).unwrap();
    let service = Service::start(&fleet.bench);
    put(&fleet, &service, "reports", "releases/reports/web/");
    // Beneath another prefix, and beside: none of these.
    let other = fleet.bench.path("other");
    fs::create_dir(&other).unwrap();
    let (name, line) = earmark_tests::fleet::report(&instance(5_000), "1.5.0", json!({}));
    fs::write(other.join(name), line).unwrap();
    put(&fleet, &service, "other", "releases/reports/web/older/");
    put(&fleet, &service, "other", "releases/reports/web2-");

    let user = [&USER[..], &[REGION]].concat();
    let status = |at: &str, environment: &[(&str, &str)], words: &[&str]| -> Run {
        let all = [
            "fleet",
            "status",
            "--reports",
            at,
            "--channel",
            "stable.json",
            "--trust",
            "c.toml",
        ];
        service.earmark(&fleet.bench, &[&all, words].concat(), environment)
    };
    let at = "s3://releases/reports/web/";
    let found = status(at, &user, &["--json"]).must(0).json();
    assert_eq!(found["states"]["current"], HOSTS - HOSTS / 10);
    assert_eq!(found["states"]["behind"], HOSTS / 10);
    assert_eq!(found["reports"]["names"], HOSTS + 2);
    assert_eq!(found["reports"]["unread"]["count"], 0);
    let unusable = found["reports"]["unusable"]["first"].as_object().unwrap();
    assert_eq!(unusable.len(), 2, "{unusable:?}");
    REPORT_TOO_LARGE
        .of(&["1048576"])
        .must_be_in(unusable[&large].as_str().unwrap());

    // The same from the directory, so that it is all of them.
    let local = fleet.status(&["--json"]).must(0).json();
    let ids = |status: &Value| -> Vec<Value> {
        let hosts = status["hosts"].as_array().unwrap().iter();
        hosts.map(|host| host["id"].clone()).collect()
    };
    assert_eq!(ids(&found), ids(&local));
    // To Prometheus, whose own program has nothing to say against it.
    let metrics = fleet.status(&["--format", "prometheus"]).must(0).out;
    prometheus::check_metrics(&metrics).must(0);
    let unnamed = metrics.replace("# HELP earmark_fleet_timestamp_seconds", "# HELP x");
    prometheus::check_metrics(&unnamed).must(3);
    let empty = status("s3://releases/nothing/", &user, &[]).must(11);
    NO_HOST.must_be_in(&empty.err);
    for (environment, at, says) in [
        (
            vec![USER[0], ("AWS_SECRET_ACCESS_KEY", "another"), REGION],
            at,
            // The service's words.
            ERROR.of(&["wrong signature"]),
        ),
        (vec![REGION], at, ERROR.of(&["credentials"])),
        (user.clone(), "s3://nowhere/web/", NO_BUCKET),
        (user[..2].to_vec(), at, NEXT_STEP.of(&["AWS_REGION"])),
    ] {
        let refused = status(at, &environment, &[]);
        assert!(matches!(refused.code, 2 | 11), "{}", refused.err);
        says.must_be_in(&refused.err);
        assert!(!refused.err.contains("secret/of"), "{}", refused.err);
    }
}

#[test]
fn privileged_identity_document_must_be_signed_by_a_given_certificate() {
    let fleet = Fleet::new(&["1.5.0"]);
    let directory = fleet.bench.path("");
    let openssl = |words: &str| run("openssl", words.split_whitespace(), Some(&directory)).must(0);
    for name in ["aws", "other"] {
        openssl(&format!(
            "req -x509 -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.pem -subj /O={name} -days 1 -sha256"
        ));
    }
    let document =
        |id: &str| format!("{{\n  \"instanceId\" : \"{id}\",\n  \"region\" : \"eu-west-3\"\n}}");
    let sign = |document: &str, words: &str| -> String {
        fs::write(directory.join("document"), document).unwrap();
        openssl(&format!(
            "{words} -sign -binary -nodetach -outform DER -in document -out signature"
        ));
        let text = openssl("base64 -A -in signature").out;
        text.trim().to_owned()
    };
    let attach = |id: &str, document: &str, signature: &str| {
        let ec2 = json!({"region": "us-lie-1", "account": null, "ami": null, "document": document, "signature": signature});
        fleet.report(id, "1.5.0", json!({"ec2": ec2}));
    };
    let aws = "-md sha256 -signer aws.pem -inkey aws.key -nocerts";
    for (number, words) in [
        (1, format!("cms {aws}")),
        (2, format!("cms -stream {aws}")),
        (3, format!("smime -stream {aws}")),
        (
            4,
            "cms -md sha256 -signer other.pem -inkey other.key".to_owned(),
        ),
        (5, format!("cms -noattr {aws}")),
        (
            6,
            "cms -md sha384 -signer aws.pem -inkey aws.key".to_owned(),
        ),
    ] {
        let id = instance(number);
        let text = document(&id);
        let signature = sign(&text, &words);
        attach(&id, &text, &signature);
    }
    // A document of another instance, and one that was changed after it was signed; and none.
    let (one, two) = (document(&instance(1)), document(&instance(8)));
    let stolen = sign(&one, &format!("cms -stream {aws}"));
    attach(&instance(7), &one, &stolen);
    attach(&instance(8), &two, &stolen);
    fleet.report(&instance(9), "1.5.0", json!({}));

    let words = ["--json", "--group-by", "region", "--aws-certificates"];
    let status = fleet
        .status(&[&words[..], &["aws.pem"]].concat())
        .must(0)
        .json();
    assert_eq!(status["identity_checked"], true);
    assert_eq!(status["states"]["current"], 3, "{status:#}");
    // The region is that of the signed document.
    assert_eq!(status["groups"][0]["of"], json!(["eu-west-3"]));
    let unusable = status["reports"]["unusable"]["first"].as_object().unwrap();
    for (number, says) in [
        (4, NO_CERTIFICATE),
        (5, MALFORMED_SIGNATURE),
        (6, MALFORMED_SIGNATURE),
        (7, DOCUMENT_OF_ANOTHER),
        (8, DOCUMENT_CHANGED),
        (9, NO_SIGNED_DOCUMENT),
    ] {
        let name = format!("{}.{}.json", instance(number), earmark_tests::fleet::BOOT);
        says.must_be_in(unusable[&name].as_str().unwrap());
    }
    let both = fs::read_to_string(directory.join("aws.pem")).unwrap()
        + &fs::read_to_string(directory.join("other.pem")).unwrap();
    fs::write(directory.join("both.pem"), both).unwrap();
    let status = fleet
        .status(&[&words[..], &["both.pem"]].concat())
        .must(0)
        .json();
    assert_eq!(status["states"]["current"], 4);
    // The control: by their own word, all of them.
    let status = fleet.status(&["--json"]).must(0).json();
    assert_eq!(status["states"]["current"], 9);
    fleet.status(&["--aws-certificates", "aws.key"]).must(2);
}
