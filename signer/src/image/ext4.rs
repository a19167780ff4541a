//! Reads ext2, ext3 and ext4 in this program: no kernel, no rights, no loop device.
//!
//! A hostile file system could gain a difference here: a tree for this reader and another for the kernel that
//! boots it. So where two readers could disagree (an entry twice, a name in a leaf that the index
//! does not lead to, extents that overlap, a symbolic link that is fast by one rule and slow by another), the
//! file system is refused instead of interpreted. Features are on a list; what is not on it is refused.
//!
//! Protects against loops, sizes and counts made to exhaust time or memory. Does not say anything about blocks
//! that no file has: a kernel never runs them.

// By path, so that the fuzz target can include this file as it is.
#[path = "ext4/directory.rs"]
mod directory;
#[path = "ext4/hash.rs"]
mod hash;
#[path = "ext4/htree.rs"]
mod htree;
#[path = "ext4/inode.rs"]
mod inode;
#[path = "ext4/map.rs"]
mod map;
#[path = "ext4/owners.rs"]
mod owners;
#[path = "ext4/superblock.rs"]
mod superblock;
#[path = "ext4/xattr.rs"]
mod xattr;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use earmark_scan::source::Metadata;
use rustix::fs::FileType;

use earmark_scan::disk::bytes::{Bytes, Fields, bad, crc32c};

use self::{inode::Inode, superblock::Superblock};

/// The inode of the root directory.
pub const ROOT: u64 = 2;
/// Bytes of directories that are read in all. Each is read once, and again for each path that is looked up; a
/// hostile file system has a million directories of the same blocks.
const DIRECTORY_BYTES: u64 = 16 << 30;

/// A file system in a partition.
#[derive(Debug)]
pub struct Ext4 {
    bytes: Arc<dyn Bytes>,
    superblock: Superblock,
    /// First block of the inode table, by group.
    tables: Vec<u64>,
    directory_bytes: AtomicU64,
}

impl Ext4 {
    /// Reads the superblock and the group descriptors, and makes sure that the journal is empty.
    pub fn open(bytes: Arc<dyn Bytes>) -> io::Result<Self> {
        let superblock = Superblock::read(&*bytes)?;
        let tables = superblock.inode_tables(&*bytes)?;
        let opened = Self {
            bytes,
            superblock,
            tables,
            directory_bytes: AtomicU64::new(0),
        };
        opened.refuse_a_journal_with_changes()?;
        Ok(opened)
    }

    /// Refuses it, if two files share a block or an inode, or if one of a file counts as free: what is not read of it
    /// could write what is.
    pub fn refuse_shared(&self) -> io::Result<()> {
        owners::refuse_shared(self)
    }

    /// The metadata of an inode that a directory may name.
    pub fn look(&self, number: u64) -> io::Result<Metadata> {
        Ok(self.named_inode(number)?.metadata())
    }

    /// The names in a directory, without `.` and `..`, if they cost at most `room`.
    pub fn list(&self, number: u64, room: usize) -> io::Result<Vec<(Box<[u8]>, u64)>> {
        directory::list(self, &self.named_inode(number)?, room)
    }

    /// The target of a symbolic link.
    pub fn target(&self, number: u64) -> io::Result<Vec<u8>> {
        self.named_inode(number)?.target(self)
    }

    /// The extended attributes, as `getxattr` returns them.
    pub fn xattrs(&self, number: u64) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        xattr::read(self, &self.named_inode(number)?)
    }

    /// Reads content of a regular file; 0 at its end.
    pub fn read_at(&self, number: u64, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let inode = self.named_inode(number)?;
        if inode.kind() != FileType::RegularFile {
            return Err(bad(format!("inode {number} is not a regular file")));
        }
        self.read_content(&inode, offset, into)
    }

    /// Inodes below the first free one belong to the file system itself, except for the root: the kernel opens
    /// none of them by a name.
    fn named_inode(&self, number: u64) -> io::Result<Inode> {
        if number != ROOT && number < self.superblock.first_inode {
            return Err(bad(format!("inode {number} is reserved and has a name")));
        }
        let inode = Inode::read(self, number)?;
        inode.refuse_unknown(self)?;
        Ok(inode)
    }

    fn read_content(&self, inode: &Inode, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let left = inode.size.saturating_sub(offset);
        if left == 0 || into.is_empty() {
            return Ok(0);
        }
        let block = self.superblock.block_size;
        let (logical, within) = (offset / block, offset % block);
        let logical = u32::try_from(logical)
            .map_err(|_| bad(format!("inode {}: it is too large", inode.number)))?;
        let run = map::find(self, inode, logical)?;
        let there = u64::from(run.blocks)
            .saturating_mul(block)
            .saturating_sub(within);
        let room = u64::try_from(into.len()).unwrap_or(u64::MAX);
        let count = usize::try_from(left.min(there).min(room)).unwrap_or(0);
        let into = into.get_mut(..count).unwrap_or_default();
        match run.physical {
            Some(physical) => self
                .bytes
                .read(physical.saturating_mul(block).saturating_add(within), into)?,
            None => into.fill(0),
        }
        Ok(count)
    }

    /// Reads a block of metadata, which `what` names in errors.
    fn block(&self, number: u64, what: &str) -> io::Result<Vec<u8>> {
        self.superblock
            .must_have(number, 1)
            .map_err(|error| bad(format!("{what}: {error}")))?;
        let size = usize::try_from(self.superblock.block_size).unwrap_or(0);
        let mut block = vec![0; size];
        self.bytes.read(
            number.saturating_mul(self.superblock.block_size),
            &mut block,
        )?;
        Ok(block)
    }

    /// Counts bytes of directories against the bound for all of them.
    fn spend(&self, bytes: u64) -> io::Result<()> {
        let spent = self.directory_bytes.fetch_add(bytes, Ordering::Relaxed);
        if spent.saturating_add(bytes) > DIRECTORY_BYTES {
            return Err(bad(format!(
                "its directories have more than {DIRECTORY_BYTES} bytes"
            )));
        }
        Ok(())
    }

    /// The kernel ignores a journal whose file system is marked as clean. `e2fsck -y` does not: it would
    /// replay what nobody verified.
    fn refuse_a_journal_with_changes(&self) -> io::Result<()> {
        let Some(number) = self.superblock.journal else {
            return Ok(());
        };
        let inode = Inode::read(self, number)?;
        let mut head = [0; 1024];
        if self.read_content(&inode, 0, &mut head)? < head.len() {
            return Err(bad("its journal has no header"));
        }
        let big = |at: usize| Fields(&head).u32(at).swap_bytes();
        if big(0) != 0xc03b_3998 || !matches!(big(4), 3 | 4) {
            return Err(bad("its journal has no header"));
        }
        if big(0x1c) != 0 {
            return Err(bad("it is marked as clean, and its journal has changes"));
        }
        Ok(())
    }

    /// The seed of the checksums of an inode and of the blocks that belong to it.
    fn inode_seed(&self, number: u64, generation: u32) -> u32 {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let seed = crc32c(self.superblock.seed, &number.to_le_bytes());
        crc32c(seed, &generation.to_le_bytes())
    }
}

#[cfg(test)]
#[path = "ext4/tests.rs"]
mod tests;
