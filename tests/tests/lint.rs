//! Faults that make a root unfit to be sealed, and lessons of a booted host for the next image.

use std::fs;

use earmark_tests::{Bench, SPEC, facts::signer::NEEDS_A_REASON};

#[test]
fn lint_error_blocks_seal_and_measure_until_fixed() {
    let bench = Bench::new();
    bench.write("etc/machine-id", b"0123456789abcdef0123456789abcdef\n");
    let lint = |more: &[&str]| {
        let words = ["lint", "--root", "root", "--spec", "earmark.toml"];
        bench.earmark(&[&words, more].concat())
    };
    let found = lint(&["--json"]).must(15).json();
    assert_eq!(found["schema"], 1);
    assert_eq!(found["errors"], 1);
    assert_eq!(found["findings"][0]["rule"], "machine-id");
    assert_eq!(found["findings"][0]["path"], "/etc/machine-id");
    assert_eq!(
        lint(&["--format", "sarif"]).must(15).json()["version"],
        "2.1.0"
    );
    for refused in [bench.seal().must(15), bench.measure().must(15)] {
        assert!(refused.err.contains("/etc/machine-id"), "{}", refused.err);
    }
    assert!(!bench.path("OUT").exists() && !bench.root().join("usr/lib/earmark").exists());
    // Only warnings are left, and they count if they are denied.
    lint(&["--fix"]).must(0);
    assert_eq!(fs::read(bench.root().join("etc/machine-id")).unwrap(), b"");
    lint(&["--deny", "warn"]).must(15);
    bench.measure().must(0);
    bench.seal().must(0);
    bench.verify().must(0);
}

#[test]
fn lint_lists_rules_and_refuses_a_waiver_of_an_unknown_rule() {
    let bench = Bench::new();
    let rules = bench.earmark(&["lint", "--list", "--json"]).must(0).json();
    assert!(rules["rules"].as_array().unwrap().len() >= 25);
    let spec = format!("{SPEC}\n[[lint.allow]]\nrule = \"no-such\"\nreason = \"x\"\n");
    fs::write(bench.path("earmark.toml"), spec).unwrap();
    bench.seal().must(2);
    bench
        .command("lint --root root --spec earmark.toml")
        .must(2);
    // The control.
    fs::write(bench.path("earmark.toml"), SPEC).unwrap();
    bench
        .command("lint --root root --spec earmark.toml")
        .must(0);
    bench.earmark(&["lint"]).must(2);
    bench.earmark(&["lint", "--root", "/", "--fix"]).must(2);
    bench.earmark(&["lint", "--root", "nowhere"]).must(11);
}

#[test]
fn learned_rule_requires_a_reason_and_lets_the_next_image_verify() {
    let before = Bench::sealed();
    let booted = before.copy();
    booted.write("etc/adjtime", b"0.0 0 0.0\n");
    booted.verify().must(10);
    let from = before.root();
    let learn = |more: &[&str]| {
        let words = [
            "learn",
            "--before",
            from.to_str().unwrap(),
            "--root",
            "root",
        ];
        booted.earmark(&[&words, more].concat())
    };
    let said = learn(&[]).must(0).out;
    let rule = "{ path = \"/etc/adjtime\", reason = \"\" }";
    assert!(said.contains(rule), "{said}");
    let json = learn(&["--json"]).must(0).json();
    assert_eq!(json["schema"], 1);
    assert_eq!(json["proposals"][0]["class"], "generated");

    // As it was printed, nobody can seal with it.
    let spec = |rule: &str| SPEC.replace("generated = [", &format!("generated = [{rule}, "));
    let next = Bench::new();
    fs::write(next.path("earmark.toml"), spec(rule)).unwrap();
    let refused = next.seal().must(2);
    NEEDS_A_REASON.must_be_in(&refused.err);
    let reasoned = rule.replace("\"\"", "\"Kept by the clock.\"");
    fs::write(next.path("earmark.toml"), spec(&reasoned)).unwrap();
    next.seal().must(0);
    next.write("etc/adjtime", b"0.0 0 0.0\n");
    next.verify().must(0);

    // What no class should allow, a manifest that is not believed, and none at all.
    booted.write("etc/passwd", b"root::0:0::/root:/bin/sh\n");
    let refused = learn(&["--json"]).must(10).json();
    assert_eq!(refused["refused"][0]["path"], "/etc/passwd");
    booted.keygen("other");
    let words = ["trust", "--key", "other.pub", "--out", "other.toml"];
    booted.earmark(&words).must(0);
    learn(&["--trust", "other.toml"]).must(10);
    let words = ["learn", "--before", "root/etc", "--root", "root"];
    booted.earmark(&words).must(11);
}
