//! The signer, killed with SIGKILL at the system calls by which it changes anything, and run again. What follows
//! must verify to the last byte, and nothing that only the killed run knew may be left.
//!
//! A trace of an undisturbed run says which calls there are; of each kind some are taken, from the first to
//! the last. strace ends the process as the call is entered, so that the end of one is the start of the next.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicUsize, Ordering},
};

use earmark_tests::{Bench, facts::signer::MAKE_PUBLIC_HALF, run};

use crate::strace;

/// Every way to change a name, a file or its metadata. A question mark: not every architecture has it.
const CALLS: &str = "openat,openat2,write,pwrite64,fsync,fdatasync,?rename,?renameat,renameat2,?link,linkat,\
                     ?unlink,unlinkat,?mkdir,mkdirat,?rmdir,?chmod,fchmod,fchmodat,fchown,fchownat,\
                     ftruncate,fsetxattr,flock";

/// Kills of one call in one command.
const SAMPLE: usize = 4;

/// A command that is killed, what was done before it, and what a person does next.
struct Case {
    name: &'static str,
    before: &'static [&'static str],
    killed: &'static str,
    next: &'static [&'static str],
}

const SEAL_1: &str =
    "seal --root root --spec earmark.toml --version 1.0 --key release.key --trust trust.toml";
const SEAL_2: &str =
    "seal --root root --spec earmark.toml --version 2.0 --key release.key --trust trust.toml";
const MEASURE: &str = "measure --root root --spec earmark.toml --version 2.0 --out OUT";
const SIGN: &str = "sign OUT --key release.key";
const INSTALL: &str = "install OUT --root root --trust trust.toml";
const TRUST: &str = "trust --key release.pub --out trust.toml";

const CASES: [Case; 8] = [
    Case {
        name: "first seal, sealed again",
        before: &[],
        killed: SEAL_1,
        next: &[SEAL_1],
    },
    Case {
        name: "new version, sealed again",
        before: &[SEAL_1],
        killed: SEAL_2,
        next: &[SEAL_2],
    },
    // The next run stages no os-release, and must remove the one that waits all the same.
    Case {
        name: "new version, and back to the old one",
        before: &[SEAL_1],
        killed: SEAL_2,
        next: &[SEAL_1],
    },
    Case {
        name: "measure",
        before: &[SEAL_1],
        killed: MEASURE,
        next: &[MEASURE, SIGN, INSTALL],
    },
    Case {
        name: "measure over an older measurement",
        before: &[SEAL_1, MEASURE, SIGN],
        killed: MEASURE,
        next: &[MEASURE, SIGN, INSTALL],
    },
    Case {
        name: "sign",
        before: &[SEAL_1, MEASURE],
        killed: SIGN,
        next: &[SIGN, INSTALL],
    },
    Case {
        name: "install",
        before: &[SEAL_1, MEASURE, SIGN],
        killed: INSTALL,
        next: &[INSTALL],
    },
    Case {
        name: "trust",
        before: &[SEAL_1],
        killed: TRUST,
        next: &[TRUST, SEAL_2],
    },
];

/// The calls of the main thread that change something: each kind with the numbers that `when=` takes.
fn calls(bench: &Bench, command: &str) -> BTreeMap<String, Vec<usize>> {
    let made = ["O_CREAT", "O_TMPFILE"];
    strace::calls(bench, CALLS, "earmark", command, |name, arguments| {
        let reads = name.starts_with("open") && !made.iter().any(|flag| arguments.contains(flag));
        let says = name == "write" && (arguments.starts_with("1<") || arguments.starts_with("2<"));
        !reads && !says
    })
}

/// Runs the command, killed at the n-th call of a kind.
fn killed(bench: &Bench, call: &str, when: usize, command: &str) -> bool {
    let injection = format!("{call}:signal=SIGKILL:when={when}");
    strace::inject(bench, &injection, "earmark", command).code == -1
}

/// Some of these, from the first to the last.
fn sample(numbers: &[usize]) -> BTreeSet<usize> {
    let last = numbers.len().saturating_sub(1);
    let steps = SAMPLE.min(numbers.len());
    (0..steps)
        .map(|step| numbers[last * step / (steps - 1).max(1)])
        .collect()
}

