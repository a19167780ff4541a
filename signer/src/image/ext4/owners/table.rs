//! Inodes in use, read block by block of their tables.

use std::io;

use earmark_scan::disk::bytes::bad;

use super::super::{Ext4, inode::Inode, superblock::Group};

/// Inodes that are marked as in use, of all groups: as many as are looked at in minutes.
const MOST: u64 = 1 << 26;

/// Reads inodes, best in the order of their numbers.
pub(super) struct Inodes<'a> {
    fs: &'a Ext4,
    group: Option<(Group, Vec<u8>)>,
    /// A block of an inode table.
    block: Option<(u64, Vec<u8>)>,
}

impl<'a> Inodes<'a> {
    pub(super) fn new(fs: &'a Ext4) -> Self {
        Self {
            fs,
            group: None,
            block: None,
        }
    }

    /// Hands on each inode that is marked as in use and is, and those of the file system's own.
    pub(super) fn for_each_in_use(
        &mut self,
        mut each: impl FnMut(&Inode) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut left = MOST;
        for group in 0..self.fs.superblock.groups() {
            let (found, bitmap) = self.group(group)?;
            let used = found.used_inodes;
            let (table, bitmap) = (found.table, bitmap.clone());
            for index in 0..used {
                let number = self.fs.superblock.inode_number(group, index);
                let is_own = number < self.fs.superblock.first_inode;
                if !is_own && !bit(&bitmap, index) {
                    continue;
                }
                left = left
                    .checked_sub(1)
                    .ok_or_else(|| bad("it has more inodes in use than are looked at here"))?;
                let raw = self.raw(table, index)?;
                if is_in_use(&raw) {
                    each(&Inode::of(self.fs, number, raw)?)?;
                }
            }
        }
        Ok(())
    }

    /// Reads an inode; none, if it is not in use, or not marked so.
    pub(super) fn get(&mut self, number: u64) -> io::Result<Option<Inode>> {
        let (group, index) = self.fs.superblock.place(number)?;
        let group = u64::try_from(group).unwrap_or(u64::MAX);
        let (found, bitmap) = self.group(group)?;
        if index >= found.used_inodes || !bit(bitmap, index) {
            return Ok(None);
        }
        let table = found.table;
        let raw = self.raw(table, index)?;
        if !is_in_use(&raw) {
            return Ok(None);
        }
        Inode::of(self.fs, number, raw).map(Some)
    }

    fn group(&mut self, number: u64) -> io::Result<&(Group, Vec<u8>)> {
        let kept = self
            .group
            .take()
            .filter(|(group, _)| group.number == number);
        let found = if let Some(kept) = kept {
            kept
        } else {
            let group = self.fs.superblock.group(&*self.fs.bytes, number)?;
            let bitmap = self.fs.block(group.inode_bitmap, "inode bitmap")?;
            (group, bitmap)
        };
        Ok(self.group.insert(found))
    }

    fn raw(&mut self, table: u64, index: u64) -> io::Result<Vec<u8>> {
        let size = self.fs.superblock.inode_size;
        let offset = index.saturating_mul(u64::try_from(size).unwrap_or(u64::MAX));
        let block_size = self.fs.superblock.block_size;
        let number = table.saturating_add(offset / block_size);
        let kept = self.block.take().filter(|(kept, _)| *kept == number);
        let (_, block) = self.block.insert(match kept {
            Some(kept) => kept,
            None => (number, self.fs.block(number, "inode table")?),
        });
        let at = usize::try_from(offset % block_size).unwrap_or(usize::MAX);
        let raw = block.get(at..at.saturating_add(size));
        Ok(raw.unwrap_or_default().to_vec())
    }
}

/// An inode has links and a mode, as [`Inode::read`] has it.
fn is_in_use(raw: &[u8]) -> bool {
    let is_set = |at: usize| raw.get(at..at + 2).is_some_and(|field| field != [0, 0]);
    is_set(0x1a) && is_set(0)
}

/// A bit of a bitmap.
pub(super) fn bit(bitmap: &[u8], at: u64) -> bool {
    let byte = usize::try_from(at / 8).ok().and_then(|at| bitmap.get(at));
    byte.is_some_and(|byte| byte & (1 << (at % 8)) != 0)
}
