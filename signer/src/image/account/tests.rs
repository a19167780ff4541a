use super::{measure::Content, *};

fn rules(
    declared: &Declared,
    named: &Named,
    mut range: Range,
    content: Content,
) -> (Status, Option<String>) {
    let rules = Rules {
        declared: Some(declared),
        named,
    };
    let expected = rules.expected(&range);
    rules.judge(&mut range, content, expected);
    (range.status, range.reason)
}

fn esp() -> Range {
    Range {
        partition: Some(2),
        expected_as: Some("partition-2".to_owned()),
        ..Range::open(512, 1024, "EFI system partition: partition 2", &["esp"])
    }
}

fn digest(byte: u8) -> Sha256Digest {
    Sha256Digest::from_prefixed(&format!("sha256:{}", format!("{byte:02x}").repeat(32))).unwrap()
}

#[test]
fn range_is_known_only_if_empty_expected_or_ignored() {
    use earmark_manifest::declaration::{Expected, Ignored};
    let region = |name: &str| name.parse::<Region>().unwrap();
    let full = Content {
        is_zero: false,
        sha256: Some(digest(1)),
    };
    let zero = Content {
        is_zero: true,
        sha256: None,
    };
    let none = (Declared::default(), Named::default());
    assert_eq!(rules(&none.0, &none.1, esp(), full).0, Status::NotLookedAt);
    assert_eq!(rules(&none.0, &none.1, esp(), zero).0, Status::Empty);
    // By its own name, and by no other: not by its number, which is for partitions that nothing boots from.
    for (name, status) in [
        ("esp", Status::Ignored),
        ("partition-2", Status::NotLookedAt),
        ("partition-3", Status::NotLookedAt),
        ("gap", Status::NotLookedAt),
    ] {
        let named = Named {
            ignore: vec![region(name)],
            ..Named::default()
        };
        assert_eq!(rules(&none.0, &named, esp(), full).0, status, "{name}");
        let declared = Declared {
            ignore: vec![Ignored {
                region: region(name),
                reason: "unused".to_owned(),
            }],
            ..Declared::default()
        };
        assert_eq!(rules(&declared, &none.1, esp(), full).0, status, "{name}");
        for (declared, named) in [(&declared, &none.1), (&none.0, &named)] {
            let reason = rules(declared, named, esp(), full).1.unwrap_or_default();
            let is_told = reason.contains("ignore it as 'esp'");
            assert_eq!(is_told, name == "partition-2", "{name}: {reason}");
        }
    }
    // Its digest vouches for it by either name.
    for name in ["esp", "partition-2"] {
        for (byte, status) in [(1, Status::Matches), (2, Status::Differs)] {
            let expect = vec![(region(name), digest(byte))];
            let named = Named {
                expect,
                ..Named::default()
            };
            assert_eq!(rules(&none.0, &named, esp(), full).0, status, "{name}");
        }
    }
    let signed = |byte| Declared {
        expect: vec![Expected {
            region: region("esp"),
            sha256: digest(byte),
        }],
        ..Declared::default()
    };
    assert_eq!(rules(&signed(1), &none.1, esp(), full).0, Status::Matches);
    assert_eq!(rules(&signed(2), &none.1, esp(), full).0, Status::Differs);
    // What is signed is not opened by the command line.
    let ignoring = Named {
        ignore: vec![region("esp")],
        ..Named::default()
    };
    assert_eq!(rules(&signed(2), &ignoring, esp(), full).0, Status::Differs);
    let expecting = Named {
        expect: vec![(region("esp"), digest(1))],
        ..Named::default()
    };
    assert_eq!(
        rules(&signed(2), &expecting, esp(), full).0,
        Status::Differs
    );
    assert_eq!(
        rules(&signed(1), &expecting, esp(), full).0,
        Status::Matches
    );
}

#[test]
fn partition_region_does_not_match_slack_behind_its_file_system() {
    let mut slack = Range::open(0, 1, "partition 2, behind its file system", &["slack"]);
    slack.partition = Some(2);
    assert!(!slack.is(&"partition-2".parse().unwrap()));
    assert!(slack.is(&"slack".parse().unwrap()));
}

#[test]
fn verdict_of_a_disk_is_never_better_than_its_account() {
    let account = |statuses: &[Status]| {
        let ranges = statuses.iter().map(|status| Range {
            status: *status,
            ..esp()
        });
        let is_known = |status: &Status| !matches!(status, Status::NotLookedAt | Status::Differs);
        Account {
            format: "raw",
            size: 1,
            complete: statuses.iter().all(is_known),
            ranges: ranges.collect(),
        }
    };
    let known = [
        Status::Verified,
        Status::Read,
        Status::Matches,
        Status::Empty,
        Status::Ignored,
    ];
    for (more, verified, partial) in [
        (None, Verdict::Verified, Verdict::Partial),
        (
            Some(Status::NotLookedAt),
            Verdict::Partial,
            Verdict::Partial,
        ),
        (Some(Status::Differs), Verdict::Violated, Verdict::Violated),
    ] {
        let account = account(&known.into_iter().chain(more).collect::<Vec<_>>());
        assert_eq!(account.verdict(Verdict::Verified), verified);
        assert_eq!(account.verdict(Verdict::Partial), partial);
        assert_eq!(account.verdict(Verdict::Violated), Verdict::Violated);
        assert_eq!(account.verdict(Verdict::Undecided), Verdict::Undecided);
        assert_eq!(account.reason().is_some(), more.is_some());
    }
}
