//! Programs that steps run: which ones, and what becomes of what they start.

use super::*;

#[test]
fn tampered_step_program_is_not_run() {
    type Tamper = fn(&TestRoot);
    let cases: [(&str, Tamper, &str); 11] = [
        (
            "changed",
            |root| root.write("/usr/bin/count", b"#!/bin/sh\nexit 0\n"),
            "not the file",
        ),
        (
            "same size",
            |root| {
                let text = COUNT.1.replace("ran", "RAN");
                root.write("/usr/bin/count", text.as_bytes());
            },
            "not the file",
        ),
        (
            "a link",
            |root| {
                fs::rename(root.at("/usr/bin/count"), root.at("/run/count")).unwrap();
                root.link("/usr/bin/count", "../../run/count");
            },
            "/usr/bin/count",
        ),
        (
            "a pipe",
            |root| {
                root.remove("/usr/bin/count");
                let (mode, kind) = (rustix::fs::Mode::RWXU, rustix::fs::FileType::Fifo);
                let path = root.at("/usr/bin/count");
                rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
            },
            "regular file",
        ),
        (
            "its interpreter",
            |root| root.write("/usr/bin/dash", b"\x7fELF"),
            "not the file",
        ),
        (
            "a script that nobody may run",
            |root| chmod(root, "/usr/bin/count", 0o644),
            "has mode 0644",
        ),
        (
            "a script that some may not run",
            |root| chmod(root, "/usr/bin/count", 0o744),
            "mode 0755",
        ),
        (
            "set-user-ID",
            |root| chmod(root, "/usr/bin/count", 0o4755),
            "has mode 4755",
        ),
        (
            "the mode of its interpreter",
            |root| chmod(root, "/usr/bin/dash", 0o644),
            "'/usr/bin/dash' has mode 0644",
        ),
        (
            "a directory",
            |root| {
                root.remove("/usr/bin/count");
                fs::create_dir(root.at("/usr/bin/count")).unwrap();
            },
            "regular file",
        ),
        (
            "gone",
            |root| root.remove("/usr/bin/count"),
            "/usr/bin/count",
        ),
    ];
    for (what, tamper, says) in cases {
        let bench = Bench::new(&[COUNT], &command("count", ""));
        tamper(&bench.root);
        let (step, reason, _) = bench.fails();
        assert_eq!(step.as_deref(), Some("count"), "{what}");
        assert!(reason.contains(says), "{what}: {reason}");
        assert_eq!(bench.written("count"), "", "{what}");
    }
}

fn chmod(root: &TestRoot, path: &str, mode: u32) {
    fs::set_permissions(root.at(path), fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn step_program_without_elf_or_shebang_is_rejected() {
    let good = Bench::new(&[COUNT], &command("count", ""));
    assert_eq!(done(&good.perform()), 1);
    for text in ["echo ran >> \"$1\"/count\n", "", "# !/bin/sh\n"] {
        let bench = Bench::new(&[("count", text)], &command("count", ""));
        let (_, reason, _) = bench.fails();
        assert!(
            reason.contains("neither a program (ELF) nor a script"),
            "{reason}"
        );
        assert_eq!(bench.written("count"), "");
    }
    // Nor is what interprets a script.
    let other = [("count", "#!/bin/other\n"), ("other", "echo\n")];
    let bench = Bench::new(&other, &command("count", ""));
    assert!(bench.fails().1.contains("'/usr/bin/other'"));
}

#[test]
fn failed_step_is_reported_with_exit_status_and_last_output_lines() {
    let script = "#!/bin/sh\nfor i in 1 2 3 4 5 6; do echo line $i; done; echo bad >&2; exit 3\n";
    let bench = Bench::new(
        &[("fails", script), COUNT],
        &(command("fails", "") + &command("count", "")),
    );
    let (step, reason, tail) = bench.fails();
    assert_eq!(
        (step.as_deref(), reason.as_str()),
        (Some("fails"), "exit status 3")
    );
    assert!(
        tail.contains(&"line 6".to_owned()) && tail.len() == 5,
        "{tail:?}"
    );
    // What comes after it did not run, and does not at the next boot either.
    assert_eq!(bench.written("count"), "");
    assert!(bench.fails().1.contains("exit status 3"));
    assert_eq!(bench.journal().steps[0].attempts, 1);
}

#[test]
fn processes_started_by_a_step_are_killed_when_the_step_ends() {
    let daemon = "#!/bin/sh\n( sleep 300 & echo $! > \"$1\"/pid ) > /dev/null 2>&1\n";
    let stubborn = "#!/bin/sh\ntrap '' TERM\necho $$ > \"$1\"/pid\nwhile :; do sleep 1; done\n";
    for (script, more, ends) in [
        (daemon, "", None),
        (stubborn, ", timeout = \"1s\"", Some("timed out after 1 s")),
    ] {
        let bench = Bench::new(&[("starts", script)], &command("starts", more));
        match (bench.perform(), ends) {
            (Outcome::Done { steps: 1, .. }, None) => {}
            (Outcome::Failed { reason, .. }, Some(says)) => {
                assert!(reason.contains(says), "{reason}");
            }
            (other, _) => panic!("{other:?}"),
        }
        let pid = bench.written("pid");
        assert!(!pid.is_empty());
        let state = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        let is_gone = state.map_or(true, |stat| stat.contains(") Z "));
        assert!(is_gone, "process {pid} is still there");
    }
}
