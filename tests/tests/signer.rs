//! The signer as CI asks it: whose keys it believes, what it says that it did not look at, what it refuses to
//! sign, and exit codes that do not depend on who reads the text.

use std::{fs, os::unix::fs::symlink};

use earmark_tests::{
    Bench, NO_LOCKS, SPEC,
    facts::{host::STEP, signer::UNTRUSTED},
    golden,
    golden::told,
    program, run,
};

/// A sealed root, and the same resealed by somebody with a key and a trust file of theirs.
fn resealed() -> (Bench, Bench) {
    let good = Bench::sealed();
    let bad = good.copy();
    bad.write("usr/bin/web", b"#!/bin/evil\n");
    bad.keygen("evil");
    bad.command("trust --key evil.pub --out evil.toml").must(0);
    let seal =
        "seal --root root --spec earmark.toml --version 1.0 --key evil.key --trust evil.toml";
    bad.command(seal).must(0);
    (good, bad)
}

#[test]
fn verify_without_a_trust_option_is_a_usage_error() {
    let (good, _) = resealed();
    let refused = good.command("verify --root root").must(2);
    assert_eq!(refused.out, "");
    good.command("verify --root root --own-trust --trust trust.toml")
        .must(2);
    good.command("verify --root root --trust nowhere.toml")
        .must(11);
    good.command("verify --root root --trust trust.toml")
        .must(0);
}

#[test]
fn root_resealed_with_another_key_is_refused_and_own_trust_warns() {
    let (good, bad) = resealed();
    let with_keys = "verify --root root --trust trust.toml --json";
    let verified = good.command(with_keys).must(0).json();
    assert_eq!(verified["verdict"], "verified");
    assert_eq!(verified["trust"]["source"], "file");
    assert_eq!(verified["warnings"], serde_json::json!([]));
    bad.command(with_keys).must(10);

    let own = bad.command("verify --root root --own-trust --json").must(0);
    let report = own.json();
    assert_eq!(report["trust"]["source"], "own");
    assert_eq!(report["warnings"].as_array().unwrap().len(), 1);

    // What the same question is in other commands.
    for (command, good_code, bad_code) in [
        ("export root --format sha256sums --trust trust.toml", 0, 10),
        ("export root --format sha256sums", 0, 0),
    ] {
        good.command(command).must(good_code);
        bad.command(command).must(bad_code);
    }
    let inspect = |bench: &Bench, more: &str| bench.command(&format!("inspect root{more}")).must(0);
    assert_eq!(inspect(&bad, " --json").json()["verified"], false);
    UNTRUSTED.must_be_in(&inspect(&bad, "").out);
    assert_eq!(
        inspect(&bad, " --trust trust.toml --json").json()["verified"],
        false
    );
    assert_eq!(
        inspect(&good, " --trust trust.toml --json").json()["verified"],
        true
    );
}

#[test]
fn offline_verify_reads_everything_unless_a_lower_gate_is_named() {
    let bench = Bench::new();
    let critical = SPEC.replace("gate = \"full\"", "gate = \"critical\"");
    fs::write(bench.path("earmark.toml"), critical).unwrap();
    bench.seal().must(0);
    let verify =
        |more: &str| bench.command(&format!("verify --root root --trust trust.toml{more}"));
    for full in ["", " --full", " --gate full"] {
        let told = verify(&format!("{full} --json")).must(0).json();
        assert_eq!(told["verdict"], "verified", "{full}");
    }
    for gate in ["critical", "signature"] {
        let report = verify(&format!(" --gate {gate} --json")).must(0).json();
        assert_eq!(report["verdict"], "partial", "{gate}");
        assert_eq!(report["warnings"].as_array().unwrap().len(), 1, "{gate}");
    }
    verify(" --gate off").must(2);
    verify(" --full --gate critical").must(2);
    // A byte that only the default reads.
    bench.write("usr/lib/large", &vec![8; 300_000]);
    verify(" --gate signature").must(0);
    verify("").must(10);
}

