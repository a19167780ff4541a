//! Any bytes as a payload. On a host these are signed; a signer's mistake must still be refused.
//!
//! Invariants: no panic; what is accepted, written and read again is the same, and is written the
//! same again.
#![no_main]

use earmark_manifest::{limits, statement::Statement};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(statement) = Statement::parse(data) else {
        return;
    };
    let payload = statement.to_payload().expect("every statement fits");
    assert!(payload.len() <= limits::PAYLOAD);
    assert_eq!(Statement::parse(&payload), Ok(statement));
});
