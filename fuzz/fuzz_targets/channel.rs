//! Any bytes as the payload of a channel document. On a host these are signed; a signer's mistake must still
//! be refused.
//!
//! Invariants: no panic; what is accepted, written and read again is the same; its latest release is one of
//! its own, which no floor forbids, and whoever runs it stands as current or as revoked.
#![no_main]

use earmark_manifest::{
    channel::{Channel, Standing},
    limits,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if data.len() > limits::CHANNEL_PAYLOAD {
        return;
    }
    let Ok(channel) = Channel::parse(data) else {
        return;
    };
    let payload = channel
        .to_payload()
        .expect("what was read is written shorter");
    assert_eq!(Channel::parse(&payload).as_ref(), Ok(&channel));
    let seconds = channel.time.expires() - channel.time.issued();
    assert!((1..=limits::CHANNEL_SECONDS).contains(&seconds));
    for release in channel.releases.all() {
        assert!(release.promoted.counter <= channel.counter);
        let standing = channel.standing(&release.manifest, release.epoch);
        assert_ne!(standing, Standing::Unlisted);
        let _ = standing.to_string();
    }
    if let Some(latest) = channel.releases.latest() {
        assert!(latest.epoch >= channel.releases.minimum_epoch());
        let standing = channel.standing(&latest.manifest, latest.epoch);
        assert_eq!(standing == Standing::Current, latest.revoked.is_none());
    }
});
