//! Any bytes as the report of a verification in `status.json`, which lies where a user without rights may write.
//!
//! Invariants: no panic; what is read, written and read again is the same; it can be shown.
#![no_main]

use earmark_scan::Report;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(report) = serde_json::from_slice::<Report>(data) else {
        return;
    };
    let written = serde_json::to_vec(&report).expect("JSON can say it");
    let again: Report = serde_json::from_slice(&written).expect("what was written is read");
    assert_eq!(again, report);
    let _ = report.to_string();
});
