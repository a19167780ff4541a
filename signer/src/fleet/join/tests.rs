//! Hosts of every kind: where each stands, and that each is one.

use earmark_manifest::{
    channel::{AmiId, Channel, ChannelTime, Promotion, Release, Releases},
    digest::{ManifestDigest, Sha256Digest},
};

use super::*;
use crate::fleet::report::Running;

const NOW: u64 = 1_795_400_000;
const SILENT: u64 = 900;
const DAY: u64 = 86_400;

fn manifest(number: u8) -> ManifestDigest {
    let digest = Sha256Digest::new([number; 32]).to_string();
    ManifestDigest::from_prefixed(&digest).unwrap()
}

/// Releases 1 to 4, promoted 40, 30, 20 and 10 days ago, of which 2 is revoked.
fn documents() -> Documents {
    let releases = (1..=4u8).map(|number| Release {
        version: format!("1.{number}").parse().unwrap(),
        epoch: 3,
        manifest: manifest(number),
        amis: [(
            "eu-central-1".parse().unwrap(),
            format!("ami-0000000{number}").parse::<AmiId>().unwrap(),
        )]
        .into(),
        promoted: Promotion {
            counter: number.into(),
            time: NOW - u64::from(5 - number) * 10 * DAY,
        },
        revoked: (number == 2).then(|| "it leaks".parse().unwrap()),
    });
    let channel = Channel {
        image: "web".parse().unwrap(),
        name: "stable".parse().unwrap(),
        counter: 9,
        time: ChannelTime::new(NOW - DAY, NOW + DAY).unwrap(),
        releases: Releases::new(releases.collect(), 3).unwrap(),
    };
    Documents::of(channel, NOW)
}

fn running(number: u8, epoch: u64) -> std::sync::Arc<Running> {
    let running = Running {
        image: "web".into(),
        version: format!("claimed-{number}").into(),
        epoch,
        manifest: manifest(number),
    };
    running.into()
}

fn seen(id: &str, release: u8) -> Seen {
    Seen {
        instance: Some(id.into()),
        boot: format!("boot-of-{id}").into(),
        time: NOW - 60,
        booted: Some(NOW - DAY),
        running: Some(running(release, 3)),
        region: None,
        counter: Some(9),
        own: None,
    }
}

fn inventory(ids: &[(&str, &str)]) -> Inventory {
    let reservations = ids.iter().map(|(id, state)| {
        serde_json::json!({"Instances": [{"InstanceId": id, "ImageId": "ami-00000003", "State": {"Name": state}}]})
    });
    let page = serde_json::json!({"Reservations": reservations.collect::<Vec<_>>()});
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), page.to_string()).unwrap();
    Inventory::read(path.path()).unwrap()
}

fn joined(reports: Vec<Seen>, inventory: Option<&Inventory>) -> Joined {
    let documents = documents();
    join(
        reports,
        &Against {
            documents: &documents,
            inventory,
            now: NOW,
            silent_after: SILENT,
        },
    )
}

fn only(reports: Vec<Seen>, inventory: Option<&Inventory>) -> Host {
    let mut joined = joined(reports, inventory);
    assert_eq!(joined.hosts.len(), 1, "{joined:?}");
    joined.hosts.remove(0)
}

fn state(report: Seen) -> State {
    only(vec![report], None).state
}

#[test]
fn host_state_follows_its_release_in_the_channel() {
    let host = only(vec![seen("i-1", 4)], None);
    assert_eq!(
        (host.state, host.version.as_deref()),
        (State::Current, Some("1.4"))
    );
    assert!(host.latest);
    let host = only(vec![seen("i-1", 1)], None);
    assert_eq!((host.state, host.behind), (State::Behind, Some(3)));
    assert_eq!(host.behind_since, Some(NOW - 30 * DAY));
    assert_eq!(host.reason.as_deref(), Some("3 releases, 30 days"));
    let host = only(vec![seen("i-1", 2)], None);
    assert_eq!(
        (host.state, host.reason.as_deref()),
        (State::Revoked, Some("it leaks"))
    );
    let host = only(vec![seen("i-1", 7)], None);
    assert_eq!(
        (host.state, host.version.as_deref()),
        (State::Unlisted, Some("claimed-7"))
    );
    // Below the floor of epochs, which the host's word cannot lift where the release is listed.
    let mut old = seen("i-1", 7);
    old.running = Some(running(7, 2));
    assert_eq!(state(old), State::Revoked);
    let mut low = seen("i-1", 4);
    low.running = Some(running(4, 1));
    assert_eq!(state(low), State::Current);
    let mut other = seen("i-1", 4);
    let mut image = (*other.running.take().unwrap()).clone();
    image.image = "db".into();
    other.running = Some(image.into());
    assert_eq!(state(other), State::Unknown);
    let mut nothing = seen("i-1", 4);
    nothing.running = None;
    assert_eq!(state(nothing), State::Unknown);
}

#[test]
fn most_severe_host_state_takes_precedence() {
    let with = |own: State, release: u8| {
        let mut seen = seen("i-1", release);
        seen.own = Some((own, "because".into()));
        state(seen)
    };
    assert_eq!(with(State::Violated, 4), State::Violated);
    assert_eq!(with(State::Violated, 2), State::Violated);
    assert_eq!(with(State::Cloned, 2), State::Cloned);
    assert_eq!(with(State::Tainted, 2), State::Revoked);
    assert_eq!(with(State::Tainted, 1), State::Tainted);
    assert_eq!(with(State::Tainted, 4), State::Tainted);
    assert_eq!(with(State::Unknown, 4), State::Unknown);
    assert_eq!(with(State::Unknown, 1), State::Behind);
}

