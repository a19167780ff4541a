use super::*;

const BOOT: &str = "7e1c9c3e-1b7a-4a0e-9d57-0c4fba6f3a11";

fn report() -> Report {
    let report = serde_json::json!({
        "schema": 1, "time": 1_795_400_000, "instance": "i-0123456789abcdef0", "boot_id": BOOT,
        "booted": 1_795_390_000, "agent": "0.1.0",
        "image": {"name": "web", "version": "1.4.2", "epoch": 3, "architecture": "x86_64"},
        "manifest": format!("sha256:{}", "ab".repeat(32)), "tier": "T0", "verdict": "verified",
        "gate": "full", "reason": null, "verified_at": 1_795_390_020, "violations": 0, "undecided": 0,
        "policy": "quarantine", "first_boot": "done", "cloned_from": null,
        "locks": {"packages": "enforced"}, "locks_told": [], "taints": [], "taints_more": 0,
        "channel": {"state": "behind", "behind": 2}, "dropped": 0, "ec2": null
    });
    serde_json::from_value(report).unwrap()
}

fn taint() -> Taint {
    Taint {
        kind: "grant".to_owned(),
        id: Some("ab".repeat(16)),
        locks: vec!["remote_access".to_owned()],
        from: Some(1),
        until: Some(2),
    }
}

fn ec2(bytes: usize) -> Ec2 {
    Ec2 {
        region: Some("eu-central-1".to_owned()),
        account: None,
        ami: None,
        document: "{}".to_owned(),
        signature: Some("A".repeat(bytes)),
    }
}

#[test]
fn report_is_one_line_and_round_trips() {
    let line = report().to_line().unwrap();
    assert_eq!(
        line.iter().position(|byte| *byte == b'\n'),
        Some(line.len() - 1)
    );
    assert_eq!(Report::parse(&line), Ok(report()));
    assert_eq!(report().name(), format!("i-0123456789abcdef0.{BOOT}.json"));
    let mut unknown = report();
    unknown.instance = None;
    assert_eq!(unknown.name(), format!("unknown.{BOOT}.json"));
}

/// No other reader of reports takes the fields of an object by their places.
#[test]
fn report_with_an_array_for_an_object_is_refused() {
    let text = serde_json::to_string(&report()).unwrap();
    assert_eq!(Report::parse(text.as_bytes()), Ok(report()), "the control");
    for name in ["image", "channel"] {
        let (before, rest) = text.split_once(&format!("\"{name}\":{{")).unwrap();
        let (fields, after) = rest.split_once('}').unwrap();
        let values: Vec<&str> = fields
            .split(',')
            .map(|field| field.split_once(':').unwrap().1)
            .collect();
        let other = format!("{before}\"{name}\":[{}]{after}", values.join(","));
        // The parser alone would take it.
        assert_eq!(serde_json::from_str::<Report>(&other).unwrap(), report());
        assert!(Report::parse(other.as_bytes()).is_err(), "{name}");
    }
}

#[test]
fn report_accepts_unknown_fields_and_refuses_malformed_input() {
    let text = String::from_utf8(report().to_line().unwrap()).unwrap();
    let with = |changed: &str, to: &str| {
        assert!(text.contains(changed), "{changed}");
        Report::parse(text.replace(changed, to).as_bytes())
    };
    // Of an older agent, which tells no locks apart.
    assert_eq!(with("\"locks_told\":[],", ""), Ok(report()));
    assert!(with("\"locks_told\":[],", "\"locks_told\":7,").is_err());
    let more = "\"schema\":1,\"weather\":{\"rain\":[1.5,true]}";
    assert_eq!(with("\"schema\":1", more), Ok(report()));
    assert_eq!(
        with("\"schema\":1", "\"schema\":2"),
        Err(ReportError::Schema(2))
    );
    for (changed, to) in [
        ("\"verified\"", "\"fine\""),
        ("\"schema\":1", "\"schema\":1,\"schema\":1"),
        ("\"violations\":0", "\"violations\":-1"),
        ("i-0123456789abcdef0", "i-../../etc/passwd"),
        (BOOT, "../e1c9c3e-1b7a-4a0e-9d57-0c4fba6f3a"),
        ("\"web\"", "\"<script>\""),
        ("\n", "\n{}"),
        ("}\n", ""),
    ] {
        assert!(with(changed, to).is_err(), "{to}");
    }
    let long = format!("{text}{}", " ".repeat(limits::REPORT));
    assert_eq!(Report::parse(long.as_bytes()), Err(ReportError::Long));
}

#[test]
fn oversized_report_is_trimmed_to_the_limit_and_counts_omissions() {
    let mut full = report();
    full.reason = Some("é".repeat(5_000));
    full.taints = vec![taint(); 9];
    let mut seen = Vec::new();
    for bytes in (1_000..4_500).step_by(50) {
        full.ec2 = Some(ec2(bytes));
        let read = Report::parse(&full.clone().to_line().unwrap()).unwrap();
        assert!(read.reason.unwrap().len() <= TEXT + "…".len());
        assert!(read.ec2.is_none() || read.ec2 == full.ec2);
        seen.push((read.taints.len(), read.taints_more, read.ec2.is_some()));
    }
    // The older taints, then all of them, then the identity document: never how the host is.
    seen.dedup();
    assert_eq!(seen, [(4, 5, true), (0, 9, true), (0, 9, false)]);
    full.agent = "0".repeat(limits::REPORT);
    assert_eq!(full.to_line(), Err(ReportError::Long));
}
