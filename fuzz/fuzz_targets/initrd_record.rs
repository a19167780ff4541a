//! Any bytes as the record that an initrd leaves, which whoever is root on a running host may write.
//!
//! Invariants: no panic; what is read, written and read again is the same.
#![no_main]

use earmark_scan::initrd::Record;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(record) = serde_json::from_slice::<Record>(data) else {
        return;
    };
    let written = serde_json::to_vec(&record).expect("JSON can say it");
    let again: Record = serde_json::from_slice(&written).expect("what was written is read");
    assert_eq!(again, record);
});