/// Every name in the root. Content is the verification's business, and the manifest names another parent by
/// when the run was killed.
fn listing(bench: &Bench) -> String {
    let format = "%P %y %m %U:%G %l\\n";
    let run = run("find", [".", "-printf", format], Some(&bench.root()));
    let mut lines: Vec<String> = run.must(0).out.lines().map(str::to_owned).collect();
    lines.sort();
    lines.join("\n")
}

fn prepared(base: &Bench, case: &Case) -> Bench {
    let bench = base.copy();
    for command in case.before {
        bench.command(command).must(0);
    }
    bench
}

fn finish(bench: &Bench, case: &Case, at: &str) {
    for command in case.next {
        let run = bench.command(command);
        assert_eq!(run.code, 0, "{}, {at}: {command}: {}", case.name, run.err);
    }
    let run = bench.verify_offline();
    assert_eq!(run.code, 0, "{}, {at}: {}", case.name, run.out);
    assert_eq!(run.json()["verdict"], "verified", "{}, {at}", case.name);
    let left = temporary_names(bench);
    assert_eq!(left, "", "{}, {at}: left behind", case.name);
}

/// Temporary names anywhere beside or in the root.
fn temporary_names(bench: &Bench) -> String {
    let words = [".", "-name", ".earmark-new*"];
    run("find", words, Some(&bench.path(""))).must(0).out
}

#[test]
fn privileged_rerun_after_a_killed_signer_matches_an_undisturbed_run() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test needs root: run `cargo xtask test`"
    );
    let base = Bench::new();
    let prepared: Vec<Bench> = CASES.iter().map(|case| prepared(&base, case)).collect();
    let mut jobs = Vec::new();
    let mut expected = Vec::new();
    for (case, bench) in CASES.iter().zip(&prepared) {
        // The control: nobody is killed.
        let control = bench.copy();
        let calls = calls(&control, case.killed);
        finish(&control, case, "not killed");
        expected.push(listing(&control));
        assert!(calls.len() >= 4, "{}: {calls:?}", case.name);
        for (call, numbers) in &calls {
            let of_case = expected.len() - 1;
            jobs.extend(
                sample(numbers)
                    .into_iter()
                    .map(|n| (of_case, call.clone(), n)),
            );
        }
    }
    let kills = AtomicUsize::new(0);
    strace::each(&jobs, |(of_case, call, when)| {
        let case = &CASES[*of_case];
        let bench = prepared[*of_case].copy();
        let was_killed = killed(&bench, call, *when, case.killed);
        kills.fetch_add(usize::from(was_killed), Ordering::Relaxed);
        let at = format!("killed at {call} {when}");
        finish(&bench, case, &at);
        assert_eq!(listing(&bench), expected[*of_case], "{}, {at}", case.name);
    });
    let (killed, jobs) = (kills.into_inner(), jobs.len());
    assert!(
        jobs >= 60 && killed * 10 >= jobs * 9,
        "only {killed} of {jobs} runs were killed: the calls are others now"
    );
}

#[test]
fn privileged_killed_keygen_leaves_a_whole_key_or_none() {
    const KEYGEN: &str = "keygen --out new.key";
    let base = Bench::new();
    let control = base.copy();
    let calls = calls(&control, KEYGEN);
    assert!(calls.contains_key("linkat"), "{calls:?}");
    let mut kept = BTreeSet::new();
    for (call, numbers) in &calls {
        for when in sample(numbers) {
            let bench = base.copy();
            killed(&bench, call, when, KEYGEN);
            assert_eq!(temporary_names(&bench), "", "{call} {when}");
            let whole = bench.path("new.key").exists();
            kept.insert(whole);
            if whole && !bench.path("new.pub").exists() {
                let again = bench.command(KEYGEN).must(2);
                MAKE_PUBLIC_HALF.must_be_in(&again.err);
                bench.command("public --key new.key --out new.pub").must(0);
            } else if !whole {
                bench.command(KEYGEN).must(0);
            }
            bench.command("trust --key new.pub --out new.toml").must(0);
        }
    }
    assert_eq!(
        kept.len(),
        2,
        "kills came before and after the key had its name"
    );
}
