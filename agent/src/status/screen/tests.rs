//! The screens, as people see them: each word for word in `agent/golden/status/`.

use earmark_tests::golden;
use serde_json::{Value, from_value, json};

use super::*;

fn report(change: impl FnOnce(&mut Value)) -> Report {
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
    from_value(report).unwrap()
}

const NOW: Option<u64> = Some(1_795_392_190);

/// A status with a report alone.
fn of(report: Report) -> Status {
    Status {
        report,
        first_boot: None,
        lockdown: None,
        instance: None,
        channel: None,
        taints: Vec::new(),
    }
}

/// Compares a screen with its golden text. Whatever it shows of others must not drive a terminal.
#[track_caller]
fn must_show(name: &str, status: &Status, now: Option<u64>, is_of_this_boot: bool) {
    must_show_with(name, status, &BTreeMap::new(), now, is_of_this_boot);
}

#[track_caller]
fn must_show_with(
    name: &str,
    status: &Status,
    sinks: &BTreeMap<String, SinkStatus>,
    now: Option<u64>,
    is_of_this_boot: bool,
) {
    let screen = render(status, sinks, now, is_of_this_boot);
    let drives = |character: char| character.is_control() && character != '\n';
    assert!(!screen.contains(drives), "{screen:?}");
    golden!(&format!("status/{name}"), screen);
}

#[test]
fn status_screen_of_verified_host_is_golden() {
    must_show("verified", &of(report(|_| {})), NOW, true);
}

#[test]
fn status_screen_of_partial_verdict_and_unknown_time_is_golden() {
    let report = report(|report| {
        report["verdict"] = "partial".into();
        report["gate"] = "critical".into();
        report["counts"]["files_unread"] = 97_000.into();
        report["policy"] = "report".into();
    });
    must_show("partial", &of(report), None, true);
}

#[test]
fn status_screen_of_violated_host_with_more_than_the_listed_violations_is_golden() {
    let finding =
        |path: &str| json!({"path": path, "kind": "mode", "expected": "0644", "found": "0666"});
    let report = report(|report| {
        report["verdict"] = "violated".into();
        report["violations"] = (1..8).map(|n| finding(&format!("/etc/{n}"))).collect();
        report["counts"]["violations"] = 7.into();
        report["reason"] = "/etc/1: mode: expected 0644, found 0666 (and 6 more)".into();
    });
    must_show("violated", &of(report), NOW, true);
}

#[test]
fn status_screen_of_cmdline_violation_is_golden() {
    let report = report(|report| {
        report["verdict"] = "violated".into();
        report["counts"]["violations"] = 1.into();
        report["violations"] = json!([{
            "path": "/proc/cmdline", "kind": "cmdline",
            "expected": "no word that opens a shell without a login",
            "found": "systemd.debug-shell"
        }]);
    });
    must_show("violated-cmdline", &of(report), NOW, true);
}

#[test]
fn status_screen_of_undecided_host_is_golden() {
    let mut report = Report::undecided("failed to open '/usr/lib/earmark/trust.toml'".to_owned());
    report.policy = Some("halt".to_owned());
    must_show("undecided", &of(report), NOW, true);
}

#[test]
fn status_screen_of_earlier_boot_record_is_golden() {
    must_show("earlier-boot", &of(report(|_| {})), NOW, false);
}

#[test]
fn status_screen_with_terminal_control_characters_is_golden() {
    let report = report(|report| report["image"]["name"] = "\u{1b}[2J\nweb".into());
    must_show("hostile", &of(report), NOW, true);
}

/// Status of a verified host whose first boot went like this.
fn of_first_boot(more: &Value) -> Status {
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
    Status {
        first_boot: Some(from_value(first_boot).unwrap()),
        ..of(report(|_| {}))
    }
}

#[test]
fn status_screen_with_first_boot_notes_is_golden() {
    let clone = "this disk began as that of i-0fedcba9876543210: this host is a clone";
    let status = of_first_boot(&json!({ "notes": [clone] }));
    must_show("first-boot-notes", &status, NOW, true);
}

#[test]
fn status_screen_of_failed_first_boot_is_golden() {
    let problem = ["step 'join': exit status 7", "\u{1b}[2Jthe cluster is full"];
    let status = of_first_boot(&json!({ "state": "failed", "problem": problem }));
    must_show("first-boot-failed", &status, NOW, true);
}

/// Status of a verified host with this lockdown.
fn of_lockdown(lockdown: Value) -> Status {
    Status {
        lockdown: Some(from_value(lockdown).unwrap()),
        ..of(report(|_| {}))
    }
}

#[test]
fn status_screen_with_locks_in_every_state_is_golden() {
    let lock = |name: &str, declared: &str, state: &str, open: &[&str]| json!({ "lock": name, "declared": declared, "state": state, "open": open });
    let status = of_lockdown(json!({
        "is_enforced": false,
        "time": NOW.unwrap() - 20,
        "locks": [
            lock("remote_access", "allow", "not-enforced", &[]),
            lock("packages", "deny", "enforced", &[]),
            lock("kernel", "deny", "not-enforced", &["kernel: kernel.sysrq: 1"]),
            lock("imds", "deny", "not-applicable", &[]),
        ]
    }));
    must_show("locks", &status, NOW, true);
}

#[test]
fn status_screen_with_items_without_policy_is_golden() {
    let told = "accounts: a: b (account can cause it: told, no policy)";
    for (name, open) in [
        ("locks-open-and-told", &["kernel: c: d"][..]),
        // No policy follows from what is only told, and no advice.
        ("locks-told", &[]),
    ] {
        let status = of_lockdown(json!({
            "is_enforced": open.is_empty(),
            "locks": [
                { "lock": "accounts", "declared": "deny", "state": "not-enforced", "told": [told] },
                { "lock": "kernel", "declared": "deny", "state": "not-enforced", "open": open },
            ]
        }));
        must_show(name, &status, NOW, true);
    }
}

#[test]
fn status_screen_of_granted_and_tainted_host_is_golden() {
    let taint = json!({
        "kind": "grant", "id": "00", "locks": ["imds"], "from": 1_795_392_000_u64,
        "until": 1_795_395_600_u64, "reason": "ticket\n4711"
    });
    let status = Status {
        taints: vec![from_value(taint).unwrap()],
        ..of_lockdown(json!({
            "is_enforced": true,
            "locks": [
                { "lock": "packages", "declared": "deny", "state": "enforced" },
                { "lock": "imds", "declared": "deny", "state": "granted", "granted_until": 1_795_395_600_u64 },
            ]
        }))
    };
    must_show("granted", &status, NOW, true);
}

#[test]
fn status_screen_with_report_sinks_is_golden() {
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
    must_show_with("report-sinks", &of(report(|_| {})), &sinks, NOW, true);
}
