//! Any bytes as `manifest.json`.
//!
//! Invariants: no panic; what is accepted, written and read again is the same; the pre-authentication
//! encoding of two different payloads differs.
#![no_main]

use earmark_manifest::envelope::{Envelope, PAYLOAD_TYPE, pae};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(envelope) = Envelope::parse(data) else {
        return;
    };
    assert_eq!(Envelope::parse(&envelope.to_json()), Ok(envelope.clone()));
    let payload = envelope.unverified_payload();
    let longer = [payload, b" "].concat();
    assert_ne!(pae(PAYLOAD_TYPE, payload), pae(PAYLOAD_TYPE, &longer));
});
