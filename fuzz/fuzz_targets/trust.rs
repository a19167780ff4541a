//! Any bytes as `trust.toml`.
//!
//! Invariants: no panic; what is accepted has a key, a threshold that each purpose can meet, and
//! reads back the same when written; what is refused is refused in words that can be printed.
#![no_main]

use earmark_manifest::trust::{Purpose, Trust};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| match Trust::parse(data) {
    Ok(trust) => {
        assert!(!trust.keys().is_empty() && trust.threshold() >= 1);
        for purpose in [Purpose::Image, Purpose::Channel, Purpose::Grant] {
            let keys = trust.keys_for(purpose).count();
            assert!(keys == 0 || trust.threshold() <= keys);
        }
        assert_eq!(Trust::parse(trust.to_toml().as_bytes()), Ok(trust));
    }
    Err(error) => assert!(!error.to_string().contains(char::is_control), "{error:?}"),
});
