//! `earmark grant`: what it writes, what it refuses, and what `earmark inspect` says of it.

use std::fs;

use earmark_tests::{Bench, Run, golden, golden::told};
use serde_json::Value;

const INSTANCE: &str = "i-0123456789abcdef0";
const FILE: &str = "grant-i-0123456789abcdef0.json";

fn bench() -> Bench {
    let bench = Bench::new();
    for (key, trust) in [("grant", "one.toml"), ("second", "two.toml")] {
        bench.keygen(key);
        let both = ["--key", "second.pub:grant", "--threshold", "2"];
        let more = if key == "second" { &both[..] } else { &[] };
        let first = ["trust", "--key", "grant.pub:grant", "--out", trust];
        bench.earmark(&[&first, more].concat()).must(0);
    }
    bench
}

fn grant(bench: &Bench, more: &[&str]) -> Run {
    let words = ["grant", "--key", "grant.key", "--instance", INSTANCE];
    bench.earmark(&[&words, more].concat())
}

fn inspect(bench: &Bench, trust: &[&str]) -> Value {
    let words = ["inspect", FILE, "--json"];
    let out = bench.earmark(&[&words, trust].concat()).must(0).out;
    serde_json::from_str(&out).unwrap()
}

#[test]
fn grant_of_the_declared_image_is_inspected_with_its_trust_and_its_text_is_golden() {
    let bench = bench();
    let made = grant(&bench, &["--lock", "remote_access", "--for", "1h"]);
    let mut texts = told("grant --lock remote_access --for 1h", &made.must(0));
    let shown = inspect(&bench, &["--trust", "one.toml"]);
    assert_eq!(shown["kind"], "grant");
    assert_eq!(shown["image"], "web");
    assert_eq!(shown["locks"], serde_json::json!(["remote_access"]));
    assert_eq!(shown["signatures"]["status"], "trusted");
    let time = |name: &str| shown[name].as_u64().unwrap();
    assert_eq!(time("expires") - time("issued"), 3_600);
    // Without a trust file nothing is said of its signature, and by one for images it is none.
    assert_eq!(inspect(&bench, &[])["signatures"]["status"], "unverified");
    let by_images = inspect(&bench, &["--trust", "trust.toml"]);
    assert_eq!(by_images["signatures"]["status"], "refused");
    // One that may still be needed is not written over.
    let before = fs::read(bench.path(FILE)).unwrap();
    let again = grant(&bench, &["--lock", "packages", "--for", "1h"]).must(2);
    texts += &told("grant --lock packages --for 1h", &again);
    golden!("grant", texts);
    assert_eq!(fs::read(bench.path(FILE)).unwrap(), before);
}

#[test]
fn grant_threshold_requires_as_many_signatures() {
    let bench = bench();
    let trust = ["--trust", "two.toml"];
    let words = ["--lock", "imds", "--for", "30m"];
    grant(&bench, &words).must(0);
    assert_eq!(inspect(&bench, &trust)["signatures"]["status"], "refused");
    fs::remove_file(bench.path(FILE)).unwrap();
    grant(&bench, &[&words[..], &["--key", "second.key"]].concat()).must(0);
    assert_eq!(inspect(&bench, &trust)["signatures"]["status"], "trusted");
}

#[test]
fn ungrantable_lock_or_invalid_grant_option_is_refused_with_a_golden_text() {
    let bench = bench();
    let mut texts = String::new();
    for words in [
        &["--lock", "kernel", "--for", "1h"][..],
        &["--lock", "cloud_init", "--for", "1h"],
        &["--lock", "packages", "--for", "25h"],
        &["--lock", "packages", "--for", "1h", "--reason", "a\nb"],
        &["--lock", "packages"],
        &["--for", "1h"],
        &["--lock", "packages", "--for", "1h", "--out", "-", "--json"],
    ] {
        let refused = grant(&bench, words).must(2);
        texts += &told(&format!("grant {}", words.join(" ")), &refused);
    }
    // The image has to be known; what it leaves open needs no grant, which is said.
    fs::rename(bench.path("earmark.toml"), bench.path("web.toml")).unwrap();
    let words = ["--lock", "packages", "--for", "1h"];
    let unknown = grant(&bench, &words).must(11);
    texts += &told("grant --lock packages --for 1h", &unknown);
    let spec = fs::read_to_string(bench.path("web.toml")).unwrap();
    let open = format!("{spec}\n[lockdown]\npackages = \"allow\"\n");
    fs::write(bench.path("web.toml"), open).unwrap();
    let open = [&words[..], &["--spec", "web.toml"]].concat();
    texts += &told(
        "grant --lock packages --for 1h --spec web.toml",
        &grant(&bench, &open).must(0),
    );
    golden!("grant-refusals", texts);
    // The control, and to standard output.
    let out = [&words[..], &["--image", "web", "--out", "-"]].concat();
    let printed = grant(&bench, &out).must(0).out;
    assert!(printed.starts_with("{\n  \"payload\""), "{printed}");
}
