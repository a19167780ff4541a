use std::collections::BTreeMap;

use super::*;
use crate::{
    crypto::{Algorithm, PrivateKey},
    grant, limits, statement,
    trust::TrustedKey,
};

const DAY: u64 = 86_400;
const START: u64 = 1_795_430_000;

fn manifest(version: &str) -> ManifestDigest {
    ManifestDigest::of_payload(version.as_bytes())
}

/// Of the `counter`-th document, which came `counter` days after the start.
fn release(version: &str, counter: u64) -> Release {
    Release {
        version: version.parse().unwrap(),
        epoch: 3,
        manifest: manifest(version),
        amis: BTreeMap::new(),
        promoted: Promotion {
            counter,
            time: START + counter * DAY,
        },
        revoked: None,
    }
}

fn channel(counter: u64, releases: Vec<Release>) -> Channel {
    let issued = START + counter * DAY;
    Channel {
        image: "web".parse().unwrap(),
        name: "stable".parse().unwrap(),
        counter,
        time: ChannelTime::new(issued, issued + 30 * DAY).unwrap(),
        releases: Releases::new(releases, 3).unwrap(),
    }
}

fn sample() -> Channel {
    let ami = "ami-0123456789abcdef0".parse().unwrap();
    let latest = Release {
        amis: [("eu-central-1".parse().unwrap(), ami)].into(),
        ..release("1.4.2", 4)
    };
    let revoked = Release {
        revoked: Some("it forgets its sessions".parse().unwrap()),
        ..release("1.4.1", 3)
    };
    channel(5, vec![release("1.4.0", 2), revoked, latest])
}

fn key() -> PrivateKey {
    let der = PrivateKey::generate_pkcs8(Algorithm::Ed25519).unwrap();
    PrivateKey::from_pkcs8(&der).unwrap()
}

fn trust(image: Option<&str>, key: &PrivateKey, purposes: &[Purpose]) -> Trust {
    let pem = crate::trust::public_pem(&key.public().unwrap());
    let key = TrustedKey::from_pem(pem.as_bytes(), purposes.iter().copied().collect()).unwrap();
    Trust::new(image.map(|image| image.parse().unwrap()), 1, vec![key]).unwrap()
}

fn signed(channel: &Channel, key: &PrivateKey) -> Vec<u8> {
    let payload = channel.to_payload().unwrap();
    Envelope::sign(payload, key).unwrap().to_json()
}

fn verified(channel: &Channel) -> VerifiedChannel {
    let key = key();
    let trust = trust(None, &key, &[Purpose::Channel]);
    verify_channel(&signed(channel, &key), &trust).unwrap()
}

#[test]
fn channel_round_trips_through_payload() {
    let empty = Channel {
        releases: Releases::none(),
        ..channel(1, vec![])
    };
    for channel in [sample(), empty] {
        let payload = channel.to_payload().unwrap();
        assert_eq!(Channel::parse(&payload), Ok(channel));
    }
}

#[test]
fn channel_is_accepted_only_from_a_key_with_channel_purpose() {
    let key = key();
    let document = signed(&sample(), &key);
    let believed = verify_channel(&document, &trust(None, &key, &[Purpose::Channel])).unwrap();
    assert_eq!(*believed.channel(), sample());
    assert_eq!(believed.signers().len(), 1);
    for purpose in [Purpose::Image, Purpose::Grant] {
        let refused = verify_channel(&document, &trust(None, &key, &[purpose]));
        assert!(matches!(refused, Err(ChannelRefusal::Signatures { .. })));
    }
    // And no other document is taken for one, even by a key for everything.
    let all = trust(
        None,
        &key,
        &[Purpose::Channel, Purpose::Image, Purpose::Grant],
    );
    let manifest = statement::tests::sample().to_payload().unwrap();
    let manifest = Envelope::sign(manifest, &key).unwrap().to_json();
    let refused = verify_channel(&manifest, &all).unwrap_err().to_string();
    assert!(refused.contains("predicateType"), "{refused}");
    assert!(verify_channel(&document, &all).is_ok());
    assert!(grant::verify_grant(&document, &all).is_err());
}

#[test]
fn channel_of_another_image_or_name_is_refused() {
    let key = key();
    let document = signed(&sample(), &key);
    let of = |image| verify_channel(&document, &trust(Some(image), &key, &[Purpose::Channel]));
    assert!(of("web").is_ok());
    let refused = of("db").unwrap_err().to_string();
    assert_eq!(refused, "the document is for image 'web', not for 'db'");
    let named = |name: &str| verified(&sample()).named(&name.parse().unwrap());
    assert!(named("stable").is_ok());
    let refused = named("canary").unwrap_err().to_string();
    assert_eq!(
        refused,
        "the document is for channel 'stable', not for 'canary'"
    );
}