#[test]
fn diff_of_seals_states_that_signatures_and_roots_were_not_checked() {
    let old = Bench::sealed();
    let new = old.copy();
    new.write("usr/bin/web", b"#!/bin/evil\n");
    let other = new.root().display().to_string();
    let json = old
        .earmark(&["diff", "root", &other, "--json"])
        .must(0)
        .json();
    assert_eq!(json["compared"]["what"], "seals");
    assert_eq!(json["compared"]["signatures"], false);
    assert_eq!(
        json["compared"]["roots_not_read"].as_array().unwrap().len(),
        2
    );
    // Of a seal alone there is no root to read.
    let seal = "root/usr/lib/earmark/seal";
    let json = old.earmark(&["diff", seal, seal, "--json"]).must(0).json();
    assert_eq!(
        json["compared"]["roots_not_read"].as_array().unwrap().len(),
        0
    );
}

#[test]
fn lint_of_an_empty_root_is_undecided() {
    let bench = Bench::new();
    fs::create_dir(bench.path("empty")).unwrap();
    bench.command("lint --root empty").must(11);
    let json = bench
        .command("lint --root root --spec earmark.toml --json")
        .must(0)
        .json();
    assert!(json["looked_at"].as_u64().unwrap() > 20, "{json:#}");
}

#[test]
fn oversized_seal_file_is_a_violation_and_a_missing_one_is_undecided() {
    let sealed = Bench::sealed();
    let both = |bench: &Bench, code: i32, at: &str| {
        for run in [
            bench.command("verify --root root --trust trust.toml"),
            bench.command("verify --root root --trust trust.toml --gate signature"),
            bench.agent(&["verify", "--gate", "full", "--root", "root"]),
            bench.agent(&["verify", "--gate", "signature", "--root", "root"]),
        ] {
            assert_eq!(run.code, code, "{at}: {}{}", run.out, run.err);
        }
        bench.command("inspect root").must(code);
    };
    both(&sealed, 0, "as it was sealed");
    for name in ["manifest.json", "earmark.toml", "tree.zst"] {
        let path = format!("usr/lib/earmark/seal/{name}");
        let large = sealed.copy();
        let file = fs::File::options()
            .write(true)
            .open(large.root().join(&path))
            .unwrap();
        file.set_len(1 << 30).unwrap();
        both(&large, 10, &path);
        let missing = sealed.copy();
        fs::remove_file(missing.root().join(&path)).unwrap();
        both(&missing, 11, &path);
    }
}

/// A step of the declaration, by name and table, and what its program is made to be.
type Step = (&'static str, &'static str, fn(&Bench));

const STEPS: [Step; 10] = [
    ("missing", "command = { argv = [\"/opt/no-such\"] }", |_| {}),
    (
        "not-executable",
        "command = { argv = [\"/usr/bin/plain\"] }",
        |bench| {
            bench.write("usr/bin/plain", b"#!/usr/bin/sh\n");
            bench.chmod("usr/bin/plain", 0o644);
        },
    ),
    (
        "directory",
        "command = { argv = [\"/usr/bin/tools\"] }",
        |bench| fs::create_dir(bench.root().join("usr/bin/tools")).unwrap(),
    ),
    (
        "mutable",
        "command = { argv = [\"/opt/mutable\"] }",
        |bench| executable(bench, "opt/mutable", b"#!/usr/bin/sh\n"),
    ),
    (
        "generated",
        "command = { argv = [\"/etc/ssh/ssh_host_x_key\"] }",
        |_| {},
    ),
    (
        "no-interpreter",
        "command = { argv = [\"/usr/bin/script\"] }",
        |bench| executable(bench, "usr/bin/script", b"#! /usr/bin/no-such -x\n"),
    ),
    (
        "no-env",
        "command = { argv = [\"/usr/bin/by-env\"] }",
        |bench| executable(bench, "usr/bin/by-env", b"#!/usr/bin/env python9\n"),
    ),
    (
        "script-of-script",
        "command = { argv = [\"/usr/bin/second\"] }",
        |bench| executable(bench, "usr/bin/second", b"#!/usr/bin/good\n"),
    ),
    (
        "no-format",
        "command = { argv = [\"/usr/bin/text\"] }",
        |bench| executable(bench, "usr/bin/text", b"echo\n"),
    ),
    (
        "dangling",
        "command = { argv = [\"/usr/bin/link\"] }",
        |bench| symlink("../lib/gone", bench.root().join("usr/bin/link")).unwrap(),
    ),
];

fn executable(bench: &Bench, path: &str, content: &[u8]) {
    bench.write(path, content);
    bench.chmod(path, 0o755);
}

