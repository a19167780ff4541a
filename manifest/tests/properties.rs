//! Properties that hold for every input: round trips, flips, truncations.

mod common;

use common::{
    bytes, private,
    recipe::{good, verify_whole},
    trusted,
};
use earmark_manifest::{
    channel::{Channel, ChannelTime, Promotion, Release, Releases},
    digest::ManifestDigest,
    envelope::Envelope,
    grant::{Grant, GrantTime, GrantedLock},
    statement::{BuildRecord, Statement},
    tree::TreeSummary,
    trust::{Purpose, Trust},
    verify::{SealBytes, verify},
};
use proptest::{collection::vec, option, prelude::*};

fn statements() -> impl Strategy<Value = Statement> {
    let text = || option::of("[ -~]{1,256}".prop_map(|text| text.parse().unwrap()));
    let identity = (
        "[a-z0-9][a-z0-9._-]{0,63}",
        "[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}",
        any::<u64>(),
        prop_oneof![Just("x86_64"), Just("aarch64")],
    );
    let build = (text(), text(), any::<Option<u64>>());
    let digests = (
        any::<Option<[u8; 32]>>(),
        any::<[u8; 32]>(),
        any::<[u8; 32]>(),
    );
    let numbers = (any::<(u64, u64)>(), any::<(u32, u32, u32)>());
    (identity, build, digests, numbers).prop_map(|(identity, build, digests, numbers)| {
        let ((entries, bytes), (major, minor, patch)) = numbers;
        let mut statement = common::statement(&digests.1, &digests.2);
        statement.image.name = identity.0.parse().unwrap();
        statement.image.version = identity.1.parse().unwrap();
        statement.image.epoch = identity.2;
        statement.image.architecture = identity.3.parse().unwrap();
        statement.build = BuildRecord {
            revision: build.0,
            builder: build.1,
            time: build.2,
        };
        statement.parent = digests.0.map(|parent| ManifestDigest::of_payload(&parent));
        statement.summary = TreeSummary { entries, bytes };
        statement.minimum_agent = format!("{major}.{minor}.{patch}").parse().unwrap();
        statement
    })
}

fn grants() -> impl Strategy<Value = Grant> {
    let named = (
        "[0-9a-f]{32}",
        prop_oneof![
            "i-[0-9a-f]{8,17}",
            "[0-9a-f]{32}",
            "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
        ],
        "[a-z0-9][a-z0-9._-]{0,63}",
        any::<Option<[u8; 32]>>(),
    );
    let locks = proptest::sample::subsequence(GrantedLock::ALL.to_vec(), 1..=6);
    let times = (0..u64::MAX - 86_400, 1..=86_400u64);
    let reason = option::of("[ -~]{1,256}");
    (named, locks, times, reason).prop_map(|(named, locks, (issued, length), reason)| Grant {
        id: named.0.parse().unwrap(),
        instance: named.1.parse().unwrap(),
        image: named.2.parse().unwrap(),
        manifest: named.3.map(|bytes| ManifestDigest::of_payload(&bytes)),
        locks: locks.into_iter().collect(),
        time: GrantTime::new(issued, issued + length).unwrap(),
        reason: reason.map(|reason| reason.parse().unwrap()),
    })
}

/// Each release was promoted by one of the documents so far, one a day.
fn channels() -> impl Strategy<Value = Channel> {
    let release = (
        "[A-Za-z0-9][A-Za-z0-9._+~-]{0,40}",
        3..=u64::MAX,
        proptest::collection::btree_map(
            "[a-z][a-z0-9-]{0,31}",
            "ami-([0-9a-f]{8}|[0-9a-f]{17})",
            0..4,
        ),
        option::of("[ -~]{1,256}"),
    );
    let releases = vec(release, 0..12);
    let named = ("[a-z0-9][a-z0-9._-]{0,63}", "[a-z0-9][a-z0-9-]{0,63}");
    (named, releases, 0..=3u64, 1..=86_400u64).prop_map(|(named, releases, minimum, length)| {
        let releases = (1u64..)
            .zip(releases)
            .map(|(counter, (version, epoch, amis, revoked))| Release {
                // None twice.
                version: format!("{version}.{counter}").parse().unwrap(),
                epoch,
                manifest: ManifestDigest::of_payload(&counter.to_be_bytes()),
                amis: amis
                    .into_iter()
                    .map(|(region, ami)| (region.parse().unwrap(), ami.parse().unwrap()))
                    .collect(),
                promoted: Promotion {
                    counter,
                    time: counter * 86_400,
                },
                revoked: revoked.map(|reason| reason.parse().unwrap()),
            });
        let releases: Vec<Release> = releases.collect();
        let counter = releases.len() as u64 + 1;
        let issued = counter * 86_400;
        Channel {
            image: named.0.parse().unwrap(),
            name: named.1.parse().unwrap(),
            counter,
            time: ChannelTime::new(issued, issued + length).unwrap(),
            releases: Releases::new(releases, minimum).unwrap(),
        }
    })
}

