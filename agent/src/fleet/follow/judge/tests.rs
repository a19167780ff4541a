use std::collections::BTreeMap;

use earmark_manifest::{
    channel::{Channel, ChannelTime, Promotion, Release, Releases},
    crypto::{Algorithm, PrivateKey},
    envelope::Envelope,
    trust::{Purpose, TrustedKey, public_pem},
};

use super::*;

const DAY: u64 = 86_400;
const START: u64 = 1_795_430_000;

struct Bench {
    key: PrivateKey,
    trust: Trust,
    image: ImageName,
    channel: ChannelName,
}

fn key() -> PrivateKey {
    let der = PrivateKey::generate_pkcs8(Algorithm::Ed25519).unwrap();
    PrivateKey::from_pkcs8(&der).unwrap()
}

fn manifest(version: &str) -> ManifestDigest {
    ManifestDigest::of_payload(version.as_bytes())
}

/// Of releases in the order of their promotions, one a day; the document is of the day after. A version with
/// an exclamation mark is revoked.
fn document(image: &str, name: &str, counter: u64, versions: &[&str], key: &PrivateKey) -> Vec<u8> {
    let releases = (1u64..).zip(versions).map(|(number, version)| Release {
        version: version.trim_end_matches('!').parse().unwrap(),
        epoch: 3,
        manifest: manifest(version.trim_end_matches('!')),
        amis: BTreeMap::new(),
        promoted: Promotion {
            counter: number,
            time: START + number,
        },
        revoked: version.ends_with('!').then(|| "it leaks".parse().unwrap()),
    });
    let issued = START + counter * DAY;
    let channel = Channel {
        image: image.parse().unwrap(),
        name: name.parse().unwrap(),
        counter,
        time: ChannelTime::new(issued, issued + 30 * DAY).unwrap(),
        releases: Releases::new(releases.collect(), 3).unwrap(),
    };
    Envelope::sign(channel.to_payload().unwrap(), key)
        .unwrap()
        .to_json()
}

/// Of one release, with any counter, of a day.
fn document_at(counter: u64, day: u64, key: &PrivateKey) -> Vec<u8> {
    let release = Release {
        version: "1".parse().unwrap(),
        epoch: 3,
        manifest: manifest("1"),
        amis: BTreeMap::new(),
        promoted: Promotion {
            counter: 1,
            time: START,
        },
        revoked: None,
    };
    let issued = START + day * DAY;
    let channel = Channel {
        image: "web".parse().unwrap(),
        name: "stable".parse().unwrap(),
        counter,
        time: ChannelTime::new(issued, issued + DAY).unwrap(),
        releases: Releases::new(vec![release], 3).unwrap(),
    };
    Envelope::sign(channel.to_payload().unwrap(), key)
        .unwrap()
        .to_json()
}

impl Bench {
    fn new() -> Self {
        let key = key();
        let pem = public_pem(&key.public().unwrap());
        let trusted = TrustedKey::from_pem(pem.as_bytes(), [Purpose::Channel].into()).unwrap();
        Self {
            trust: Trust::new(None, 1, vec![trusted]).unwrap(),
            image: "web".parse().unwrap(),
            channel: "stable".parse().unwrap(),
            key,
        }
    }

    /// A host that runs version 1, on a day.
    fn host(&self, day: u64) -> Host<'_> {
        Host {
            trust: &self.trust,
            image: &self.image,
            channel: Some(&self.channel),
            manifest: manifest("1"),
            epoch: 3,
            floor: 0,
            time: START + day * DAY,
        }
    }

    /// Takes a document on a host with this floor, which has kept another one or none.
    fn taken(&self, floor: u64, kept: Option<u64>, counter: u64) -> Result<u64, String> {
        let host = Host {
            floor,
            ..self.host(5)
        };
        let brought = |counter: u64| Brought {
            bytes: document_at(counter, 5, &self.key),
            time: START + 5 * DAY,
        };
        let kept = kept.map(|counter| Kept {
            document: String::from_utf8(brought(counter).bytes).unwrap(),
            fetched: START,
            pending: None,
        });
        let (kept, problem) = take(Some(brought(counter)), kept, &host);
        match problem {
            Some(problem) => Err(problem),
            None => Ok(stand(kept.as_ref(), None, &host).counter.unwrap()),
        }
    }

    fn document(&self, counter: u64, versions: &[&str]) -> Vec<u8> {
        document("web", "stable", counter, versions, &self.key)
    }

    /// Takes these documents, one a day. Returns what is kept then, and what was said of the last.
    fn brought(&self, documents: &[Vec<u8>]) -> (Option<Kept>, Option<String>) {
        let mut last = (None, None);
        for (day, bytes) in (5..).zip(documents) {
            let brought = Brought {
                bytes: bytes.clone(),
                time: START + day * DAY,
            };
            last = take(Some(brought), last.0, &self.host(day));
        }
        last
    }

    fn stands(&self, versions: &[&str]) -> ChannelStatus {
        let (kept, problem) = self.brought(&[self.document(5, versions)]);
        stand(kept.as_ref(), problem, &self.host(5))
    }
}

