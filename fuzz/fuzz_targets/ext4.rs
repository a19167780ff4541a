//! Any bytes as an ext4 file system.
//!
//! Invariants: no panic, and an end; what is read lies in the file system; the content of a file is as long as
//! its size says; a link's target has no NUL and is not empty.
#![no_main]

#[allow(dead_code, reason = "shared with the signer")]
#[path = "../../signer/src/image/ext4.rs"]
mod ext4;

use std::{collections::BTreeSet, io, sync::Arc};

use earmark_scan::disk::bytes::Bytes;
use ext4::{Ext4, ROOT};
use libfuzzer_sys::fuzz_target;
use rustix::fs::FileType;

#[derive(Debug)]
struct Memory(Vec<u8>);

impl Bytes for Memory {
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

/// Bytes of a file that are read: holes are cheap to make.
const READ: u64 = 64 * 1024;

fuzz_target!(|data: &[u8]| {
    let Ok(fs) = Ext4::open(Arc::new(Memory(data.to_vec()))) else {
        return;
    };
    let _ = fs.refuse_shared();
    let (mut waiting, mut seen) = (vec![ROOT], BTreeSet::from([ROOT]));
    while let Some(inode) = waiting.pop() {
        let Ok(metadata) = fs.look(inode) else {
            continue;
        };
        let _ = fs.xattrs(inode);
        match metadata.kind() {
            FileType::Directory => {
                for (_, child) in fs.list(inode, 1 << 20).unwrap_or_default() {
                    if seen.len() < 200 && seen.insert(child) {
                        waiting.push(child);
                    }
                }
            }
            FileType::RegularFile => read(&fs, inode, metadata.size),
            FileType::Symlink => {
                if let Ok(target) = fs.target(inode) {
                    assert!(!target.is_empty() && !target.contains(&0));
                    assert_eq!(target.len() as u64, metadata.size);
                }
            }
            _ => {}
        }
    }
});

fn read(fs: &Ext4, inode: u64, size: u64) {
    let (mut offset, mut buffer) = (0, [0; 3000]);
    while offset < READ {
        match fs.read_at(inode, offset, &mut buffer) {
            Ok(0) => return assert_eq!(offset, size),
            Ok(count) => offset += count as u64,
            Err(_) => return,
        }
    }
    assert!(size >= READ);
    assert_eq!(fs.read_at(inode, size, &mut buffer).ok(), Some(0));
}
