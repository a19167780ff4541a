//! Any bytes as `floor.toml`, which no signature covers.
//!
//! Invariants: no panic; what is read, written and read again is the same.
#![no_main]

use earmark_manifest::floor::Floor;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(floor) = Floor::parse(data) else {
        return;
    };
    let written = floor.to_toml().expect("TOML can say it");
    assert_eq!(Floor::parse(written.as_bytes()).as_ref(), Ok(&floor));
});
