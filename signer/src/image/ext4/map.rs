//! Map from the blocks of a file to those of the file system: extents, or the lists of blocks of ext2 and ext3.

use std::io;

use earmark_scan::disk::bytes::{Fields, bad, crc32c};

use super::{Ext4, inode::Inode};

/// Blocks that follow each other, from the one that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// The first; none, if these are zeros that are not on the disk.
    pub(super) physical: Option<u64>,
    /// Number of blocks, at least 1.
    pub(super) blocks: u32,
}

const HEADER: usize = 12;
const ENTRY: usize = 12;
/// The kernel's own bound (`EXT4_MAX_EXTENT_DEPTH`).
pub(super) const DEPTH: u16 = 5;
/// An extent longer than this has blocks that were never written.
const WRITTEN: u16 = 0x8000;

/// Finds the blocks that hold `logical` and those behind it.
pub(super) fn find(fs: &Ext4, inode: &Inode, logical: u32) -> io::Result<Run> {
    if inode.has_extents() {
        extents(fs, inode, logical)
    } else {
        blocks(fs, inode, logical)
    }
}

fn extents(fs: &Ext4, inode: &Inode, logical: u32) -> io::Result<Run> {
    let wrong = |problem: &str| bad(format!("inode {}: {problem}", inode.number));
    let mut node = inode.block().to_vec();
    let depth = Fields(&node).u16(6);
    if depth > DEPTH {
        return Err(wrong("its extents are too deep"));
    }
    // What this node covers: each child must begin where its parent says, and end before the next one.
    let (mut expected, mut first, mut limit) = (depth, None, u32::MAX);
    loop {
        let entries = entries(&node, expected).map_err(wrong)?;
        if first.is_some_and(|first| entries.first().map(|entry| entry.u32(0)) != Some(first)) {
            return Err(wrong("its extents do not begin where their index says"));
        }
        let after = entries.partition_point(|entry| entry.u32(0) <= logical);
        let next = entries.get(after).map_or(limit, |entry| entry.u32(0));
        let Some(entry) = after.checked_sub(1).and_then(|at| entries.get(at)) else {
            return Ok(hole(next.saturating_sub(logical)));
        };
        if expected == 0 {
            return leaf(fs, inode, &entries, after, logical, limit);
        }
        let child = u64::from(entry.u16(8)) << 32 | u64::from(entry.u32(4));
        (first, limit, expected) = (Some(entry.u32(0)), next, expected - 1);
        node = fs.block(child, &format!("extents of inode {}", inode.number))?;
        check(fs, inode, &node)?;
    }
}

fn leaf(
    fs: &Ext4,
    inode: &Inode,
    entries: &[Fields<'_>],
    after: usize,
    logical: u32,
    limit: u32,
) -> io::Result<Run> {
    let wrong = |problem: &str| bad(format!("inode {}: {problem}", inode.number));
    let mut end = 0;
    for entry in entries {
        let (start, length) = (entry.u32(0), length(entry));
        let stop = start.checked_add(length.into());
        if length == 0 || start < end || stop.is_none_or(|stop| stop > limit) {
            return Err(wrong("its extents overlap, or are empty"));
        }
        end = stop.unwrap_or(u32::MAX);
    }
    let entry = after.checked_sub(1).and_then(|at| entries.get(at));
    let entry = entry.ok_or_else(|| wrong("its extents are empty"))?;
    let within = logical.saturating_sub(entry.u32(0));
    let length = length(entry);
    if within >= length.into() {
        let next = entries.get(after).map_or(limit, |entry| entry.u32(0));
        return Ok(hole(next.saturating_sub(logical)));
    }
    let start = u64::from(entry.u16(6)) << 32 | u64::from(entry.u32(8));
    fs.superblock
        .must_have(start, length.into())
        .map_err(|error| wrong(&error.to_string()))?;
    let is_written = entry.u16(4) <= WRITTEN;
    Ok(Run {
        physical: is_written.then(|| start.saturating_add(within.into())),
        blocks: u32::from(length).saturating_sub(within),
    })
}

pub(super) fn length(extent: &Fields<'_>) -> u16 {
    match extent.u16(4) {
        length if length > WRITTEN => length - WRITTEN,
        length => length,
    }
}

/// A hole ends with the next extent, or never.
fn hole(blocks: u32) -> Run {
    Run {
        physical: None,
        blocks: blocks.max(1),
    }
}

/// The entries of a node of the extents, in order.
pub(super) fn entries(node: &[u8], depth: u16) -> Result<Vec<Fields<'_>>, &'static str> {
    let header = Fields(node);
    let (count, most) = (usize::from(header.u16(2)), usize::from(header.u16(4)));
    let room = node.len().saturating_sub(HEADER) / ENTRY;
    if header.u16(0) != 0xf30a || header.u16(6) != depth || count > most || most > room {
        return Err("the header of its extents is invalid");
    }
    if count == 0 && depth > 0 {
        return Err("the index of its extents is empty");
    }
    let entries = (0..count).map(|at| Fields(header.bytes(HEADER + at * ENTRY, ENTRY)));
    let entries: Vec<_> = entries.collect();
    if entries.is_sorted_by(|one, other| one.u32(0) < other.u32(0)) {
        Ok(entries)
    } else {
        Err("its extents are out of order")
    }
}

/// The checksum of a block of extents lies behind the last entry that there is room for.
pub(super) fn check(fs: &Ext4, inode: &Inode, node: &[u8]) -> io::Result<()> {
    if !fs.superblock.has_checksums {
        return Ok(());
    }
    let at = HEADER + ENTRY * usize::from(Fields(node).u16(4));
    let covered = node.get(..at).unwrap_or_default();
    let crc = crc32c(fs.inode_seed(inode.number, inode.generation()), covered);
    if node
        .get(at..at + 4)
        .is_some_and(|found| found == crc.to_le_bytes())
    {
        Ok(())
    } else {
        Err(bad(format!(
            "inode {}: the checksum of its extents does not match",
            inode.number
        )))
    }
}

/// Twelve blocks, and three that hold lists: of blocks, of lists, of lists of lists.
fn blocks(fs: &Ext4, inode: &Inode, logical: u32) -> io::Result<Run> {
    const DIRECT: u64 = 12;
    let per_block = fs.superblock.block_size / 4;
    let mut index = u64::from(logical);
    let (mut slot, mut levels) = (index, 0);
    if index >= DIRECT {
        index -= DIRECT;
        let mut covered = per_block;
        (slot, levels) = (DIRECT, 1);
        while index >= covered {
            index -= covered;
            covered = covered.saturating_mul(per_block);
            (slot, levels) = (slot + 1, levels + 1);
        }
    }
    if levels > 3 {
        return Err(bad(format!(
            "inode {}: block {logical} does not exist",
            inode.number
        )));
    }
    let at = usize::try_from(slot.saturating_mul(4)).unwrap_or(usize::MAX);
    let mut number = Fields(inode.block()).u32(at);
    for level in (0..levels).rev() {
        if number == 0 {
            break;
        }
        let list = fs.block(number.into(), &format!("blocks of inode {}", inode.number))?;
        let slot = index / per_block.pow(level) % per_block;
        number = Fields(&list).u32(usize::try_from(slot.saturating_mul(4)).unwrap_or(usize::MAX));
    }
    if number == 0 {
        return Ok(hole(1));
    }
    fs.superblock
        .must_have(number.into(), 1)
        .map_err(|error| bad(format!("inode {}: {error}", inode.number)))?;
    Ok(Run {
        physical: Some(number.into()),
        blocks: 1,
    })
}
