//! Files that follow from a lock, a channel or a place for reports.

use earmark_manifest::layout;

use super::*;
use crate::testing::lies::{LIES, places};

#[test]
fn units_of_a_lock_that_is_open_are_not_masked() {
    const OPENED: &str = "/run/earmark-lockdown/opened.json";
    let root = TestRoot::declared("platform = \"file\"\n");
    let early = root.at(EARLY);
    let masked = |progress: &str| {
        let opened = format!("{{\"locks\":{{\"remote_access\":\"{progress}\"}},\"told\":[]}}");
        root.write(OPENED, opened.as_bytes());
        fs::create_dir_all(&early).unwrap();
        generate(&root.open(), &early);
        // Whatever it is, it is no violation while it changes.
        assert_eq!(check(&root), [""; 0]);
        let lines = listing(&early);
        fs::remove_dir_all(&early).unwrap();
        let is_masked = |unit: &str| lines.contains(&format!("{unit} -> /dev/null"));
        (is_masked("ssh.service"), is_masked("apt-daily.timer"))
    };
    assert_eq!(masked("open"), (false, true));
    assert_eq!(masked("opening"), (false, true));
    assert_eq!(masked("shutting"), (true, true));
    assert_eq!(masked("whatever"), (true, true));
    // An open lock takes the masks of no other away.
    root.write(OPENED, b"{\"locks\":{},\"told\":[]}");
    fs::create_dir_all(&early).unwrap();
    generate(&root.open(), &early);
    fs::remove_file(early.join("ssh.service")).unwrap();
    assert_eq!(check(&root).len(), 1);
}

#[test]
fn declared_report_and_channel_are_enabled_and_reports_also_in_quarantine() {
    let lines = |declared: &str| {
        let root = sealed(&format!("on_failure = \"quarantine\"\n{declared}"));
        let early = root.at(EARLY);
        fs::create_dir_all(&early).unwrap();
        generate(&root.open(), &early);
        assert_eq!(check(&root), [""; 0]);
        let mut lines = listing(&early);
        lines.retain(|line| {
            let is_ours = line.contains("earmark-report") || line.contains("earmark-fetch");
            is_ours && !line.ends_with("the unit")
        });
        lines
    };
    assert_eq!(lines(""), [""; 0]);
    let channel = "[channel]\nurl = \"s3://releases/web/stable.json\"\n";
    let wanted = "multi-user.target.wants/earmark-fetch.timer -> ../earmark-fetch.timer";
    assert_eq!(lines(channel), [wanted]);
    let report = "[report]\nto = [\"file:///srv/100%\", \"s3://reports/web\"]\nevery = \"10m\"\n";
    assert_eq!(
        lines(report),
        [
            "earmark-quarantine.target.wants/earmark-report.path -> ../earmark-report.path",
            "earmark-quarantine.target.wants/earmark-report.timer -> ../earmark-report.timer",
            "earmark-report.service.d/50-policy.conf: [Service] ReadWritePaths=\"-/srv/100%%\"",
            "earmark-report.timer.d/50-policy.conf: [Timer] OnUnitInactiveSec= OnActiveSec=5s OnUnitInactiveSec=600s RandomizedDelaySec=120s",
            "multi-user.target.wants/earmark-report.path -> ../earmark-report.path",
            "multi-user.target.wants/earmark-report.timer -> ../earmark-report.timer",
        ]
    );
}

#[test]
fn invalid_seal_removes_no_mask() {
    for locks in ["", "remote_access = { allow = [\"sshd\"] }\n"] {
        let root = TestRoot::declared(&format!("platform = \"file\"\n[lockdown]\n{locks}"));
        let early = root.at(EARLY);
        let masked = || {
            fs::create_dir_all(&early).unwrap();
            generate(&root.open(), &early);
            assert_eq!(check(&root), [""; 0]);
            let mut lines = listing(&early);
            fs::remove_dir_all(&early).unwrap();
            // That one follows from the policy, and is in each strict one.
            lines
                .retain(|line| line.ends_with(" -> /dev/null") && !line.starts_with("debug-shell"));
            lines
        };
        let believed = masked();
        assert!(believed.contains(&"cron.service -> /dev/null".to_owned()));
        let is_sshd = |line: &String| line == "ssh.service -> /dev/null";
        assert_eq!(believed.iter().any(is_sshd), locks.is_empty());
        root.write(layout::MANIFEST, b"{}");
        assert_eq!(masked(), believed);
        // The floor is what says so: the control.
        root.remove(layout::FLOOR);
        assert_eq!(masked(), [""; 0]);
    }
}