/// A root with a program and an interpreter that steps can use, also through links.
fn with_program() -> Bench {
    let bench = Bench::new();
    executable(&bench, "usr/bin/sh", b"\x7fELF");
    executable(&bench, "usr/bin/good", b"#!/bin/sh -eu\n");
    executable(&bench, "usr/bin/by-good-env", b"#!/usr/bin/env sh\n");
    symlink("good", bench.root().join("usr/bin/good-link")).unwrap();
    // A rule for a path that the image does not have is refused.
    executable(&bench, "opt/mutable", b"#!/bin/sh\n");
    bench
}

fn declare(bench: &Bench, steps: &[(&str, &str)]) {
    let mut spec = SPEC.replace("mutable = [", "mutable = [\"/opt/mutable\", ");
    for (name, step) in steps {
        spec.push_str(&format!("\n[[first_boot]]\nname = \"{name}\"\n{step}\n"));
    }
    fs::write(bench.path("earmark.toml"), format!("{spec}{NO_LOCKS}")).unwrap();
}

#[test]
fn first_boot_step_that_could_not_run_is_refused_with_a_golden_text() {
    let good: Vec<(&str, String)> = ["good", "good-link", "by-good-env"]
        .map(|name| (name, format!("command = {{ argv = [\"/bin/{name}\"] }}")))
        .to_vec();
    let good: Vec<(&str, &str)> = good
        .iter()
        .map(|(name, step)| (*name, step.as_str()))
        .collect();
    for (name, step, prepare) in STEPS {
        let bench = with_program();
        prepare(&bench);
        declare(&bench, &good);
        bench.seal().must(0);
        declare(&bench, &[&good[..], &[(name, step)]].concat());
        for refused in [bench.seal(), bench.measure()] {
            let err = refused.must(2).err;
            STEP.of(&[name]).must_be_in(&err);
            STEP.of(&["good"]).must_not_be_in(&err);
        }
        assert!(!bench.path("OUT").exists());
    }
    // What is not even walked the declaration itself refuses.
    let bench = with_program();
    executable(&bench, "var/lib/tool", b"#!/usr/bin/sh\n");
    declare(
        &bench,
        &[("state", "command = { argv = [\"/var/lib/tool\"] }")],
    );
    let mut texts = told("seal", &bench.seal().must(2));
    // All at once, so that one run names them all.
    let bench = with_program();
    for (_, _, prepare) in STEPS {
        prepare(&bench);
    }
    declare(&bench, &STEPS.map(|(name, step, _)| (name, step)));
    texts += &told("seal", &bench.seal().must(2));
    golden!("steps", texts);
}

#[test]
fn signer_output_failure_does_not_change_the_exit_code() {
    let bench = Bench::sealed();
    let bad = bench.copy();
    bad.write("usr/bin/web", b"another\n");
    bad.write("etc/ssh/ssh_host_x_key", b"x");
    let commands = [
        (&bench, "verify --root root --trust trust.toml", 0),
        (&bad, "verify --root root --trust trust.toml", 10),
        (&bench, "verify --root nowhere --trust trust.toml", 11),
        (&bench, "verify --root root", 2),
        (&bench, "verify --root root --own-trust --json", 0),
        (&bench, "diff root root", 0),
        (&bench, "inspect root", 0),
        (&bench, "export root --format mtree", 0),
        (&bench, "lint --root root --spec earmark.toml", 0),
        (&bench, "public --key release.key", 0),
        (&bench, "--help", 0),
        (&bench, "seal --help", 0),
        (&bench, "--version", 0),
        (&bench, "nonsense", 2),
        (&bench, "verify --nonsense", 2),
    ];
    let program = program("earmark");
    let program = program.to_str().unwrap();
    for bench in [&bench, &bad] {
        run("mkfifo", ["pipe"], Some(&bench.path(""))).must(0);
    }
    for (bench, command, code) in commands {
        bench.command(command).must(code);
        for redirection in [
            ">/dev/full",
            "2>/dev/full",
            ">/dev/full 2>&1",
            ">&-",
            "2>&-",
            ">&- 2>&-",
            "<&- >&- 2>&-",
            // A pipe whose reader went away before anything was written.
            "3<>pipe 4>pipe 3<&- >&4 2>&4",
        ] {
            let script = format!("'{program}' {command} {redirection}");
            let run = run("sh", ["-c", &script], Some(&bench.path("")));
            assert_eq!(run.code, code, "{command} {redirection}: {}", run.err);
        }
    }
}
