//! The screens, as people see them.

use serde_json::json;

use super::*;

fn report(change: impl FnOnce(&mut serde_json::Value)) -> Report {
    let mut report = json!({
        "schema": 1, "agent": "0.1.0",
        "image": {"name": "web", "version": "1.4.2", "epoch": 3, "architecture": "x86_64"},
        "manifest": "sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
        "signers": ["9c76eecc7b76fcb46199cb27b90cf59a660e10575bb0412128905129d5b1c2aa"],
        "tier": "T0", "gate": "full", "verdict": "verified", "reason": null,
        "counts": {
            "entries": 119_151, "files_read": 102_948, "bytes_read": 3_250_585_600_u64,
            "files_unread": 0, "violations": 0, "undecided": 0, "milliseconds": 1532
        },
        "violations": [], "undecided": [], "on_failure": "quarantine", "policy": "quarantine",
        "boot_id": null, "time": 1_795_392_000_u64
    });
    change(&mut report);
    serde_json::from_value(report).unwrap()
}

const NOW: Option<u64> = Some(1_795_392_190);

fn shown(report: &Report, now: Option<u64>, is_of_this_boot: bool) -> String {
    let status = Status {
        report: report.clone(),
        first_boot: None,
        lockdown: None,
        instance: None,
        channel: None,
        taints: Vec::new(),
    };
    render(&status, &BTreeMap::new(), now, is_of_this_boot)
}

#[track_caller]
fn must_show(report: &Report, is_of_this_boot: bool, expected: &str) {
    let screen = shown(report, NOW, is_of_this_boot);
    assert_eq!(screen, expected, "\n{screen}");
}

#[test]
fn status_screen_of_verified_host_matches_the_expected_text() {
    must_show(
        &report(|_| {}),
        true,
        "\
web 1.4.2                                                               VERIFIED

This host     image web, version 1.4.2, security epoch 3, x86_64
Manifest      sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03
Signed by     9c76eecc7b76fcb46199cb27b90cf59a660e10575bb0412128905129d5b1c2aa
Checked       119151 entries, content of 102948 files (3100 MiB), in 1.532 s
              (gate full)
              2026-11-23 00:00:00 UTC, 3 minutes ago
Not checked   content of mutable files and of state directories, and memory
              tier T0: the agent and its trust file are on the disk that they
              check
Wrong         nothing
Policy        quarantine: a host that does not verify runs no workload and lets
              nobody log in
Do            Nothing.
",
    );
}

#[test]
fn status_screen_of_partial_verdict_shows_the_unverified_rest() {
    let report = report(|report| {
        report["verdict"] = "partial".into();
        report["gate"] = "critical".into();
        report["counts"]["files_unread"] = 97_000.into();
        report["policy"] = "report".into();
    });
    let screen = shown(&report, None, true);
    for part in [
        "  PARTIAL\n",
        "content of 97000 files; content of mutable",
        "2026-11-23 00:00:00 UTC\n",
        "report: a host that does not verify goes on, and says so",
        "earmark-agent.service is reading the rest",
    ] {
        assert!(screen.contains(part), "{part}\n{screen}");
    }
}

#[test]
fn status_screen_of_violated_host_lists_first_violations_and_advice() {
    let finding =
        |path: &str| json!({"path": path, "kind": "mode", "expected": "0644", "found": "0666"});
    let report = report(|report| {
        report["verdict"] = "violated".into();
        report["violations"] = (1..8).map(|n| finding(&format!("/etc/{n}"))).collect();
        report["counts"]["violations"] = 7.into();
        report["reason"] = "/etc/1: mode: expected 0644, found 0666 (and 6 more)".into();
    });
    let screen = shown(&report, NOW, true);
    let expected = "\
Wrong         7 violations
              /etc/1 [mode]
                expected 0644
                found 0666
              /etc/2 [mode]
";
    assert!(screen.contains(expected), "{screen}");
    assert!(
        screen.contains("/etc/5 ") && !screen.contains("/etc/6"),
        "{screen}"
    );
    assert!(screen.contains("… the others: earmark-agent status --json"));
    assert!(
        screen.contains("Do            Replace this host:"),
        "{screen}"
    );
}