/// Units that a lock denies are masked before any unit starts, and those that it leaves open are not.
#[test]
fn units_that_a_lock_denies_are_masked() {
    let masks = |lock: &str, value: &str| {
        let open = format!("{lock} = \"allow\"");
        let root = TestRoot::sealed(&OPEN.replace(&open, &format!("{lock} = {value}")));
        let early = root.at(EARLY);
        fs::create_dir_all(&early).unwrap();
        generate(&root.open(), &early);
        assert_eq!(check(&root), [""; 0]);
        let mut lines = listing(&early);
        lines.retain(|line| {
            line.ends_with(" -> /dev/null") || line.contains(".target.wants/earmark-lock")
        });
        lines
    };
    let is_in = |lines: &[String], unit: &str| lines.contains(&format!("{unit} -> /dev/null"));
    assert_eq!(masks("remote_access", "\"allow\""), [""; 0]);
    let all = masks("remote_access", "\"deny\"");
    let but_sshd = masks("remote_access", "{ allow = [\"sshd\"] }");
    for unit in ["ssh.service", "ssh.socket", "sshd.service"] {
        assert!(is_in(&all, unit) && !is_in(&but_sshd, unit), "{unit}");
    }
    for unit in [
        "getty@.service",
        "serial-getty@.service",
        "amazon-ssm-agent.service",
    ] {
        assert!(is_in(&all, unit) && is_in(&but_sshd, unit), "{unit}");
    }
    assert!(is_in(&masks("packages", "\"deny\""), "apt-daily.timer"));
    assert!(is_in(&masks("schedules", "\"deny\""), "cron.service"));
    let early =
        "sysinit.target.wants/earmark-lockdown-early.service -> ../earmark-lockdown-early.service";
    // Whatever is shut is looked at again.
    let again = "earmark-ready.target.wants/earmark-lockdown-again.timer -> ../earmark-lockdown-again.timer";
    assert_eq!(masks("filesystems", "\"deny\""), [again, early]);
    assert_eq!(masks("kernel", "\"deny\""), [again]);
}

/// What follows from a corrupted block is declared by itself, and by default with the rest.
#[test]
fn corruption_is_looked_for_where_verity_is_declared_and_has_a_policy_of_its_own() {
    let plan = |text: &str| -> Vec<String> {
        let root = sealed(text);
        let early = root.at(EARLY);
        fs::create_dir_all(&early).unwrap();
        generate(&root.open(), &early);
        assert_eq!(check(&root), [""; 0]);
        let mut lines = listing(&early);
        lines.retain(|line| line.contains("corruption") && !line.ends_with("the unit"));
        lines.sort();
        lines
    };
    let timer =
        "earmark-ready.target.wants/earmark-corruption.timer -> ../earmark-corruption.timer";
    let policy = |text: &str| format!("earmark-corruption.service.d/50-policy.conf: {text}");
    let (goes_on, off) = (
        policy("[Service] SuccessExitStatus=10"),
        policy("[Unit] OnFailure=poweroff.target OnFailureJobMode=replace-irreversibly"),
    );
    let isolate = policy("[Unit] OnFailure=earmark-quarantine.target OnFailureJobMode=isolate");
    for (verify, expected) in [
        ("on_failure = \"report\"", &goes_on),
        ("on_failure = \"quarantine\"", &isolate),
        ("on_failure = \"halt\"", &off),
        ("on_failure = \"report\"\non_corruption = \"halt\"", &off),
        (
            "on_failure = \"quarantine\"\non_corruption = \"halt\"",
            &off,
        ),
        (
            "on_failure = \"halt\"\non_corruption = \"report\"",
            &goes_on,
        ),
        (
            "on_failure = \"halt\"\non_corruption = \"quarantine\"",
            &isolate,
        ),
    ] {
        let found = plan(&format!("{verify}\n[boot]\nverity = true\n"));
        assert_eq!(found, [expected.as_str(), timer], "{verify}");
    }
    assert_eq!(
        plan("on_failure = \"halt\"\non_corruption = \"halt\""),
        [""; 0]
    );
}

/// Nothing that a host writes for itself makes its policy milder, or unmasks a unit.
#[test]
fn hostile_state_files_change_neither_policy_nor_generated_units() {
    for (policy, is_broken) in [("quarantine", false), ("halt", false), ("halt", true)] {
        let root = TestRoot::declared(&format!(
            "platform = \"file\"\n[verify]\non_failure = \"{policy}\"\n"
        ));
        if is_broken {
            root.write(layout::MANIFEST, b"{}");
        }
        let written = |root: &TestRoot| {
            let early = root.at(EARLY);
            fs::create_dir_all(&early).unwrap();
            generate(&root.open(), &early);
            let lines = listing(&early);
            fs::remove_dir_all(&early).unwrap();
            (Policy::of(&root.open()).on_failure(), lines)
        };
        let honest = written(&root);
        assert!(honest.1.contains(&"cron.service -> /dev/null".to_owned()));
        for (name, lie) in LIES {
            // All at once: one after the other took two minutes.
            for place in places() {
                lie(&root, &place);
            }
            assert_eq!(written(&root), honest, "{name}");
            for directory in ["/run/earmark", "/var/lib/earmark"] {
                // Not there is as good.
                let _ = fs::remove_dir_all(root.at(directory));
            }
        }
    }
}
