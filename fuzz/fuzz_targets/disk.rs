//! Any bytes as a disk: its partition table, or the tables of a qcow2.
//!
//! Invariants: no panic, and an end; partitions and the table itself lie on the disk and do not overlap.
#![no_main]

#[allow(dead_code, reason = "shared with the signer")]
#[path = "../../signer/src/image/qcow2.rs"]
mod qcow2;

use std::io;

use earmark_scan::disk::{bytes::Bytes, table};
use libfuzzer_sys::fuzz_target;

#[derive(Debug)]
struct Memory<'a>(&'a [u8]);

// Of static bytes elsewhere: a disk is shared by threads.
impl Bytes for Memory<'_> {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let at = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let end = at
            .checked_add(buffer.len())
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(self.0.get(at..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

fuzz_target!(|data: &[u8]| {
    let disk = Memory(data);
    if qcow2::is_one(&disk).expect("reads four bytes") {
        let _ = qcow2::screen(&disk);
        return;
    }
    let Ok(Some(table)) = table::read(&disk) else {
        return;
    };
    let partitions = table.partitions.iter().map(|one| (one.start, one.size));
    let mut parts: Vec<_> = partitions.chain(table.structures).collect();
    parts.sort_unstable();
    let mut end = 0;
    for (start, size) in parts {
        assert!(start >= end && size > 0);
        end = start + size;
        assert!(end <= data.len() as u64);
    }
});
