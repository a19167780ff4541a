//! `earmark channel` on files: what each step changes, and what none does.

use std::fs;

use earmark_tests::{
    Bench, Run,
    facts::fleet::{ALREADY_ACCEPTED, EXPIRED},
    golden,
    golden::told,
};
use serde_json::{Value, json};

const AT: &str = "stable.json";

/// Writes the manifest that Packer leaves of a build, with the template's `custom_data`, and returns its file name.
fn built(bench: &Bench, version: &str, epoch: u64) -> String {
    let file = format!("packer-{version}.json");
    let digest = format!("sha256:{:0>64}", version.replace('.', ""));
    let manifest = json!({
        "builds": [{
            "builder_type": "amazon-ebs",
            "artifact_id": format!("eu-central-1:ami-{:0>17}", version.replace('.', "")),
            "packer_run_uuid": "run",
            "custom_data": {
                "image": "web", "version": version, "epoch": epoch.to_string(), "manifest": digest,
            },
        }],
        "last_run_uuid": "run",
    });
    fs::write(bench.path(&file), manifest.to_string()).unwrap();
    file
}

fn channel(bench: &Bench, words: &[&str]) -> Run {
    bench.earmark(&[&["channel"], words].concat())
}

fn promote(bench: &Bench, version: &str, more: &[&str]) -> Run {
    let file = built(bench, version, 3);
    let words = ["promote", AT, "--key", "c.key", "--packer", &file];
    channel(bench, &[&words, more].concat())
}

fn shown(bench: &Bench) -> Value {
    channel(bench, &["show", AT, "--json"]).must(0).json()
}

/// With a channel that has two releases, and a trust file for its key.
fn bench() -> Bench {
    let bench = Bench::new();
    bench.keygen("c");
    let trust = ["trust", "--key", "c.pub:channel", "--out", "c.toml"];
    bench.earmark(&trust).must(0);
    let init = ["init", AT, "--image", "web", "--key", "c.key"];
    channel(&bench, &init).must(0);
    for version in ["1.4.1", "1.4.2"] {
        promote(&bench, version, &[]).must(0);
    }
    bench
}

