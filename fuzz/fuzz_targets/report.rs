//! Any bytes as a report, which anybody may have put among those of a fleet.
//!
//! Invariants: no panic; what is accepted is written as one line within its bound, and that line reads as what
//! is written again; its name stays in its directory.
#![no_main]

use earmark_manifest::{limits, report::Report};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(report) = Report::parse(data) else {
        return;
    };
    let name = report.name();
    assert!(name.len() < 100 && !name.contains('/') && !name.starts_with('.'));
    // Bytes that JSON escapes make what was read longer than it was.
    let Ok(line) = report.to_line() else {
        return;
    };
    assert!(line.len() <= limits::REPORT);
    assert_eq!(
        line.iter().position(|byte| *byte == b'\n'),
        Some(line.len() - 1)
    );
    let read = Report::parse(&line).expect("what was written is read");
    assert_eq!(read.name(), name);
    assert_eq!(read.to_line().as_ref(), Ok(&line));
});
