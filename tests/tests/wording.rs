//! What the programs print, word for word, in `tests/golden/`: what a person at a terminal reads. What a command does
//! is asserted elsewhere, by exit codes and JSON.

use std::{fs, path::Path};

use earmark_tests::{Bench, Run, SPEC, fleet::Fleet, golden, golden::told, program, run};
use serde_json::json;

/// Runs each command line in the directory of a bench.
fn all(bench: &Bench, commands: &[&str]) -> String {
    let each = commands
        .iter()
        .map(|command| told(command, &bench.command(command)));
    each.collect()
}

#[test]
fn inspect_and_diff_texts_of_the_kept_seal_are_golden() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifest/tests/golden");
    let each = [
        "inspect v1 --trust v1/trust.toml",
        "inspect v1",
        "inspect v1/tree.zst",
        "diff v1 v1",
        "diff v1 v1 --format markdown",
    ];
    let each = each.map(|command| {
        told(
            command,
            &run(program("earmark"), command.split(' '), Some(&kept)),
        )
    });
    golden!("inspect", each.concat());
}

#[test]
fn verify_texts_of_each_verdict_are_golden() {
    let good = Bench::sealed();
    let bad = good.copy();
    bad.write("usr/bin/web", b"#!/bin/evil\n");
    let mut texts = all(
        &good,
        &[
            "verify --root root --trust trust.toml",
            "verify --root root --own-trust",
            "verify --root root --trust trust.toml --gate critical",
            "verify --root root --trust trust.toml --gate signature",
        ],
    );
    texts += &all(&bad, &["verify --root root --trust trust.toml"]);
    bad.keygen("other");
    bad.command("trust --key other.pub --out other.toml")
        .must(0);
    texts += &all(
        &bad,
        &[
            "verify --root root --trust other.toml",
            "verify --root root --trust nowhere.toml",
            "verify --root root",
            "diff root root",
            "diff root root --format markdown",
        ],
    );
    let export = "export root --format sha256sums";
    let run = bad.command(export);
    // The digests, of which other tests take care.
    texts += &told(
        export,
        &Run {
            out: String::new(),
            ..run
        },
    );
    golden!("verify", texts);
}

#[test]
fn refusals_of_seal_and_lint_are_golden() {
    let bench = Bench::new();
    bench.write("etc/machine-id", b"0123456789abcdef0123456789abcdef\n");
    fs::create_dir(bench.path("empty")).unwrap();
    let seal =
        "seal --root root --spec earmark.toml --version 1.0 --key release.key --trust trust.toml";
    let lint = "lint --root root --spec earmark.toml";
    let mut texts = all(
        &bench,
        &[
            seal,
            lint,
            "lint --root root",
            "lint --root nowhere",
            "lint --root empty",
            "lint --root / --fix",
        ],
    );
    for spec in [
        format!("{SPEC}\n[[lint.allow]]\nrule = \"no-such\"\nreason = \"x\"\n"),
        SPEC.replace(
            "generated = [",
            "generated = [{ path = \"/etc/adjtime\", reason = \"\" }, ",
        ),
        SPEC.replace("epoch = 3", "epoch = -3"),
    ] {
        fs::write(bench.path("earmark.toml"), spec).unwrap();
        texts += &all(&bench, &[seal]);
    }
    golden!("refusals", texts);
}

/// One host in each state, and reports that do not count.
#[test]
fn fleet_texts_are_golden() {
    let fleet = Fleet::new(&["1.4.0", "1.4.1", "1.5.0"]);
    fleet.revoke("1.4.0", "it forgets its sessions");
    let instance = |number: u64| format!("i-{number:017x}");
    let empty = told("fleet status", &fleet.status(&[]));
    for (number, version, change) in [
        (1, "1.5.0", json!({})),
        (2, "1.4.1", json!({})),
        (3, "1.4.0", json!({})),
        (4, "9.9.9", json!({})),
        (
            5,
            "1.4.0",
            json!({"verdict": "violated", "violations": 2, "reason": "/usr/bin/web was changed"}),
        ),
        (6, "1.5.0", json!({"cloned_from": instance(1)})),
        (
            7,
            "1.5.0",
            json!({"taints": [{"kind": "grant", "id": null, "locks": ["imds"], "from": 1, "until": 2}]}),
        ),
    ] {
        fleet.report(&instance(number), version, change);
    }
    fs::write(fleet.bench.path("reports/\u{1b}[2J.json"), "x").unwrap();
    let listed: Vec<String> = (1..=8).map(instance).collect();
    fs::write(
        fleet.bench.path("inventory.json"),
        json!(listed).to_string(),
    )
    .unwrap();
    let mut texts = empty;
    for words in [
        &["--inventory", "inventory.json"][..],
        &["--fail-on", "silent"],
    ] {
        let run = fleet.status(words);
        assert!(!run.out.contains('\u{1b}'), "{}", run.out);
        texts += &told(&format!("fleet status {}", words.join(" ")), &run);
    }
    for command in [
        "fleet status --reports nowhere --channel stable.json --trust c.toml",
        "fleet status --reports https://reports.example.com/ --channel stable.json --trust c.toml",
        "fleet status --reports reports --channel stable.json",
    ] {
        texts += &told(command, &fleet.bench.command(command));
    }
    golden!("fleet", texts);
}
