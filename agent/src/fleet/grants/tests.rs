use earmark_manifest::{
    crypto::{Algorithm, PrivateKey},
    envelope::Envelope,
    grant::{Grant, GrantId, GrantTime},
    trust::{Purpose, TrustedKey, public_pem},
};

use super::*;
use crate::{
    boot::policy::Policy,
    testing::{
        TestRoot,
        lies::{LIES, places},
    },
};

const INSTANCE: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210";
const NOW: u64 = 1_795_430_000;
const HOUR: u64 = 3_600;
const DROPPED: &str = "/run/earmark/grants/one.json";
const FETCHED: &str = "/run/earmark-fetch/grant.json";
const RECORD: &str = "/var/lib/earmark/grants.journal";
const LOCKED: &str = "platform = \"file\"\n";

fn key() -> PrivateKey {
    let der = PrivateKey::generate_pkcs8(Algorithm::Ed25519).unwrap();
    PrivateKey::from_pkcs8(&der).unwrap()
}

/// A sealed host, a key that it believes about grants, and what it told.
struct Bench {
    root: TestRoot,
    key: PrivateKey,
    opened: Opened,
}

impl Bench {
    fn new() -> Self {
        let root = TestRoot::declared(LOCKED);
        let key = key();
        let bench = Self {
            root,
            key,
            opened: Opened::default(),
        };
        bench.trust(&[Purpose::Grant]);
        bench.root.write("/var/lib/.keep", b"");
        bench.is(INSTANCE);
        bench
    }

    fn is(&self, instance: &str) {
        self.root.write("/etc/machine-id", instance.as_bytes());
    }

    /// Beside the image's own.
    fn trust(&self, purposes: &[Purpose]) {
        let pem = public_pem(&self.key.public().unwrap());
        let purposes = purposes.iter().copied().collect();
        let key = TrustedKey::from_pem(pem.as_bytes(), purposes).unwrap();
        let mut keys = seal::read_trust(&self.root.open()).unwrap().keys().to_vec();
        keys.retain(|known| known.id() != key.id());
        keys.push(key);
        let trust = Trust::new(None, 1, keys).unwrap();
        let path = earmark_manifest::layout::TRUST;
        self.root.write(path, trust.to_toml().as_bytes());
    }

    fn bring(&self, path: &str, grant: &Grant) {
        let envelope = Envelope::sign(grant.to_payload().unwrap(), &self.key).unwrap();
        self.root.write(path, &envelope.to_json());
    }

    fn look_at(&mut self, boot: &str, uptime: u64, time: Option<u64>) -> Now {
        let reading = Reading {
            boot: Some(boot.to_owned()),
            uptime: Some(uptime),
            time,
        };
        let root = self.root.open();
        let policy = Policy::of(&root);
        let declared = policy.declared().unwrap();
        match try_look(&root, declared, &mut self.opened, &reading) {
            Ok(now) => now,
            Err(problem) => Now {
                events: vec![Event::Problem(problem)],
                ..Now::default()
            },
        }
    }

    fn look(&mut self) -> Now {
        self.look_at("a", 100, Some(NOW))
    }
}

fn grant() -> Grant {
    Grant {
        id: GrantId::random().unwrap(),
        instance: INSTANCE.parse().unwrap(),
        image: "web".parse().unwrap(),
        manifest: None,
        locks: [GrantedLock::RemoteAccess].into(),
        time: GrantTime::new(NOW, NOW + HOUR).unwrap(),
        reason: None,
    }
}

fn is_open(now: &Now) -> bool {
    now.open.contains_key(&GrantedLock::RemoteAccess)
}

fn told(now: &Now) -> String {
    let text = |event: &Event| match event {
        Event::Opened(_) => "opened".to_owned(),
        Event::Closed(taken) => format!("closed: {}", taken.closed.as_ref().unwrap().1),
        Event::Refused { refused, .. } => format!("refused: {}", refused.why),
        Event::Problem(problem) => format!("problem: {problem}"),
    };
    now.events.iter().map(text).collect::<Vec<_>>().join("; ")
}