#[test]
fn status_screen_of_cmdline_violation_advises_booting_signed_words() {
    let report = report(|report| {
        report["verdict"] = "violated".into();
        report["counts"]["violations"] = 1.into();
        report["violations"] = json!([{
            "path": "/proc/cmdline", "kind": "cmdline",
            "expected": "no word that opens a shell without a login",
            "found": "systemd.debug-shell"
        }]);
    });
    let screen = shown(&report, NOW, true);
    assert!(screen.contains("/proc/cmdline [cmdline]"), "{screen}");
    assert!(
        screen.contains("Do            Boot with the signed words"),
        "{screen}"
    );
}

#[test]
fn status_screen_of_undecided_host_matches_the_expected_text() {
    let mut report = Report::undecided("failed to open '/usr/lib/earmark/trust.toml'".to_owned());
    report.policy = Some("halt".to_owned());
    must_show(
        &report,
        true,
        "\
unknown image                                                          UNDECIDED

This host     unknown: no seal was believed
Checked       nothing
              at a time that the clock did not know
Not checked   the root: there was nothing to compare it with
              tier T0: the agent and its trust file are on the disk that they
              check
Wrong         failed to open '/usr/lib/earmark/trust.toml'
Policy        halt: a host that does not verify powers off
Do            Read what is wrong, mend it, and run 'earmark-agent verify'. Until
              then this host counts as not verified.
",
    );
}

#[test]
fn status_screen_of_earlier_boot_record_says_not_verified() {
    let screen = shown(&report(|_| {}), NOW, false);
    assert!(screen.contains("  NOT VERIFIED IN THIS BOOT\n"), "{screen}");
    assert!(
        screen.contains("3 minutes ago, in an earlier boot"),
        "{screen}"
    );
    assert!(
        screen.contains("Do            Run 'earmark-agent verify'"),
        "{screen}"
    );
}

#[test]
fn status_screen_replaces_terminal_control_characters() {
    let screen = shown(
        &report(|report| report["image"]["name"] = "\u{1b}[2J\nweb".into()),
        NOW,
        true,
    );
    assert!(
        !screen.contains('\u{1b}') && !screen.contains("\nweb"),
        "{screen}"
    );
}

/// The screen of a verified host whose first boot went like this.
fn of_first_boot(more: &serde_json::Value) -> String {
    let mut first_boot = json!({
        "schema": 1, "state": "done", "instance": "i-0123456789abcdef0", "manifest": null,
        "cloned_from": null, "next": null,
        "steps": [{
            "name": "join", "state": "done", "attempts": 1,
            "time": null, "milliseconds": null, "reason": null
        }]
    });
    for (name, value) in more.as_object().unwrap() {
        first_boot[name] = value.clone();
    }
    let first_boot = serde_json::from_value(first_boot).unwrap();
    let status = Status {
        report: report(|_| {}),
        first_boot: Some(first_boot),
        lockdown: None,
        instance: None,
        channel: None,
        taints: Vec::new(),
    };
    render(&status, &BTreeMap::new(), NOW, true)
}

#[test]
fn status_screen_shows_first_boot_notes() {
    let clone = "this disk began as that of i-0fedcba9876543210: this host is a clone";
    let screen = of_first_boot(&json!({ "notes": [clone] }));
    let rows = "\
First boot    done, of 1 step
              this disk began as that of i-0fedcba9876543210: this host is a
              clone
";
    assert!(screen.contains(rows), "{screen}");
    assert!(screen.contains("Do            Nothing."), "{screen}");
}

