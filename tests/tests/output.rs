//! The agent where its output cannot be written, and under low limits: each code is the one that it ends with where
//! nothing is amiss, which is the control.

use std::fs;

use earmark_tests::{Bench, Run, program, run};

/// Commands that run on a root which is not booted.
const COMMANDS: [&[&str]; 10] = [
    &["verify", "--root", "root", "--json"],
    &["verify", "--root", "root", "--gate", "full", "--boot"],
    &["status", "--root", "root"],
    &["status", "--root", "root", "--json"],
    &["first-boot", "--root", "root", "--json"],
    &["report", "--root", "root", "--print"],
    &["report", "--root", "root"],
    &["follow", "--root", "root"],
    &["--help"],
    &["--no-such-option"],
];

/// Runs the agent by way of `script`, in which it is `"$@"`. The script leaves the code in the file `code`.
fn by_way_of(bench: &Bench, script: &str, arguments: &[&str]) -> i32 {
    let _ = fs::remove_file(bench.path("code"));
    let agent = program("earmark-agent");
    let agent = agent.to_str().expect("a path in UTF-8");
    let words = ["-c", script, "sh", agent];
    let words = words.iter().chain(arguments);
    run("/bin/sh", words, Some(bench.path(".").as_path()));
    let code = fs::read_to_string(bench.path("code")).expect("a code");
    code.trim().parse().expect("a number")
}

fn benches() -> [Bench; 2] {
    let good = Bench::sealed();
    let bad = good.copy();
    bad.write("usr/bin/web", b"#!/bin/false\n");
    for bench in [&good, &bad] {
        bench.agent(&["verify", "--root", "root"]);
    }
    [good, bad]
}

#[test]
fn agent_output_failure_does_not_change_the_exit_code() {
    let benches = benches();
    let codes: Vec<Vec<i32>> = benches
        .iter()
        .map(|bench| COMMANDS.map(|command| bench.agent(command).code).to_vec())
        .collect();
    // What is compared is more than one code, and none is that of a defect.
    assert_eq!([codes[0][0], codes[1][0]], [0, 10]);
    assert!(
        codes.iter().flatten().all(|code| *code != 1 && *code >= 0),
        "{codes:?}"
    );
    for script in [
        "\"$@\" >&-; echo $? > code",
        "\"$@\" 2>&-; echo $? > code",
        "\"$@\" <&- >&- 2>&-; echo $? > code",
        "\"$@\" > /dev/full 2> /dev/full; echo $? > code",
        // Nobody reads any more.
        "rm -f pipe; mkfifo pipe; exec 3<>pipe 4>pipe 3<&-; \"$@\" >&4 2>&4; echo $? > code",
        "rm -f pipe; mkfifo pipe; exec 3<>pipe 4>pipe 3<&-; \"$@\" > /dev/full 2>&4; echo $? > code",
    ] {
        for (bench, codes) in benches.iter().zip(&codes) {
            for (command, code) in COMMANDS.iter().zip(codes) {
                let found = by_way_of(bench, script, command);
                assert_eq!(found, *code, "{script}: {command:?}");
            }
            // A record that was opened while no standard error was there has not got what is said on it.
            let record = fs::read_to_string(bench.root().join("run/earmark/status.json"));
            let record: Result<serde_json::Value, _> =
                serde_json::from_str(&record.expect("a record"));
            assert!(record.is_ok_and(|record| record["schema"] == 1), "{script}");
        }
    }
}

#[test]
fn agent_under_low_rlimits_exits_with_a_documented_code() {
    let [bench, _] = benches();
    let limited = |limit: &str, arguments: &[&str]| -> Run {
        let agent = program("earmark-agent");
        let words = [limit, agent.to_str().expect("a path in UTF-8")];
        run(
            "prlimit",
            words.iter().chain(arguments),
            Some(bench.path(".").as_path()),
        )
    };
    for command in COMMANDS {
        let plain = bench.agent(command).code;
        assert_eq!(limited("--core=0", command).code, plain, "{command:?}");
        // Nothing can be written, and the verdict is the same.
        let written = limited("--fsize=0", command);
        let is_same = written.code == plain || matches!(written.code, 11 | 14);
        assert!(is_same, "{command:?}: {} {}", written.code, written.err);
        for limit in ["--fsize=100", "--nofile=16", "--nofile=4"] {
            let run = limited(limit, command);
            let is_documented = run.code == plain || matches!(run.code, 11 | 14);
            assert!(
                is_documented,
                "{limit} {command:?}: {} {}",
                run.code, run.err
            );
            assert!(!run.err.contains("panicked"), "{limit}: {}", run.err);
        }
    }
    let verified = limited("--fsize=0", &["verify", "--root", "root"]);
    assert_eq!(verified.code, 0, "{}", verified.err);
    assert!(verified.err.contains("File too large"), "{}", verified.err);
}