#[test]
fn host_without_grants_writes_no_record() {
    let mut bench = Bench::new();
    let now = bench.look();
    assert!(now.open.is_empty() && now.events.is_empty());
    assert!(!bench.root.at(RECORD).exists());
    assert_eq!(taints(&bench.root.open()), []);
}

#[test]
fn grant_opens_its_locks_until_expiry_and_taints_permanently() {
    let mut bench = Bench::new();
    let grant = grant();
    bench.bring(DROPPED, &grant);
    let now = bench.look();
    assert_eq!(told(&now), "opened");
    assert_eq!(now.open, [(GrantedLock::RemoteAccess, NOW + HOUR)].into());
    // It is on record, and gone from where it was put.
    assert!(!bench.root.at(DROPPED).exists());
    let taint = taints(&bench.root.open()).remove(0);
    assert_eq!(taint.id, Some(grant.id.to_string()));
    assert_eq!(taint.until, Some(NOW + HOUR));

    let now = bench.look_at("a", 100 + HOUR - 1, Some(NOW + HOUR - 1));
    assert!(is_open(&now) && now.events.is_empty());
    let now = bench.look_at("a", 100 + HOUR, Some(NOW + HOUR));
    assert!(!is_open(&now));
    assert_eq!(told(&now), "closed: it expired");
    assert_eq!(bench.look().events, []);
    assert_eq!(taints(&bench.root.open()).len(), 1);
}

#[test]
fn clock_set_back_does_not_extend_or_reopen_a_grant() {
    let mut bench = Bench::new();
    bench.bring(DROPPED, &grant());
    assert!(is_open(&bench.look()));
    assert!(is_open(&bench.look_at(
        "a",
        100 + HOUR / 2,
        Some(NOW - 9 * HOUR)
    )));
    assert!(!is_open(&bench.look_at(
        "a",
        100 + HOUR,
        Some(NOW - 9 * HOUR)
    )));
    // Nor does it open it again.
    assert!(!is_open(&bench.look_at("a", 100 + HOUR + 60, Some(NOW))));
    assert!(!is_open(&bench.look_at("b", 1, Some(NOW))));
}

#[test]
fn grant_stays_open_across_reboots_until_expiry() {
    let mut bench = Bench::new();
    bench.bring(DROPPED, &grant());
    assert!(is_open(&bench.look()));
    bench.opened = Opened::default();
    assert!(is_open(&bench.look_at("b", 20, Some(NOW + 60))));
    // Another, with the clock set back: its time goes on from where it was.
    assert!(is_open(&bench.look_at("c", 20, Some(NOW - HOUR))));
    assert!(is_open(&bench.look_at("c", 20 + HOUR - 61, Some(NOW))));
    assert!(!is_open(&bench.look_at("c", 20 + HOUR - 60, Some(NOW))));
}

#[test]
fn replayed_grant_opens_no_lock() {
    let mut bench = Bench::new();
    let once = grant();
    bench.bring(DROPPED, &once);
    assert!(is_open(&bench.look()));
    // Of an open one: nothing changes.
    bench.bring(DROPPED, &once);
    assert_eq!(bench.look().events, []);
    assert!(!is_open(&bench.look_at("a", 100 + HOUR, Some(NOW + HOUR))));
    bench.bring(DROPPED, &once);
    let now = bench.look_at("a", 100, Some(NOW));
    assert!(!is_open(&now));
    assert!(told(&now).contains("accepted before"), "{}", told(&now));
    // What is fetched again and again is no news.
    bench.bring(FETCHED, &once);
    let now = bench.look();
    assert!(!is_open(&now) && now.events.is_empty());
    // The control: another one opens.
    bench.bring(
        FETCHED,
        &Grant {
            time: GrantTime::new(NOW + HOUR, NOW + 2 * HOUR).unwrap(),
            ..grant()
        },
    );
    assert!(is_open(&bench.look_at("a", 100 + HOUR, Some(NOW + HOUR))));
}