#[test]
fn channel_promote_revoke_and_rollback_verify_and_the_texts_of_two_are_golden() {
    let bench = bench();
    let mut texts = told(
        "channel promote --dry-run",
        &promote(&bench, "1.4.3", &["--dry-run"]),
    );
    assert_eq!(shown(&bench)["counter"], 3);

    let change = promote(&bench, "1.4.3", &["--json"]).must(0).json();
    assert_eq!(change["before"]["latest"], "1.4.2");
    assert_eq!(change["after"]["latest"], "1.4.3");
    let revoke = [
        "revoke",
        AT,
        "--key",
        "c.key",
        "--release",
        "1.4.3",
        "--reason",
        "it leaks",
    ];
    texts += &told("channel revoke", &channel(&bench, &revoke));
    golden!("channel", texts);
    // By its JSON: whether the text has a line for a time that changed depends on the second in which this runs.
    let back = ["rollback", AT, "--key", "c.key", "--to", "1.4.1", "--json"];
    let change = channel(&bench, &back).must(0).json();
    assert_eq!(change["before"]["latest"], "1.4.3");
    assert_eq!(change["after"]["latest"], "1.4.1");

    let shown = channel(
        &bench,
        &["verify", AT, "--trust", "c.toml", "--fresh", "--json"],
    );
    let shown = shown.must(0).json();
    assert_eq!(shown["counter"], 6);
    assert_eq!(shown["signatures"]["status"], "trusted");
    let versions: Vec<&Value> = shown["releases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|release| &release["version"])
        .collect();
    assert_eq!(versions, ["1.4.2", "1.4.3", "1.4.1"]);
}

#[test]
fn promote_refuses_to_resign_an_untrusted_document() {
    let bench = bench();
    let good = fs::read(bench.path(AT)).unwrap();
    bench.keygen("other");
    // Somebody with the bucket and a key of their own.
    let theirs = [
        "init",
        "theirs.json",
        "--image",
        "web",
        "--name",
        "stable",
        "--key",
        "other.key",
    ];
    channel(&bench, &theirs).must(0);
    fs::copy(bench.path("theirs.json"), bench.path(AT)).unwrap();
    promote(&bench, "1.4.3", &[]).must(10);
    // Or with one byte changed, or cut off, or none.
    let mut flipped = good.clone();
    let at = good.windows(7).position(|part| part == b"payload").unwrap() + 40;
    flipped[at] ^= 1;
    for bad in [&flipped[..], &good[..good.len() / 2], b""] {
        fs::write(bench.path(AT), bad).unwrap();
        promote(&bench, "1.4.3", &[]).must(10);
        channel(&bench, &["verify", AT, "--trust", "c.toml"]).must(10);
        assert_eq!(fs::read(bench.path(AT)).unwrap(), bad, "untouched");
    }
    // The control.
    fs::write(bench.path(AT), &good).unwrap();
    promote(&bench, "1.4.3", &[]).must(0);
    // Put back later: who knows of a newer one can say so.
    fs::write(bench.path(AT), &good).unwrap();
    let refused = promote(&bench, "1.4.4", &["--after", "4"]).must(10).err;
    ALREADY_ACCEPTED.of(&["3", "4"]).must_be_in(&refused);
    let back = [
        "rollback", AT, "--key", "c.key", "--to", "1.4.1", "--after", "4",
    ];
    channel(&bench, &back).must(10);
    let old = ["verify", AT, "--trust", "c.toml", "--after", "4"];
    channel(&bench, &old).must(10);
    // A key is changed with a trust file that has both.
    let both = [
        "trust",
        "--key",
        "c.pub:channel",
        "--key",
        "other.pub:channel",
        "--out",
        "both.toml",
    ];
    bench.earmark(&both).must(0);
    let file = built(&bench, "1.4.3", 3);
    let words = ["promote", AT, "--key", "other.key", "--packer", &file];
    channel(&bench, &words).must(10);
    channel(&bench, &[&words[..], &["--trust", "both.toml"]].concat()).must(0);
}

#[test]
fn invalid_channel_command_is_refused_with_a_golden_text_and_changes_nothing() {
    let bench = bench();
    let before = fs::read(bench.path(AT)).unwrap();
    bench.keygen("second");
    let two = [
        "trust",
        "--key",
        "c.pub:channel",
        "--key",
        "second.pub:channel",
    ];
    bench
        .earmark(&[&two[..], &["--threshold", "2", "--out", "two.toml"]].concat())
        .must(0);
    // What is there has one signature: two are wanted.
    promote(&bench, "1.4.3", &["--trust", "two.toml"]).must(10);
    let init = [
        "init", "two.json", "--image", "web", "--trust", "two.toml", "--key", "c.key",
    ];
    let mut texts = told(
        "channel init --trust two.toml",
        &channel(&bench, &init).must(10),
    );
    assert!(!bench.path("two.json").exists());
    channel(&bench, &[&init[..], &["--key", "second.key"]].concat()).must(0);

    for (words, code) in [
        (&["rollback", AT, "--key", "c.key", "--to", "9"][..], 2),
        (&["rollback", AT, "--key", "c.key", "--to", "1.4.2"], 2),
        (&["init", AT, "--image", "web", "--key", "c.key"], 2),
        (&["init", "web", "--image", "web", "--key", "c.key"], 2),
        (&["show", "none.json"], 11),
        (&["show", "c.key"], 10),
        (&["promote", AT, "--key", "c.key"], 2),
        (&["promote", AT, "--key", "c.key", "--packer", "c.pub"], 2),
        (
            &[
                "init",
                "https://127.0.0.1:9/a.json",
                "--image",
                "web",
                "--key",
                "c.key",
            ],
            2,
        ),
        (&["show", "https://127.0.0.1:9/a.json"], 11),
        (&["verify", AT, "--trust", "c.toml", "--name", "canary"], 10),
        (&["verify", AT, "--trust", "c.toml", "--image", "db"], 10),
        (
            &[
                "init",
                "a.json",
                "--image",
                "web",
                "--key",
                "c.key",
                "--expires",
                "0s",
            ],
            2,
        ),
    ] {
        let refused = channel(&bench, words).must(code);
        texts += &told(&format!("channel {}", words.join(" ")), &refused);
    }
    golden!("channel-refusals", texts);
    assert_eq!(fs::read(bench.path(AT)).unwrap(), before);
}

#[test]
fn expired_channel_is_reported_and_can_be_renewed() {
    let bench = bench();
    promote(&bench, "1.4.2", &["--expires", "1s"]).must(0);
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    let told = channel(&bench, &["verify", AT, "--trust", "c.toml"]).must(0);
    EXPIRED.must_be_in(&told.out);
    let fresh = ["verify", AT, "--trust", "c.toml", "--fresh"];
    channel(&bench, &fresh).must(10);
    promote(&bench, "1.4.2", &[]).must(0);
    channel(&bench, &fresh).must(0);
    // The release is as old as it was.
    assert_eq!(shown(&bench)["releases"][1]["version"], "1.4.2");
    assert_eq!(shown(&bench)["counter"], 5);
}

#[test]
fn promote_records_the_manifest_digest_of_a_trusted_seal_only() {
    let bench = Bench::new();
    bench.keygen("c");
    let trust = [
        "trust",
        "--key",
        "first.pub",
        "--key",
        "c.pub:channel",
        "--out",
        "all.toml",
    ];
    bench.keygen("first");
    bench.earmark(&trust).must(0);
    bench.measure().must(0);
    let sign = ["sign", "OUT", "--key", "first.key", "--json"];
    let signed = bench.earmark(&sign).must(0).json();
    let init = ["init", AT, "--image", "web", "--key", "c.key"];
    channel(&bench, &init).must(0);
    let ami = "eu-central-1=ami-0123456789abcdef0";
    let words = [
        "promote", AT, "--key", "c.key", "--seal", "OUT", "--trust", "all.toml", "--ami", ami,
        "--json",
    ];
    let change = channel(&bench, &words).must(0).json();
    let release = &change["after"]["releases"][0];
    assert_eq!(release["manifest"], signed["manifest"]);
    assert_eq!(release["amis"]["eu-central-1"], "ami-0123456789abcdef0");
    // Not what nobody signed who may, nor what Packer says of another image.
    let only = [
        "trust",
        "--key",
        "c.pub:channel,image",
        "--out",
        "only.toml",
    ];
    bench.earmark(&only).must(0);
    let words = [
        "promote",
        AT,
        "--key",
        "c.key",
        "--seal",
        "OUT",
        "--trust",
        "only.toml",
    ];
    channel(&bench, &words).must(10);
    let other = built(&bench, "1.4.3", 3);
    let words = [
        "promote", AT, "--key", "c.key", "--seal", "OUT", "--packer", &other,
    ];
    channel(&bench, &words).must(2);
}
