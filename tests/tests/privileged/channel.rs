//! A channel in S3, as a server that others wrote has it, behind a front that checks every signature with
//! botocore, fails the first time, and loses the answers of puts that were done.

use std::fs;

use earmark_tests::{
    Bench, Run,
    aws::{REGION, Service, USER},
    facts::{
        fleet::{CHANGED_CONCURRENTLY, NO_CHANNEL, ONLY_HTTPS},
        signer::ERROR,
    },
};
use serde_json::json;

const AT: &str = "s3://releases/web/stable.json";

fn built(bench: &Bench, version: &str) -> String {
    let file = format!("packer-{version}.json");
    let manifest = json!({
        "builds": [{
            "builder_type": "qemu",
            "artifact_id": "VM",
            "packer_run_uuid": "run",
            "custom_data": {
                "image": "web", "version": version, "epoch": "3",
                "manifest": format!("sha256:{version:0>64}"),
            },
        }],
        "last_run_uuid": "run",
    });
    fs::write(bench.path(&file), manifest.to_string()).unwrap();
    file
}

#[test]
fn privileged_concurrent_s3_channel_writers_lose_no_release() {
    let bench = Bench::new();
    bench.keygen("c");
    let service = Service::start(&bench);
    let user = [&USER[..], &[REGION]].concat();
    let channel =
        |words: &[&str]| -> Run { service.earmark(&bench, &[&["channel"], words].concat(), &user) };
    let missing = channel(&["show", AT]).must(11).err;
    NO_CHANNEL.must_be_in(&missing);
    let init = ["init", AT, "--image", "web", "--key", "c.key"];
    channel(&init).must(0);
    channel(&init).must(2);

    // Each tries until it is in, as a job that is told to look again would.
    let versions: Vec<String> = (1..=6).map(|version| version.to_string()).collect();
    let overtaken: usize = std::thread::scope(|threads| {
        let writers = versions.iter().map(|version| {
            let file = built(&bench, version);
            let channel = &channel;
            threads.spawn(move || {
                let words = ["promote", AT, "--key", "c.key", "--packer", &file];
                for overtaken in 0.. {
                    let run = channel(&words);
                    if run.code == 0 {
                        return overtaken;
                    }
                    assert_eq!(run.code, 11, "{}", run.err);
                    CHANGED_CONCURRENTLY.must_be_in(&run.err);
                }
                unreachable!()
            })
        });
        let writers: Vec<_> = writers.collect();
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .sum()
    });
    let shown = channel(&["show", AT, "--json"]).must(0).json();
    let releases = shown["releases"].as_array().unwrap();
    assert_eq!(releases.len(), versions.len());
    // Who lost an answer, and was overtaken before it could look, promotes once more than it had to.
    assert!(shown["counter"].as_u64().unwrap() > 6, "{shown}");
    // Or they did not meet, and this test is of nothing.
    assert!(overtaken > 0, "no writer was overtaken");

    let back = ["rollback", AT, "--key", "c.key", "--to", "1"];
    if shown["latest"] == "1" {
        channel(&back).must(2);
    } else {
        channel(&back).must(0);
        let shown = channel(&["show", AT, "--json"]).must(0).json();
        assert_eq!(shown["latest"], "1");
    }

    for (environment, at, says) in [
        (
            vec![USER[0], ("AWS_SECRET_ACCESS_KEY", "another"), REGION],
            AT,
            // The service's words.
            ERROR.of(&["wrong signature"]),
        ),
        (vec![REGION], AT, ERROR.of(&["credentials"])),
        (
            user.clone(),
            "s3://nowhere/web/stable.json",
            ERROR.of(&["NoSuchBucket"]),
        ),
        (
            [&user[..], &[("AWS_ENDPOINT_URL_S3", "http://192.0.2.1")]].concat(),
            AT,
            ONLY_HTTPS,
        ),
    ] {
        let words = ["channel", "show", at];
        let refused = service.earmark(&bench, &words, &environment).must(11).err;
        says.must_be_in(&refused);
        assert!(!refused.contains("secret/of"), "{refused}");
    }
}