#[test]
fn channel_counter_rollback_or_reuse_is_refused() {
    let seen = verified(&sample()).seen();
    assert!(verified(&sample()).after(seen).is_ok());
    let newer = channel(6, vec![release("1.4.2", 4)]);
    assert!(verified(&newer).after(seen).is_ok());
    let older = channel(4, vec![release("1.4.2", 4)]);
    let refused = verified(&older).after(seen).unwrap_err().to_string();
    assert_eq!(
        refused,
        "rollback refused: counter 4 is lower than 5, already accepted"
    );
    let other = channel(5, vec![release("1.4.2", 4)]);
    let refused = verified(&other).after(seen);
    assert_eq!(refused, Err(ChannelRefusal::Other { counter: 5 }));
}

#[test]
fn standing_is_current_behind_revoked_or_unlisted_by_manifest() {
    let stands = |channel: &Channel, version| channel.standing(&manifest(version), 3);
    let sample = sample();
    assert_eq!(stands(&sample, "1.4.2"), Standing::Current);
    let behind = Standing::Behind {
        releases: 2,
        since: START + 3 * DAY,
    };
    assert_eq!(stands(&sample, "1.4.0"), behind);
    assert_eq!(
        stands(&sample, "1.4.1").to_string(),
        "revoked: it forgets its sessions"
    );
    assert_eq!(stands(&sample, "1.3.0"), Standing::Unlisted);
    // Below the floor it makes no difference whether the channel knows it.
    for version in ["1.4.0", "1.3.0"] {
        let standing = sample.standing(&manifest(version), 2);
        assert_eq!(standing.name(), "revoked", "{standing}");
    }
    // Rolled back: who runs what was the latest is behind now, and by one.
    let back = channel(
        6,
        vec![
            release("1.4.1", 3),
            release("1.4.2", 4),
            release("1.4.0", 6),
        ],
    );
    assert_eq!(stands(&back, "1.4.0"), Standing::Current);
    assert_eq!(stands(&back, "1.4.2").to_string(), "behind 1");
    assert_eq!(stands(&back, "1.4.1").to_string(), "behind 2");
}

#[test]
fn releases_out_of_order_duplicate_or_below_epoch_are_refused() {
    let refused = |releases, epoch| Releases::new(releases, epoch).unwrap_err().to_string();
    let (one, two) = (release("1", 1), release("2", 2));
    assert!(Releases::new(vec![one.clone(), two.clone()], 3).is_ok());
    assert_eq!(
        refused(vec![two.clone(), one.clone()], 3),
        "release 1 was not promoted later than the release before it"
    );
    let same = Release {
        promoted: two.promoted,
        ..one.clone()
    };
    assert!(refused(vec![same, two.clone()], 3).contains("was not promoted later"));
    let twice = Release {
        manifest: one.manifest,
        ..two.clone()
    };
    assert_eq!(refused(vec![one.clone(), twice], 3), "duplicate release 2");
    assert_eq!(
        refused(vec![one, two], 4),
        "release 2 is the latest, and its epoch 3 is below the minimum 4"
    );
}

#[test]
fn channel_validity_must_be_positive_and_bounded() {
    assert!(ChannelTime::new(10, 11).is_ok());
    assert!(ChannelTime::new(10, 10 + limits::CHANNEL_SECONDS).is_ok());
    for (issued, expires) in [(10, 10), (10, 9), (0, u64::MAX)] {
        assert!(ChannelTime::new(issued, expires).is_err());
    }
}

#[test]
fn largest_channel_fits_its_limits() {
    let releases =
        (1..=limits::RELEASES as u64).map(|counter| release(&counter.to_string(), counter));
    let channel = channel(limits::RELEASES as u64, releases.collect());
    let payload = channel.to_payload().unwrap();
    assert!(
        payload.len() <= limits::CHANNEL_PAYLOAD,
        "{}",
        payload.len()
    );
    let document = signed(&channel, &key());
    assert!(document.len() <= limits::CHANNEL);
    assert!(Envelope::parse(&document).is_err(), "a manifest is shorter");
}

#[test]
fn ami_id_accepts_only_the_canonical_form() {
    for good in ["ami-01234567", "ami-0123456789abcdef0"] {
        assert!(good.parse::<AmiId>().is_ok(), "{good}");
    }
    for bad in [
        "",
        "ami-",
        "ami-0123456789ABCDEF0",
        "ami-012345678",
        "i-01234567",
        "ami-0123456\n",
    ] {
        assert!(bad.parse::<AmiId>().is_err(), "{bad:?}");
    }
}