#[test]
fn inventory_reports_silent_hosts_and_omits_ended_ones() {
    let inventory = inventory(&[
        ("i-1", "running"),
        ("i-2", "running"),
        ("i-3", "running"),
        ("i-4", "terminated"),
        ("i-5", "stopping"),
        ("i-8", "pending"),
    ]);
    let mut late = seen("i-2", 4);
    late.time = NOW - SILENT - 1;
    let mut at_last = seen("i-1", 4);
    at_last.time = NOW - SILENT;
    let mut gone = seen("i-7", 4);
    gone.time = NOW - DAY;
    let mut nameless = seen("i-9", 4);
    nameless.instance = None;
    let reports = vec![
        at_last,
        late,
        seen("i-4", 4),
        seen("i-5", 4),
        seen("i-6", 4),
        gone,
        nameless,
    ];
    let joined = joined(reports, Some(&inventory));
    let hosts: Vec<_> = joined
        .hosts
        .iter()
        .map(|host| (&*host.id, host.state, host.version.as_deref()))
        .collect();
    assert_eq!(
        hosts,
        [
            ("i-2", State::Silent, Some("1.4")),
            // By its AMI, since it never said anything.
            ("i-3", State::Silent, Some("1.3")),
            ("boot boot-of-i-9", State::Unknown, Some("1.4")),
            ("i-6", State::Unknown, Some("1.4")),
            ("i-1", State::Current, Some("1.4")),
        ]
    );
    assert_eq!(joined.gone, 3);
    let late = joined.hosts[0].reason.as_deref().unwrap();
    assert_eq!(late, "no report for 15 min; it was current");
    // What is not expected is not better for it.
    let mut violated = seen("i-6", 4);
    violated.own = Some((State::Violated, "x".into()));
    let hosts = super::tests::joined(vec![violated], Some(&inventory)).hosts;
    assert!(hosts.iter().any(|host| host.state == State::Violated));
}

#[test]
fn stale_report_without_inventory_counts_as_gone() {
    let mut old = seen("i-1", 4);
    old.time = NOW - DAY;
    let joined = joined(vec![old, seen("i-2", 4)], None);
    assert_eq!((joined.hosts.len(), joined.gone), (1, 1));
}

#[test]
fn reboot_is_one_host_and_overlapping_boots_are_a_clone() {
    let boots = |first: (u64, u64), second: (u64, u64)| {
        let boot = |name: &str, (booted, time): (u64, u64)| Seen {
            boot: name.into(),
            booted: Some(booted),
            time,
            ..seen("i-1", 4)
        };
        let host = only(vec![boot("a", first), boot("b", second)], None);
        let back = only(vec![boot("b", second), boot("a", first)], None);
        assert_eq!(host.state, back.state);
        host
    };
    let reboot = boots((NOW - DAY, NOW - 400), (NOW - 390, NOW - 10));
    assert_eq!(
        (reboot.state, reboot.reported),
        (State::Current, Some(NOW - 10))
    );
    // The clock was set by a little while the second boot ran.
    assert_eq!(
        boots((NOW - DAY, NOW - 400), (NOW - 450, NOW - 10)).state,
        State::Current
    );
    let clone = boots((NOW - DAY, NOW - 100), (NOW - 3_600, NOW - 50));
    assert_eq!(clone.state, State::Cloned);
    assert!(clone.reason.unwrap().contains("two hosts claim it"));
    // One within the other.
    assert_eq!(
        boots((NOW - DAY, NOW - 10), (NOW - 800, NOW - 300)).state,
        State::Cloned
    );
    // One that is not heard of any more is no host beside the other.
    assert_eq!(
        boots((NOW - DAY, NOW - DAY / 2), (NOW - DAY + 100, NOW - 10)).state,
        State::Current
    );
    // The same boot, told in two places.
    let again = only(vec![seen("i-1", 4), seen("i-1", 4)], None);
    assert_eq!(again.state, State::Current);
}

#[test]
fn report_without_instance_id_is_identified_by_boot_id() {
    let nameless = |boot: &str| Seen {
        instance: None,
        boot: boot.into(),
        ..seen("i-1", 4)
    };
    let joined = joined(vec![nameless("a"), nameless("b"), nameless("a")], None);
    let ids: Vec<&str> = joined.hosts.iter().map(|host| &*host.id).collect();
    assert_eq!(ids, ["boot a", "boot b"]);
}

#[test]
fn host_with_an_old_channel_document_is_flagged() {
    let with = |counter, time| Seen {
        time,
        counter,
        ..seen("i-1", 4)
    };
    let flagged = |report: Seen| {
        let host = only(vec![report], None);
        (host.channel_behind, host.state, host.reason)
    };
    // The document was issued a day ago.
    for good in [Some(9), Some(10), None] {
        let (is_flagged, state, reason) = flagged(with(good, NOW - 60));
        assert_eq!((is_flagged, state, reason), (false, State::Current, None));
    }
    let (is_flagged, state, reason) = flagged(with(Some(8), NOW - 60));
    assert_eq!((is_flagged, state), (true, State::Current));
    let reason = reason.unwrap();
    assert_eq!(
        &*reason,
        "it follows document 8 of the channel, and 9 is published"
    );
}
