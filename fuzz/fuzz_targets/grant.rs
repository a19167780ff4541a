//! Any bytes as the payload of a grant. On a host these are signed; a signer's mistake must still be
//! refused.
//!
//! Invariants: no panic; what is accepted, written and read again is the same, and is written the
//! same again; it opens something, and not for more than a day.
#![no_main]

use earmark_manifest::{grant::Grant, limits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(grant) = Grant::parse(data) else {
        return;
    };
    let payload = grant.to_payload().expect("every grant fits");
    assert!(payload.len() <= limits::PAYLOAD);
    assert!(!grant.locks.is_empty());
    let seconds = grant.time.expires() - grant.time.issued();
    assert!((1..=limits::GRANT_SECONDS).contains(&seconds));
    assert_eq!(Grant::parse(&payload), Ok(grant));
});
