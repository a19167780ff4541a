//! Lies in the state of a host that follows a channel.

use std::collections::BTreeMap;

use earmark_manifest::{
    channel::{self, ChannelTime, Promotion, Release, Releases},
    crypto::{Algorithm, PrivateKey},
    envelope::Envelope,
    trust::{Purpose, Trust, TrustedKey, public_pem},
};

use super::*;
use crate::testing::{
    TestRoot,
    lies::{LIES, places},
};

const DAY: u64 = 86_400;
/// The counter that the image was sealed with.
const FLOOR: u64 = 5;

/// A host whose release is revoked, as the channel has it from [`FLOOR`] on.
struct Bench {
    root: TestRoot,
    key: PrivateKey,
}

impl Bench {
    fn new() -> Self {
        let root = TestRoot::declared(&format!(
            "platform = \"file\"\n[channel]\nurl = \"https://updates.example/web/stable.json\"\nat_least = {FLOOR}\n"
        ));
        let der = PrivateKey::generate_pkcs8(Algorithm::Ed25519).unwrap();
        let key = PrivateKey::from_pkcs8(&der).unwrap();
        let pem = public_pem(&key.public().unwrap());
        let key_of_channel =
            TrustedKey::from_pem(pem.as_bytes(), [Purpose::Channel].into()).unwrap();
        let mut keys = seal::read_trust(&root.open()).unwrap().keys().to_vec();
        keys.push(key_of_channel);
        let trust = Trust::new(None, 1, keys).unwrap();
        root.write(earmark_manifest::layout::TRUST, trust.to_toml().as_bytes());
        root.write("/var/lib/earmark/.keep", b"");
        Self { root, key }
    }

    /// The document with this counter: before the floor, the host's release is the one to run.
    fn document(&self, counter: u64) -> String {
        let root = self.root.open();
        let policy = Policy::of(&root);
        let declared = policy.declared().unwrap();
        let issued = host::time().unwrap() - DAY;
        let release = |version: &str, manifest, revoked: bool| Release {
            version: version.parse().unwrap(),
            epoch: 0,
            manifest,
            amis: BTreeMap::new(),
            promoted: Promotion {
                counter: if revoked { 1 } else { 2 },
                time: issued - DAY,
            },
            revoked: revoked.then(|| "it leaks".parse().unwrap()),
        };
        let ours = declared.digest();
        let releases = if counter < FLOOR {
            vec![release("1.2.3", ours, false)]
        } else {
            let other = earmark_manifest::digest::ManifestDigest::of_payload(b"other");
            vec![release("1.2.3", ours, true), release("1.2.4", other, false)]
        };
        let channel = channel::Channel {
            image: "web".parse().unwrap(),
            name: "stable".parse().unwrap(),
            counter,
            time: ChannelTime::new(issued, issued + 7 * DAY).unwrap(),
            releases: Releases::new(releases, 0).unwrap(),
        };
        let payload = channel.to_payload().unwrap();
        let envelope = Envelope::sign(payload, &self.key).unwrap();
        String::from_utf8(envelope.to_json()).unwrap()
    }

    fn bring(&self, counter: u64) {
        self.root.write(FETCHED, self.document(counter).as_bytes());
    }

    /// Puts a document where a host keeps what it has seen.
    fn plant(&self, counter: u64) {
        let root = self.root.open();
        let kept = Kept {
            document: self.document(counter),
            fetched: host::time().unwrap(),
            pending: None,
        };
        Store::read(&root).unwrap().write(&root, &kept).unwrap();
    }

    /// The host's state in the channel; nothing, if it could not decide.
    fn state(&self) -> Option<ChannelState> {
        let root = self.root.open();
        let policy = Policy::of(&root);
        let declared = policy.declared().unwrap();
        let channel = declared.declaration().channel.as_ref().unwrap();
        let following = look(&root, declared, channel).ok()?;
        Some(following.state)
    }
}

/// None of these lets a revoked release go on as one to run.
fn is_no_better(state: Option<ChannelState>) -> bool {
    match state {
        Some(ChannelState::Current | ChannelState::Behind) => false,
        Some(
            ChannelState::Revoked
            | ChannelState::Unlisted
            | ChannelState::Expired
            | ChannelState::Unreachable,
        )
        | None => true,
    }
}

#[test]
fn tampered_state_never_makes_a_revoked_host_current() {
    for place in places() {
        for (name, lie) in LIES {
            let bench = Bench::new();
            bench.bring(FLOOR);
            assert_eq!(bench.state(), Some(ChannelState::Revoked));
            lie(&bench.root, &place);
            assert!(is_no_better(bench.state()), "{place} {name}");
            // Nor in the next boot, before anything was fetched, nor with a replay.
            bench.root.remove(FETCHED);
            assert!(is_no_better(bench.state()), "{place} {name}");
            bench.bring(FLOOR - 1);
            assert!(is_no_better(bench.state()), "{place} {name}");
        }
    }
}

#[test]
fn planted_channel_below_the_image_floor_is_not_believed() {
    let bench = Bench::new();
    bench.plant(FLOOR - 1);
    assert!(is_no_better(bench.state()));
    // The control: the same from the floor on is.
    let bench = Bench::new();
    bench.plant(FLOOR);
    assert_eq!(bench.state(), Some(ChannelState::Revoked));
}
