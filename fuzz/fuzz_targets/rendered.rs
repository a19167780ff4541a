//! Any bytes as `rendered.json`, which lies in the host's own state.
//!
//! Invariants: no panic; what is read, written and read again is the same; a record of another manifest has nothing.
#![no_main]

use std::{cell::LazyCell, fs, path::PathBuf};

use earmark_manifest::{digest::ManifestDigest, layout};
use earmark_scan::{Root, rendered};
use libfuzzer_sys::fuzz_target;

thread_local! {
    /// A root in memory, for as long as the process runs: the record is read beneath one.
    static ROOT: LazyCell<PathBuf> = const { LazyCell::new(|| {
        let root = PathBuf::from(format!("/dev/shm/earmark-fuzz-{}", std::process::id()));
        let record = root.join(layout::RENDERED.trim_start_matches('/'));
        fs::create_dir_all(record.parent().expect("a parent")).expect("a directory");
        root
    }) };
}

fuzz_target!(|data: &[u8]| {
    let manifest = ManifestDigest::of_payload(b"");
    ROOT.with(|path| {
        let record = path.join(layout::RENDERED.trim_start_matches('/'));
        let root = Root::open(path).expect("the root");
        fs::write(&record, data).expect("a record");
        let Ok(files) = rendered::read(&root, manifest) else {
            return;
        };
        fs::write(&record, rendered::to_bytes(manifest, &files)).expect("a record");
        assert_eq!(rendered::read(&root, manifest).as_ref().ok(), Some(&files));
        let other = rendered::read(&root, ManifestDigest::of_payload(b"other"));
        assert!(other.is_ok_and(|files| files.is_empty()));
    });
});