proptest! {
    #[test]
    fn channel_round_trips_through_payload(channel in channels()) {
        let payload = channel.to_payload().unwrap();
        prop_assert_eq!(Channel::parse(&payload).unwrap(), channel);
    }

    #[test]
    fn grant_round_trips_through_payload(grant in grants()) {
        let payload = grant.to_payload().unwrap();
        prop_assert_eq!(Grant::parse(&payload).unwrap(), grant);
    }

    #[test]
    fn envelope_round_trips_through_json(payload in vec(any::<u8>(), 0..4000), both: bool) {
        let mut envelope = Envelope::sign(payload.clone(), &private("image-a")).unwrap();
        if both {
            envelope.add_signature(&private("image-b")).unwrap();
        }
        let read = Envelope::parse(&envelope.to_json()).unwrap();
        prop_assert_eq!(read.unverified_payload(), &payload[..]);
        prop_assert_eq!(read.signature_count(), 1 + usize::from(both));
        prop_assert_eq!(read.to_json(), envelope.to_json());
        prop_assert_eq!(read, envelope);
    }

    #[test]
    fn statement_round_trips_through_payload(statement in statements()) {
        let payload = statement.to_payload().unwrap();
        prop_assert_eq!(Statement::parse(&payload), Ok(statement.clone()));
        prop_assert_eq!(statement.to_payload().unwrap(), payload);
    }

    #[test]
    fn trust_threshold_is_validated_and_trust_file_round_trips(
        purposes in vec(proptest::sample::subsequence(vec!["image", "channel", "grant"], 1..=3), 1..=4),
        threshold in 0usize..6,
        image in option::of("[a-z0-9][a-z0-9._-]{0,63}"),
    ) {
        let names = ["image-a", "image-b", "channel", "unknown"];
        let keys: Vec<_> = names.iter().zip(&purposes).map(|(name, purposes)| trusted(name, purposes).unwrap()).collect();
        let fewest = [Purpose::Image, Purpose::Channel, Purpose::Grant]
            .map(|purpose| keys.iter().filter(|key| key.purposes().any(|of| of == purpose)).count())
            .into_iter()
            .filter(|count| *count > 0)
            .min();
        let trust = Trust::new(image.map(|image| image.parse().unwrap()), threshold, keys);
        prop_assert_eq!(trust.is_ok(), threshold > 0 && Some(threshold) <= fewest);
        if let Ok(trust) = trust {
            prop_assert_eq!(Trust::parse(trust.to_toml().as_bytes()), Ok(trust));
        }
    }

    #[test]
    fn parsers_do_not_panic_on_arbitrary_bytes(bytes in vec(any::<u8>(), 0..300)) {
        let _ = Envelope::parse(&bytes);
        let _ = Statement::parse(&bytes);
        let _ = Trust::parse(&bytes);
        let _ = earmark_manifest::declaration::Declaration::parse(&bytes);
        let _ = earmark_manifest::tree::read(&bytes).map(Iterator::count);
        let _ = earmark_manifest::tree::read(&common::compress(&bytes)).map(Iterator::count);
    }
}

/// The three files, each with what it is called.
fn parts(seal: &mut SealBytes) -> [(&'static str, &mut Vec<u8>); 3] {
    [
        ("manifest.json", &mut seal.envelope),
        ("earmark.toml", &mut seal.declaration),
        ("tree.zst", &mut seal.tree),
    ]
}

/// Every bit of every file. What a bit of `manifest.json` may do is change a keyid, which nothing
/// depends on, or the kind of white space between tokens.
#[test]
fn seal_with_any_flipped_bit_outside_keyids_is_refused() {
    let (seal, trust) = good();
    verify_whole(seal.clone(), &trust).unwrap();
    let envelope = Envelope::parse(&seal.envelope).unwrap();
    let mut hints = 0;
    for part in 0..3 {
        let length = parts(&mut seal.clone())[part].1.len();
        for at in 0..length {
            for bit in 0..8 {
                let mut changed = seal.clone();
                let (name, bytes) = &mut parts(&mut changed)[part];
                bytes[at] ^= 1 << bit;
                let (name, bytes) = (*name, bytes.clone());
                if verify(changed, &trust).is_err() {
                    continue;
                }
                assert_eq!(name, "manifest.json", "byte {at}, bit {bit} of {name}");
                let read = Envelope::parse(&bytes).unwrap();
                assert_eq!(read.unverified_payload(), envelope.unverified_payload());
                assert!(!read.claimed_keyids().eq(envelope.claimed_keyids()));
                hints += 1;
            }
        }
    }
    // 64 hex digits: each has some bits whose flip leaves it printable.
    assert!((64..=64 * 8).contains(&hints), "{hints}");
}

#[test]
fn truncated_seal_is_refused() {
    let (seal, trust) = good();
    for part in 0..3 {
        let length = parts(&mut seal.clone())[part].1.len();
        for end in 0..length {
            let mut cut = seal.clone();
            parts(&mut cut)[part].1.truncate(end);
            assert!(verify(cut, &trust).is_err(), "part {part}, {end} bytes");
        }
    }
}

#[test]
fn seal_with_trailing_data_is_refused() {
    let (seal, trust) = good();
    for part in 0..3 {
        for byte in 0..=255 {
            let mut longer = seal.clone();
            let (name, bytes) = &mut parts(&mut longer)[part];
            bytes.push(byte);
            // White space after a JSON document is no part of it.
            let space = *name == "manifest.json" && b" \t\r\n".contains(&byte);
            assert_eq!(verify(longer, &trust).is_ok(), space, "part {part}, {byte}");
        }
    }
}

/// A tree whose digest is not looked at first: what the reader alone does about broken files.
#[test]
fn truncated_tree_is_refused_by_its_reader() {
    let stored = bytes("golden/v1/tree.zst");
    let read = |stored: &[u8]| {
        earmark_manifest::tree::read(stored)
            .and_then(|mut tree| tree.try_for_each(|entry| entry.map(|_| ())))
    };
    read(&stored).unwrap();
    for end in 0..stored.len() {
        read(&stored[..end]).unwrap_err();
    }
    for end in 0..common::TREE.len() {
        let text = &common::TREE.as_bytes()[..end];
        read(&common::compress(text)).unwrap_err();
    }
}
