//! Any bytes as the archive of an initrd, which whoever may write `/boot` makes.
//!
//! Invariants: no panic, and an end; what is read, written and read again is the same, but for what no archive of ours
//! has; unpacking gives no more than was allowed.
#![no_main]

#[allow(dead_code, reason = "shared with the signer")]
#[path = "../../signer/src/initrd/cpio.rs"]
mod cpio;

use cpio::Object;
use libfuzzer_sys::fuzz_target;

const BOUND: usize = 1024 * 1024;

fuzz_target!(|data: &[u8]| {
    let Ok(archive) = cpio::unpack(data, BOUND) else {
        return;
    };
    assert!(archive.len() <= BOUND.max(data.len()));
    let Ok(mut objects) = cpio::read(&archive) else {
        return;
    };
    // `write` leaves these out.
    objects.retain(|(_, object)| *object != Object::Other);
    assert_eq!(cpio::read(&cpio::write(&objects)), Ok(objects));
});
