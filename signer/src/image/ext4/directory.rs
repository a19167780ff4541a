//! Directories: every entry of every block, and that the index leads to each.

use std::io;

use earmark_scan::source::cost;
use rustix::fs::FileType;

use earmark_scan::disk::bytes::{Fields, bad, crc32c};

use super::{Ext4, htree, inode::Inode};

/// Bytes that the index of a directory takes for each of its blocks while it is checked.
const INDEXED: usize = 96;
/// Bytes in a directory: the kernel's own bound for most.
const SIZE: u64 = 2 << 30;
/// End of a block where metadata has checksums: an entry that looks unused.
const TAIL: usize = 12;
const TAIL_TYPE: u8 = 0xde;

/// An entry, and the block of the directory that it is in.
pub(super) struct Entry {
    pub(super) name: Box<[u8]>,
    pub(super) inode: u64,
    pub(super) block: u32,
}

/// The entries of a directory, without `.` and `..`, if they cost at most `room`.
pub(super) fn list(fs: &Ext4, inode: &Inode, mut room: usize) -> io::Result<Vec<(Box<[u8]>, u64)>> {
    let wrong = |problem: &str| wrong(inode, problem);
    let blocks = blocks(fs, inode)?;
    fs.spend(inode.size)?;
    let mut index = inode.has_index().then(htree::Index::default);
    if index.is_some() {
        let taken = usize::try_from(blocks)
            .unwrap_or(usize::MAX)
            .saturating_mul(INDEXED);
        room = room
            .checked_sub(taken)
            .ok_or_else(|| wrong("its index is too large"))?;
    }
    let mut entries = Vec::new();
    for_each_block(fs, inode, |number, block| {
        let is_index = index
            .as_mut()
            .is_some_and(|index| index.take(number, block));
        check(fs, inode, block, is_index)?;
        let mut is_full = false;
        read(fs, number, block, |name, inode| {
            match room.checked_sub(cost(name)) {
                Some(left) => room = left,
                None => is_full = true,
            }
            if !is_full {
                let (name, block) = (name.into(), number);
                entries.push(Entry { name, inode, block });
            }
        })
        .map_err(wrong)?;
        if is_full {
            return Err(wrong("it has too many names"));
        }
        Ok(())
    })?;
    if let Some(index) = index {
        index.check(fs, blocks, &entries).map_err(wrong)?;
    }
    Ok(entries
        .into_iter()
        .map(|entry| (entry.name, entry.inode))
        .collect())
}

/// Hands on the inode of each name in a directory, without `.` and `..`, whether an index leads to it or not.
pub(super) fn inodes(
    fs: &Ext4,
    inode: &Inode,
    mut each: impl FnMut(u64) -> io::Result<()>,
) -> io::Result<()> {
    for_each_block(fs, inode, |number, block| {
        let mut result = Ok(());
        read(fs, number, block, |_, named| {
            if result.is_ok() {
                result = each(named);
            }
        })
        .map_err(|problem| wrong(inode, problem))?;
        result
    })
}

fn wrong(inode: &Inode, problem: &str) -> io::Error {
    bad(format!("directory of inode {}: {problem}", inode.number))
}

/// Number of blocks of a directory.
fn blocks(fs: &Ext4, inode: &Inode) -> io::Result<u32> {
    if inode.kind() != FileType::Directory {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let block_size = fs.superblock.block_size;
    if inode.size == 0 || inode.size > SIZE || !inode.size.is_multiple_of(block_size) {
        return Err(wrong(inode, "its size is invalid"));
    }
    Ok(u32::try_from(inode.size / block_size).unwrap_or(u32::MAX))
}

fn for_each_block(
    fs: &Ext4,
    inode: &Inode,
    mut each: impl FnMut(u32, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let block_size = fs.superblock.block_size;
    let mut buffer = vec![0; usize::try_from(block_size).unwrap_or(0)];
    for number in 0..blocks(fs, inode)? {
        let run = super::map::find(fs, inode, number)?;
        // The kernel goes on behind a hole or not, as its version has it.
        let physical = run.physical.ok_or_else(|| wrong(inode, "it has a hole"))?;
        fs.bytes
            .read(physical.saturating_mul(block_size), &mut buffer)?;
        each(number, &buffer)?;
    }
    Ok(())
}

/// Reads a block. The first one of a directory begins with `.` and `..`.
fn read(
    fs: &Ext4,
    number: u32,
    block: &[u8],
    mut each: impl FnMut(&[u8], u64),
) -> Result<(), &'static str> {
    let (mut at, mut position) = (0, 0);
    while at < block.len() {
        let fields = Fields(block.get(at..).unwrap_or_default());
        let (length, name_length) = (usize::from(fields.u16(4)), usize::from(fields.u8(6)));
        let end = at.saturating_add(length);
        let needed = name_length.saturating_add(8).next_multiple_of(4);
        if length % 4 != 0 || length < needed.max(12) || end > block.len() {
            return Err("an entry's length is invalid");
        }
        if !fs.superblock.has_types && fields.u8(7) != 0 && fields.u8(7) != TAIL_TYPE {
            return Err("a name's length is invalid");
        }
        let inode = fields.u32(0);
        let name = fields.bytes(8, name_length);
        if number == 0 && position < 2 {
            let expected: &[u8] = if position == 0 { b"." } else { b".." };
            if name != expected || inode == 0 {
                return Err("it does not begin with '.' and '..'");
            }
        } else if inode != 0 {
            each(name, inode.into());
        }
        (at, position) = (end, position + 1);
    }
    if number == 0 && position < 2 {
        return Err("it does not begin with '.' and '..'");
    }
    Ok(())
}

/// Checks the checksum of a block of entries. A block of the index, which has another, has none to check.
fn check(fs: &Ext4, inode: &Inode, block: &[u8], is_index: bool) -> io::Result<()> {
    if !fs.superblock.has_checksums || is_index {
        return Ok(());
    }
    let covered = block.len().saturating_sub(TAIL);
    let tail = Fields(block.get(covered..).unwrap_or_default());
    let is_tail = tail.u32(0) == 0 && tail.u16(4) == 12 && tail.u16(6) == u16::from(TAIL_TYPE) << 8;
    let crc = crc32c(
        fs.inode_seed(inode.number, inode.generation()),
        block.get(..covered).unwrap_or_default(),
    );
    if is_tail && tail.u32(8) == crc {
        Ok(())
    } else {
        Err(bad(format!(
            "the checksum of a block of directory {} does not match",
            inode.number
        )))
    }
}
