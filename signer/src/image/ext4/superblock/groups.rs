//! Groups of blocks: their descriptors, and what else of the file system's own lies in them.

use std::io;

use earmark_scan::disk::bytes::{Bytes, Fields, bad, crc32c};

use super::Superblock;

const INODE_UNINIT: u16 = 0x1;
const BLOCK_UNINIT: u16 = 0x2;

/// Descriptor of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Number of the group, from 0.
    pub number: u64,
    /// Block that says which blocks are in use.
    pub block_bitmap: u64,
    /// Block that says which inodes are in use.
    pub inode_bitmap: u64,
    /// First block of the inode table.
    pub table: u64,
    /// Number of inodes, from the first, that may be in use: the rest of the table was never written.
    pub used_inodes: u64,
    /// True, if the kernel takes all blocks for free that are not the group's own, whatever the bitmap says.
    pub is_empty: bool,
}

/// The groups that have a copy of the superblock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Copies {
    All,
    /// 0, 1, and powers of 3, 5 and 7.
    Sparse,
    /// 0, and two more.
    Two([u64; 2]),
}

impl Copies {
    pub(super) fn new(fields: &Fields<'_>) -> Self {
        const SPARSE: u32 = 0x1;
        const SPARSE_2: u32 = 0x200;
        if fields.u32(0x5c) & SPARSE_2 != 0 {
            Self::Two([fields.u32(0x24c).into(), fields.u32(0x250).into()])
        } else if fields.u32(0x64) & SPARSE != 0 {
            Self::Sparse
        } else {
            Self::All
        }
    }

    fn are_in(&self, group: u64) -> bool {
        let is_power = |of: u64| {
            let mut power = of;
            while power < group {
                power = power.saturating_mul(of);
            }
            power == group
        };
        match self {
            Self::All => true,
            Self::Sparse => group <= 1 || is_power(3) || is_power(5) || is_power(7),
            Self::Two(groups) => group == 0 || groups.contains(&group),
        }
    }
}

impl Superblock {
    /// Number of groups.
    pub(in super::super) fn groups(&self) -> u64 {
        let blocks = self.blocks.saturating_sub(self.first_block);
        blocks
            .checked_add(self.blocks_per_group.saturating_sub(1))
            .and_then(|blocks| blocks.checked_div(self.blocks_per_group))
            .unwrap_or(u64::MAX)
    }

    /// First block of the inode table of each group.
    pub(in super::super) fn inode_tables(&self, bytes: &dyn Bytes) -> io::Result<Vec<u64>> {
        let mut tables = Vec::new();
        for group in 0..self.groups() {
            tables.push(self.group(bytes, group)?.table);
        }
        Ok(tables)
    }

    /// Reads the descriptor of a group.
    pub(in super::super) fn group(&self, bytes: &dyn Bytes, number: u64) -> io::Result<Group> {
        let mut raw = vec![0; self.descriptor_size];
        let size = u64::try_from(raw.len()).unwrap_or(u64::MAX);
        let at = self
            .first_block
            .saturating_add(1)
            .saturating_mul(self.block_size)
            .saturating_add(number.saturating_mul(size));
        bytes.read(at, &mut raw)?;
        self.check_descriptor(number, &raw)?;
        let fields = Fields(&raw);
        let is_long = raw.len() >= 64;
        let block = |low: usize, high: usize| {
            let high = if is_long { fields.u32(high) } else { 0 };
            u64::from(high) << 32 | u64::from(fields.u32(low))
        };
        let table = block(0x8, 0x28);
        self.must_have(table, self.table_blocks())
            .map_err(|error| bad(format!("inode table of group {number}: {error}")))?;
        let flags = if self.has_group_flags {
            fields.u16(0x12)
        } else {
            0
        };
        let high = if is_long { fields.u16(0x32) } else { 0 };
        let unused = u64::from(high) << 16 | u64::from(fields.u16(0x1c));
        let used_inodes = if flags & INODE_UNINIT != 0 {
            0
        } else if self.has_group_flags {
            self.inodes_per_group.saturating_sub(unused)
        } else {
            self.inodes_per_group
        };
        Ok(Group {
            number,
            block_bitmap: block(0x0, 0x20),
            inode_bitmap: block(0x4, 0x24),
            table,
            used_inodes,
            is_empty: flags & BLOCK_UNINIT != 0,
        })
    }

    /// Blocks of the inode table of a group.
    pub(in super::super) fn table_blocks(&self) -> u64 {
        u64::try_from(self.inode_size)
            .unwrap_or(u64::MAX)
            .saturating_mul(self.inodes_per_group)
            / self.block_size
    }

    /// The number of the inode at `index` in the table of a group.
    pub(in super::super) fn inode_number(&self, group: u64, index: u64) -> u64 {
        group
            .saturating_mul(self.inodes_per_group)
            .saturating_add(index)
            .saturating_add(1)
    }

    /// The blocks of a group: its first, and their number.
    pub(in super::super) fn blocks_of(&self, group: u64) -> (u64, u64) {
        let first = group
            .saturating_mul(self.blocks_per_group)
            .saturating_add(self.first_block);
        let left = self.blocks.saturating_sub(first);
        (first, left.min(self.blocks_per_group))
    }

    /// Number of blocks that a group begins with: a copy of the superblock, and of the descriptors with room for
    /// more of them. None in a group that has no copy.
    pub(in super::super) fn copy_blocks(&self, group: u64) -> u64 {
        if !self.copies.are_in(group) {
            return 0;
        }
        let size = u64::try_from(self.descriptor_size).unwrap_or(u64::MAX);
        let descriptors = self.groups().saturating_mul(size).div_ceil(self.block_size);
        descriptors
            .saturating_add(self.reserved_descriptors)
            .saturating_add(1)
            .min(self.blocks_of(group).1)
    }

    /// Without checksums of all metadata, older file systems have some of the descriptors alone, which
    /// protect nothing that this reader looks at.
    fn check_descriptor(&self, group: u64, raw: &[u8]) -> io::Result<()> {
        if !self.has_checksums {
            return Ok(());
        }
        let number = u32::try_from(group).unwrap_or(u32::MAX);
        let crc = crc32c(self.seed, &number.to_le_bytes());
        let crc = crc32c(crc, raw.get(..0x1e).unwrap_or_default());
        let crc = crc32c(crc, &[0, 0]);
        let crc = crc32c(crc, raw.get(0x20..).unwrap_or_default());
        if crc & 0xffff == u32::from(Fields(raw).u16(0x1e)) {
            Ok(())
        } else {
            Err(bad(format!(
                "the checksum of the descriptor of group {group} does not match"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparse_copies_are_in_powers_of_three_five_and_seven() {
        let of = |copies: Copies| (0..130).filter(|group| copies.are_in(*group)).collect();
        let sparse: Vec<u64> = of(Copies::Sparse);
        assert_eq!(sparse, [0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125]);
        let two: Vec<u64> = of(Copies::Two([1, 129]));
        assert_eq!(two, [0, 1, 129]);
        let all: Vec<u64> = of(Copies::All);
        assert_eq!(all.len(), 130);
    }
}