#[test]
fn host_state_follows_the_channel_document() {
    let bench = Bench::new();
    assert_eq!(bench.stands(&["1"]).state, ChannelState::Current);
    let behind = bench.stands(&["1", "2", "3"]);
    assert_eq!(
        (behind.state, behind.behind),
        (ChannelState::Behind, Some(2))
    );
    assert_eq!(
        (behind.since, behind.latest.as_deref()),
        (Some(START + 2), Some("3"))
    );
    let revoked = bench.stands(&["1!", "2"]);
    assert_eq!(revoked.state, ChannelState::Revoked);
    assert_eq!(revoked.reason.as_deref(), Some("it leaks"));
    assert_eq!(bench.stands(&["2"]).state, ChannelState::Unlisted);
    assert_eq!(bench.stands(&[]).state, ChannelState::Unlisted);
}

#[test]
fn stale_channel_becomes_unreachable_then_expired_but_stays_revoked() {
    let bench = Bench::new();
    let state = |versions: &[&str], later: u64| {
        let (kept, _) = bench.brought(&[bench.document(5, versions)]);
        let mut host = bench.host(5);
        host.time += later;
        stand(kept.as_ref(), None, &host).state
    };
    assert_eq!(state(&["1"], SILENCE), ChannelState::Current);
    assert_eq!(state(&["1"], SILENCE + 1), ChannelState::Unreachable);
    assert_eq!(state(&["1"], 30 * DAY), ChannelState::Expired);
    // A note that says that it was fetched in time to come would stay news for ever.
    let fetched = |ahead: u64| {
        let (kept, _) = bench.brought(&[bench.document(5, &["1"])]);
        let mut kept = kept.unwrap();
        kept.fetched = bench.host(5).time + ahead;
        stand(Some(&kept), None, &bench.host(5)).state
    };
    assert_eq!(fetched(AHEAD), ChannelState::Current);
    assert_eq!(fetched(AHEAD + 1), ChannelState::Unreachable);
    // What is revoked stays so, however old the news.
    assert_eq!(state(&["1!"], 90 * DAY), ChannelState::Revoked);
    let nothing = stand(None, Some("no answer in time".to_owned()), &bench.host(5));
    assert_eq!(nothing.state, ChannelState::Unreachable);
    assert_eq!(nothing.problem.as_deref(), Some("no answer in time"));
}

#[test]
fn channel_issued_in_the_future_is_followed_and_reported() {
    let bench = Bench::new();
    let says = |host_day: u64| {
        let (kept, problem) = bench.brought(&[bench.document(5, &["1!", "2"])]);
        let following = stand(kept.as_ref(), problem, &bench.host(host_day));
        // Whoever's clock is wrong: what is revoked stays so.
        assert_eq!(following.state, ChannelState::Revoked);
        following.problem.unwrap_or_default()
    };
    assert_eq!(says(5), "");
    assert!(says(4).contains("in the future"), "{}", says(4));
}