#[test]
fn grant_for_another_host_image_version_or_time_opens_no_lock() {
    type Change = fn(&mut Grant);
    let cases: [(Change, &str); 6] = [
        (
            |grant| grant.instance = OTHER.parse().unwrap(),
            "it is for fedc",
        ),
        (
            |grant| grant.image = "db".parse().unwrap(),
            "for the image 'db'",
        ),
        (
            |grant| {
                let other = earmark_manifest::digest::ManifestDigest::of_payload(b"other");
                grant.manifest = Some(other);
            },
            "another version",
        ),
        (
            |grant| grant.time = GrantTime::new(NOW - HOUR, NOW).unwrap(),
            "it expired at 2026-11-23",
        ),
        (
            |grant| grant.time = GrantTime::new(NOW + 361, NOW + HOUR).unwrap(),
            "one of the clocks is wrong",
        ),
        (
            |grant| grant.time = GrantTime::new(NOW + 300, NOW + HOUR).unwrap(),
            "",
        ),
    ];
    for (change, says) in cases {
        let mut bench = Bench::new();
        let mut grant = grant();
        change(&mut grant);
        bench.bring(DROPPED, &grant);
        let now = bench.look();
        assert_eq!(is_open(&now), says.is_empty(), "{says}");
        assert!(told(&now).contains(says), "{says}: {}", told(&now));
        // It is told once, and taints nothing.
        if !says.is_empty() {
            let later = bench.look_at("a", 160, Some(NOW + 60));
            assert!(is_open(&later) || later.events.is_empty(), "{says}");
            assert_eq!(taints(&bench.root.open()), []);
        }
    }
}

#[test]
fn untrusted_or_malformed_grant_opens_no_lock() {
    let refused = |bench: &mut Bench, says: &str| {
        let now = bench.look();
        assert!(!is_open(&now), "{says}");
        assert!(told(&now).contains(says), "{says}: {}", told(&now));
        // Somebody may still be writing it: it stays where it was put.
        assert!(bench.root.at(DROPPED).symlink_metadata().is_ok());
        assert_eq!(bench.look().events, []);
    };
    let few = "0 of 1 needed signatures";
    // A key for images alone.
    let mut bench = Bench::new();
    bench.trust(&[Purpose::Image]);
    bench.bring(DROPPED, &grant());
    refused(&mut bench, few);
    // A key that nobody trusts.
    let mut bench = Bench::new();
    bench.key = key();
    bench.bring(DROPPED, &grant());
    refused(&mut bench, few);
    // The image's own manifest, by a key for both.
    let mut bench = Bench::new();
    let manifest = std::fs::read(bench.root.at(earmark_manifest::layout::MANIFEST)).unwrap();
    let payload = Envelope::parse(&manifest)
        .unwrap()
        .unverified_payload()
        .to_vec();
    let envelope = Envelope::sign(payload, &bench.key).unwrap();
    bench.root.write(DROPPED, &envelope.to_json());
    refused(&mut bench, "predicateType");
    // Half a file, a link, and none at all.
    bench.root.write(DROPPED, b"{\"payload\":");
    refused(&mut bench, "EOF");
    bench.bring("/tmp/grant.json", &grant());
    bench.root.remove(DROPPED);
    bench.root.link(DROPPED, "/tmp/grant.json");
    refused(&mut bench, DROPPED);
    // The control.
    bench.root.remove(DROPPED);
    bench.bring(DROPPED, &grant());
    assert!(is_open(&bench.look()));
}

#[test]
fn tampered_grant_record_opens_no_lock_and_taints() {
    let mut bench = Bench::new();
    bench.bring(DROPPED, &grant());
    assert!(is_open(&bench.look()));
    let good = std::fs::read_to_string(bench.root.at(RECORD)).unwrap();
    let later = good.replace(&(NOW + HOUR).to_string(), &(NOW + 9 * HOUR).to_string());
    assert_ne!(later, good);
    bench.root.write(RECORD, later.as_bytes());
    let now = bench.look();
    assert!(!is_open(&now));
    assert!(told(&now).contains("is damaged"), "{}", told(&now));
    assert_eq!(taints(&bench.root.open())[0].kind, "unknown");
    // With a digest that fits, its signature does not.
    let body = later.split_once('\n').unwrap().1;
    let digest = earmark_manifest::crypto::sha256(body.as_bytes());
    bench.root.write(
        RECORD,
        format!("earmark-grants-1 {digest}\n{body}").as_bytes(),
    );
    let now = bench.look();
    assert!(!is_open(&now));
    assert!(
        told(&now).contains("closed: it is not the one"),
        "{}",
        told(&now)
    );
    // The control.
    bench.root.write(RECORD, good.as_bytes());
    assert!(is_open(&bench.look()));
}

