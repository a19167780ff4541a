use super::*;

const NOW: u64 = 1_795_400_000;
const BOOT: &str = "7e1c9c3e-1b7a-4a0e-9d57-0c4fba6f3a11";

fn good() -> serde_json::Value {
    serde_json::json!({
        "schema": 1, "time": NOW - 10, "instance": "i-0123456789abcdef0", "boot_id": BOOT,
        "booted": NOW - 9_000, "agent": "0.1.0",
        "image": {"name": "web", "version": "1.4.2", "epoch": 3, "architecture": "x86_64"},
        "manifest": format!("sha256:{}", "ab".repeat(32)), "tier": "T0", "verdict": "verified",
        "gate": "full", "reason": null, "verified_at": NOW - 20, "violations": 0, "undecided": 0,
        "policy": "quarantine", "first_boot": "done", "cloned_from": null,
        "locks": {"packages": "enforced", "imds": "not-applicable"}, "locks_told": [], "taints": [], "taints_more": 0,
        "channel": null, "dropped": 0,
        "ec2": {"region": "eu-central-1", "account": null, "ami": null, "document": "{}", "signature": null}
    })
}

fn name() -> String {
    format!("i-0123456789abcdef0.{BOOT}.json")
}

fn take(report: &serde_json::Value) -> Result<Seen, String> {
    Taker::new(NOW, None).take(&name(), report.to_string().as_bytes())
}

fn with(field: &str, value: serde_json::Value) -> Result<Seen, String> {
    let mut report = good();
    assert!(report.get(field).is_some(), "{field}");
    report[field] = value;
    take(&report)
}

#[test]
fn valid_report_is_accepted_and_repeated_values_are_shared() {
    let mut taker = Taker::new(NOW, None);
    let mut take = || taker.take(&name(), good().to_string().as_bytes()).unwrap();
    let (one, two) = (take(), take());
    assert!(one.own.is_none());
    assert_eq!(one.region.as_deref(), Some("eu-central-1"));
    assert!(Arc::ptr_eq(&one.running.unwrap(), &two.running.unwrap()));
    assert!(Arc::ptr_eq(&one.region.unwrap(), &two.region.unwrap()));
    let seen = take();
    assert!(seen.is_fresh(NOW, 10) && !seen.is_fresh(NOW, 9));
}

#[test]
fn invalid_report_is_refused_with_reason() {
    for (field, value, says) in [
        ("time", (NOW + 301).into(), "is 5 min"),
        (
            "boot_id",
            "7e1c9c3e-1b7a-4a0e-9d57-0c4fba6f3a12".into(),
            "name",
        ),
        ("instance", serde_json::Value::Null, "name"),
        ("manifest", "sha256:x".into(), "manifest"),
        ("schema", 2.into(), "unknown schema 2"),
        ("verdict", "fine\u{1b}[2J".into(), "unknown variant"),
    ] {
        let why = with(field, value).unwrap_err();
        assert!(why.contains(says), "{says}: {why}");
        assert!(!why.contains('\u{1b}'), "{why}");
    }
    assert!(with("time", (NOW + 300).into()).is_ok());
    let text = good().to_string();
    let take = |bytes: &[u8]| Taker::new(NOW, None).take(&name(), bytes);
    assert!(take(&[]).is_err());
    assert!(take(&text.as_bytes()[..text.len() - 1]).is_err());
    assert!(take(&[&[0xff], text.as_bytes()].concat()).is_err());
    assert!(take(format!("{text}{}", " ".repeat(4096)).as_bytes()).is_err());
    assert!(take(text.as_bytes()).is_ok());
}

#[test]
fn self_reported_faults_set_host_state_and_sanitized_reason() {
    let own = |field: &str, value: serde_json::Value| {
        let own = with(field, value).unwrap().own.unwrap();
        (own.0, own.1.into_string())
    };
    assert_eq!(own("verdict", "violated".into()).0, State::Violated);
    let (state, why) = own("verdict", "undecided".into());
    assert!(
        state == State::Violated && why.starts_with("undecided"),
        "{why}"
    );
    assert_eq!(own("cloned_from", "i-1".into()).0, State::Cloned);
    let taint = serde_json::json!([{"kind": "grant", "id": null, "locks": ["imds"], "from": 1, "until": 2}]);
    assert_eq!(
        own("taints", taint),
        (State::Tainted, "a grant opened imds".to_owned())
    );
    assert_eq!(own("taints_more", 2.into()).0, State::Tainted);
    for how in ["not-enforced", "unknown", "granted", "something new"] {
        let locks = serde_json::json!({"kernel": "enforced", "imds": how});
        assert_eq!(
            own("locks", locks),
            (State::Tainted, format!("the lock imds is {how}"))
        );
    }
    // What an unprivileged process opens is its host's to tell, and taints nothing; the control is the same lock by
    // another's name, or opened in another way.
    for (told, how, is_tainted) in [
        ("imds", "not-enforced", false),
        ("imds", "unknown", false),
        ("kernel", "not-enforced", true),
        ("imds", "granted", true),
        ("imds", "something new", true),
    ] {
        let mut report = good();
        report["locks"] = serde_json::json!({"kernel": "enforced", "imds": how});
        report["locks_told"] = serde_json::json!([told]);
        let own = take(&report).unwrap().own;
        assert_eq!(
            own.map(|own| own.0),
            is_tainted.then_some(State::Tainted),
            "{told} {how}"
        );
    }
    assert_eq!(own("first_boot", "failed".into()).0, State::Unknown);
    assert!(with("verdict", "partial".into()).unwrap().own.is_none());
    // Hostile text is cleaned and cut.
    let mut report = good();
    report["verdict"] = "violated".into();
    report["reason"] = format!("\u{1b}[2J\u{202e}{}", "x".repeat(1000)).into();
    let (_, why) = take(&report).unwrap().own.unwrap();
    assert!(
        why.starts_with("\\u{1b}[2J\\u{202e}x") && why.ends_with('…'),
        "{why}"
    );
    assert!(why.chars().count() < 250, "{why}");
}

#[test]
fn duration_is_formatted_in_one_unit() {
    for (seconds, said) in [
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7_200, "2 h"),
        (172_800, "2 days"),
    ] {
        assert_eq!(duration(seconds), said);
    }
}