#[test]
fn refused_channel_document_does_not_replace_the_stored_one() {
    let bench = Bench::new();
    let good = bench.document(5, &["1"]);
    let mut flipped = good.clone();
    let at = flipped
        .windows(7)
        .position(|part| part == b"payload")
        .unwrap()
        + 40;
    flipped[at] ^= 1;
    for (bad, says) in [
        (bench.document(4, &["1", "2"]), "counter 4 is lower than 5"),
        (bench.document(5, &["1", "2"]), "duplicate counter 5"),
        (
            document("db", "stable", 6, &["1", "2"], &bench.key),
            "for image 'db'",
        ),
        (
            document("web", "canary", 6, &["1", "2"], &bench.key),
            "for channel 'canary'",
        ),
        (document("web", "stable", 6, &["1", "2"], &key()), "0 of 1"),
        (flipped, "of 1 needed signatures"),
        (good[..good.len() / 2].to_vec(), "EOF"),
        (b"".to_vec(), "EOF"),
    ] {
        let (kept, problem) = bench.brought(&[good.clone(), bad]);
        let problem = problem.expect(says);
        assert!(problem.contains(says), "{problem}");
        let kept = kept.unwrap();
        assert_eq!(
            (kept.document.as_bytes(), kept.fetched),
            (&good[..], START + 5 * DAY)
        );
    }
    // The controls: the same again, and one after it.
    for next in [good.clone(), bench.document(6, &["1", "2"])] {
        let (kept, problem) = bench.brought(&[good.clone(), next.clone()]);
        assert_eq!(problem, None);
        let kept = kept.unwrap();
        assert_eq!(
            (kept.document.as_bytes(), kept.fetched),
            (&next[..], START + 6 * DAY)
        );
    }
}

#[test]
fn stored_channel_with_untrusted_signature_is_refused() {
    let bench = Bench::new();
    let kept = |document: Vec<u8>| Kept {
        document: String::from_utf8(document).unwrap(),
        fetched: START,
        pending: None,
    };
    let forged = kept(document("web", "stable", 99, &["1"], &key()));
    let good = bench.document(5, &["1"]);
    let brought = Brought {
        bytes: good.clone(),
        time: START + 5 * DAY,
    };
    // A counter that nobody signed does not shut out what comes.
    let (now, problem) = take(Some(brought), Some(forged.clone()), &bench.host(5));
    assert_eq!(now.unwrap().document.as_bytes(), good);
    assert!(problem.unwrap().contains("the stored document is refused"));
    assert_eq!(take(None, Some(forged), &bench.host(5)).0, None);
    let (now, problem) = take(None, Some(kept(good.clone())), &bench.host(5));
    assert_eq!((now, problem), (Some(kept(good)), None));
}

#[test]
fn counter_below_the_floor_is_refused_also_by_a_host_without_state() {
    let bench = Bench::new();
    for kept in [None, Some(9)] {
        assert_eq!(bench.taken(9, kept, 9), Ok(9), "{kept:?}");
        let problem = bench.taken(9, kept, 8).unwrap_err();
        assert!(problem.contains("counter 8 is lower than 9"), "{problem}");
    }
    // The control: without a floor a fresh host takes what comes.
    assert_eq!(bench.taken(0, None, 8), Ok(8));
}

#[test]
fn counter_that_jumps_is_refused_and_a_higher_floor_recovers() {
    let bench = Bench::new();
    assert_eq!(bench.taken(0, None, STEP), Ok(STEP));
    assert_eq!(bench.taken(0, Some(4), STEP + 4), Ok(STEP + 4));
    for (floor, kept, counter) in [
        (0, None, STEP + 1),
        (0, Some(4), STEP + 5),
        (9, Some(10), STEP + 11),
        (0, None, u64::MAX),
        (0, Some(4), 1 << 62),
    ] {
        let problem = bench.taken(floor, kept, counter).unwrap_err();
        assert!(problem.contains("at_least"), "{problem}");
    }
    // A new image has no state, and a floor by which the counter is near.
    assert_eq!(bench.taken((1 << 62) - 1, None, 1 << 62), Ok(1 << 62));
}

#[test]
fn revoked_release_is_not_recommended_as_latest() {
    let bench = Bench::new();
    let revoked = bench.stands(&["1!"]);
    assert_eq!(
        (revoked.state, &revoked.latest),
        (ChannelState::Revoked, &None)
    );
    assert_eq!(revoked.to_string(), "REVOKED: it leaks");
    let replaced = bench.stands(&["1!", "2"]);
    assert_eq!(
        replaced.to_string(),
        "REVOKED: it leaks; hosts should run 2"
    );
}

#[test]
fn document_dated_ahead_counts_as_fetched_now() {
    let bench = Bench::new();
    let host = bench.host(5);
    let fetched = |time| {
        let brought = Brought {
            bytes: document_at(7, 5, &bench.key),
            time,
        };
        let (kept, problem) = take(Some(brought), None, &host);
        assert_eq!(problem, None);
        kept.unwrap().fetched
    };
    assert_eq!(fetched(host.time - 60), host.time - 60);
    assert_eq!(fetched(host.time + 2 * DAY), host.time);
}
