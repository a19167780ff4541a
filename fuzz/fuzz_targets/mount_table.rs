//! Any bytes as `/proc/PID/mountinfo`, in which every process with a mount namespace of its own names devices and
//! paths.
//!
//! Invariants: no panic, no loop; what is taken is the same with a line break at its end and without; each mount that
//! can be seen is the one that its own point leads to, and only such mounts are told of.
#![no_main]

use earmark_manifest::path::ImagePath;
use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "the fuzz target does not ask all that the agent does")]
#[path = "../../agent/src/lockdown/filesystems/table.rs"]
mod table;

use table::Table;

fuzz_target!(|data: &[u8]| {
    // Finding what is visible takes the square of the mounts.
    if data.iter().filter(|byte| **byte == b'\n').count() > 256 {
        return;
    }
    let Ok(table) = Table::parse(data) else {
        return;
    };
    let visible = table.visible();
    assert!(!visible.is_empty());
    for mount in &visible {
        assert_eq!(table.at(&mount.point).id, mount.id);
    }
    let _ = table.at(&ImagePath::root());
    for (written, run) in table.written_and_run() {
        assert!(visible.iter().any(|mount| mount.point == written && mount.is_writable()));
        assert!(visible.iter().any(|mount| mount.point == run && !mount.is_writable()));
    }
    if !data.ends_with(b"\n") {
        let ended = [data, b"\n"].concat();
        let again = Table::parse(&ended).expect("the same table");
        assert_eq!(again.visible(), visible);
    }
});
