//! Any bytes as `tree.zst`, decompressor included. On a host the digest is checked first; this is
//! about what a signer, or a tool that reads an unsigned tree, may meet.
//!
//! Invariants: no panic; memory and time stay bounded (libFuzzer's limits); one error ends the tree.
#![no_main]

use earmark_manifest::tree;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(mut tree) = tree::read(data) else {
        return;
    };
    let mut failed = false;
    for entry in tree.by_ref() {
        assert!(!failed, "an entry after an error");
        failed = entry.is_err();
    }
    assert!(tree.next().is_none());
});