#[test]
fn tampered_state_opens_no_lock_without_a_valid_grant() {
    let later = |bench: &mut Bench| bench.look_at("a", 100 + 2 * HOUR, Some(NOW + 2 * HOUR));
    for place in places() {
        for (name, lie) in LIES {
            // Without any grant, and with one that is over.
            let mut bench = Bench::new();
            lie(&bench.root, &place);
            assert!(!is_open(&bench.look()), "{place} {name}");
            let mut bench = Bench::new();
            bench.bring(DROPPED, &grant());
            assert!(is_open(&bench.look()));
            assert!(!is_open(&later(&mut bench)));
            lie(&bench.root, &place);
            assert!(!is_open(&later(&mut bench)), "{place} {name}");
            // Who removes the record removes what it knows, and root can (tier T0); whatever else is there taints.
            let forgets = place == RECORD && name == "absent";
            let taints = taints(&bench.root.open());
            assert_eq!(taints.is_empty(), forgets, "{place} {name}");
        }
    }
}

#[test]
fn unreadable_grant_record_is_reported_once() {
    let mut bench = Bench::new();
    bench.root.write(RECORD, b"nonsense");
    let root = bench.root.open();
    let policy = Policy::of(&root);
    let mut told = || {
        let now = look(&root, policy.declared().unwrap(), &mut bench.opened);
        now.events.len()
    };
    assert_eq!((told(), told()), (1, 0));
}

#[test]
fn grant_record_of_another_instance_is_set_aside() {
    let mut bench = Bench::new();
    bench.bring(DROPPED, &grant());
    assert!(is_open(&bench.look()));
    bench.is(OTHER);
    assert_eq!(taints(&bench.root.open()), []);
    let now = bench.look();
    assert!(!is_open(&now));
    assert!(told(&now).contains("for 0123"), "{}", told(&now));
    assert!(bench.root.at(&format!("{RECORD}.old")).exists());
    // A host that does not know who it is takes none, and keeps what it has.
    let mut bench = Bench::new();
    bench.bring(DROPPED, &grant());
    assert!(is_open(&bench.look()));
    bench.is("uninitialized");
    let now = bench.look();
    assert!(!is_open(&now));
    assert!(
        told(&now).contains("the instance id of this host"),
        "{}",
        told(&now)
    );
    assert_eq!(taints(&bench.root.open()).len(), 1);
}

#[test]
fn missing_clock_or_state_directory_opens_no_lock() {
    let mut bench = Bench::new();
    bench.bring(DROPPED, &grant());
    let now = bench.look_at("a", 100, None);
    assert!(!is_open(&now));
    assert!(told(&now).contains("clock"), "{}", told(&now));
    std::fs::remove_dir_all(bench.root.at("/var")).unwrap();
    let now = bench.look();
    assert!(!is_open(&now));
    assert!(told(&now).starts_with("problem: "), "{}", told(&now));
    bench.root.write("/var/lib/.keep", b"");
    assert!(is_open(&bench.look()));
}

#[test]
fn overlapping_grants_hold_a_lock_open_until_the_later_expiry() {
    let mut bench = Bench::new();
    bench.bring(DROPPED, &grant());
    let longer = GrantTime::new(NOW, NOW + 2 * HOUR).unwrap();
    let both = [GrantedLock::Imds, GrantedLock::RemoteAccess];
    bench.bring(
        FETCHED,
        &Grant {
            time: longer,
            locks: both.into(),
            ..grant()
        },
    );
    let now = bench.look();
    assert_eq!(now.open[&GrantedLock::RemoteAccess], NOW + 2 * HOUR);
    let now = bench.look_at("a", 100 + HOUR, Some(NOW + HOUR));
    assert_eq!(told(&now), "closed: it expired");
    assert_eq!(now.open.len(), 2);
}
