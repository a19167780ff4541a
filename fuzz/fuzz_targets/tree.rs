//! Any bytes as the text of a tree.
//!
//! Invariants: no panic; a tree has one spelling, so that what is accepted is written back byte for
//! byte; paths ascend, and none could leave the root.
#![no_main]

use std::cell::RefCell;

use earmark_manifest::{entry::Entry, tree};
use libfuzzer_sys::fuzz_target;
use zstd::bulk::Compressor;

thread_local! {
    /// Making a compressor takes far longer than using it on a few bytes.
    static COMPRESSOR: RefCell<Compressor<'static>> =
        RefCell::new(Compressor::new(1).expect("a compressor"));
}

fuzz_target!(|data: &[u8]| {
    let stored = COMPRESSOR
        .with_borrow_mut(|zstd| zstd.compress(data))
        .expect("compresses");
    let Ok(reader) = tree::read(&stored) else {
        return;
    };
    let rules = reader.rules().clone();
    let Ok(entries) = reader.collect::<Result<Vec<Entry>, _>>() else {
        return;
    };
    assert!(entries[0].path.is_root());
    for two in entries.windows(2) {
        assert!(two[0].path < two[1].path);
        let mut components = two[1].path.as_bytes().split(|byte| *byte == b'/');
        assert!(components.all(|name| !matches!(name, b"" | b"." | b"..") && !name.contains(&0)));
    }
    let written = tree::write(&rules, &entries).expect("what was read is written");
    let text = zstd::bulk::decompress(&written.stored, data.len() + 1).expect("decompresses");
    assert!(text == data, "two spellings of one tree");
});