#[test]
fn status_screen_of_failed_first_boot_shows_reason_and_advice() {
    let problem = ["step 'join': exit status 7", "\u{1b}[2Jthe cluster is full"];
    let screen = of_first_boot(&json!({ "state": "failed", "problem": problem }));
    let rows = "\
First boot    failed, of 1 step
                step 'join': exit status 7
                \u{fffd}[2Jthe cluster is full
";
    assert!(screen.contains(rows), "{screen}");
    assert!(
        screen.contains("Do            Mend what first boot was given"),
        "{screen}"
    );
}

#[test]
fn status_screen_groups_locks_by_state_and_lists_open_items() {
    let lock = |name: &str, declared: &str, state: &str, open: &[&str]| json!({ "lock": name, "declared": declared, "state": state, "open": open });
    let lockdown = json!({
        "is_enforced": false,
        "time": NOW.unwrap() - 20,
        "locks": [
            lock("remote_access", "allow", "not-enforced", &[]),
            lock("packages", "deny", "enforced", &[]),
            lock("kernel", "deny", "not-enforced", &["kernel: kernel.sysrq: 1"]),
            lock("imds", "deny", "not-applicable", &[]),
        ]
    });
    let status = Status {
        report: report(|_| {}),
        first_boot: None,
        lockdown: Some(serde_json::from_value(lockdown).unwrap()),
        instance: None,
        channel: None,
        taints: Vec::new(),
    };
    let screen = render(&status, &BTreeMap::new(), NOW, true);
    let rows = "\
Locks         enforced: packages
              NOT ENFORCED: kernel
              nothing to shut: imds
              left open by the image: remote_access
              looked at 20 seconds ago
                kernel: kernel.sysrq: 1
";
    assert!(screen.contains(rows), "{screen}");
    let advice = "Do            Declare what the image must leave open";
    assert!(screen.contains(advice), "{screen}");
}

#[test]
fn status_screen_lists_items_without_policy_last_and_without_advice() {
    let told = "accounts: a: b (account can cause it: told, no policy)";
    let screen = |open: &[&str]| {
        let lockdown = json!({
            "is_enforced": open.is_empty(),
            "locks": [
                { "lock": "accounts", "declared": "deny", "state": "not-enforced", "told": [told] },
                { "lock": "kernel", "declared": "deny", "state": "not-enforced", "open": open },
            ]
        });
        let status = Status {
            report: report(|_| {}),
            first_boot: None,
            lockdown: Some(serde_json::from_value(lockdown).unwrap()),
            channel: None,
            taints: Vec::new(),
            instance: None,
        };
        render(&status, &BTreeMap::new(), NOW, true)
    };
    let both = screen(&["kernel: c: d"]);
    let rows = format!("                kernel: c: d\n                {told}\n");
    assert!(both.contains(&rows), "{both}");
    let advice = "Declare what the image must leave open";
    assert!(both.contains(advice), "{both}");
    let alone = screen(&[]);
    assert!(alone.contains(told) && !alone.contains(advice), "{alone}");
}

#[test]
fn status_screen_of_granted_host_shows_open_lock_and_taint() {
    let lockdown = json!({
        "is_enforced": true,
        "locks": [
            { "lock": "packages", "declared": "deny", "state": "enforced" },
            { "lock": "imds", "declared": "deny", "state": "granted", "granted_until": 1_795_395_600_u64 },
        ]
    });
    let taint = json!({
        "kind": "grant", "id": "00", "locks": ["imds"], "from": 1_795_392_000_u64,
        "until": 1_795_395_600_u64, "reason": "ticket\n4711"
    });
    let status = Status {
        report: report(|_| {}),
        first_boot: None,
        lockdown: Some(serde_json::from_value(lockdown).unwrap()),
        channel: None,
        taints: vec![serde_json::from_value(taint).unwrap()],
        instance: None,
    };
    let screen = render(&status, &BTreeMap::new(), NOW, true);
    let rows = "\
Locks         enforced: packages
              OPEN BY A GRANT: imds
TAINTED       imds opened by a grant, 2026-11-23 00:00:00 UTC to 2026-11-23
              01:00:00 UTC: ticket\u{fffd}4711
";
    assert!(screen.contains(rows), "{screen}");
    assert!(
        screen.contains("Do            Replace this host"),
        "{screen}"
    );
}

#[test]
fn status_screen_shows_last_delivery_or_problem_of_each_report_sink() {
    let status = Status {
        report: report(|_| {}),
        first_boot: None,
        lockdown: None,
        channel: None,
        taints: Vec::new(),
        instance: None,
    };
    let fresh = SinkStatus {
        last: Some(1_795_392_010),
        ..SinkStatus::default()
    };
    let down = SinkStatus {
        problem: Some("status 503\u{1b}[2J".to_owned()),
        spooled: 3_072,
        ..SinkStatus::default()
    };
    let sinks = [
        ("https://reports.example.com/", fresh),
        ("s3://reports/web/", down),
    ];
    let sinks = sinks.map(|(url, sink)| (url.to_owned(), sink)).into();
    let screen = render(&status, &sinks, NOW, true);
    let rows = "\
Reports       https://reports.example.com/ took one 3 minutes ago
              s3://reports/web/ took none in this boot
                status 503\u{fffd}[2J; 3072 bytes wait for it
";
    assert!(screen.contains(rows), "{screen}");
}
