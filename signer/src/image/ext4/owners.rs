//! Makes sure that each block and each inode has one owner.
//!
//! What the image declares as `state` is not read, and a host writes there. A file in it that has a block of a
//! sealed file writes that file, too, after it was verified. So has one whose block the file system takes for
//! free, and hands out to whoever writes next; so does a name beyond an inode's count of links, since the count is
//! what says that a sealed file has no name elsewhere. All inodes in use are looked at, whatever directory they
//! are in, as the first two passes of `e2fsck` do.
//!
//! Bounds: memory by [`claims`] and [`names`]; time by the number of inodes and blocks in use. A block is read as
//! one of extents, of lists or of a directory only once, since it has one owner.

#[path = "owners/claims.rs"]
mod claims;
#[path = "owners/names.rs"]
mod names;
#[path = "owners/table.rs"]
mod table;

use std::{collections::BTreeMap, io};

use rustix::fs::FileType;

use earmark_scan::disk::bytes::{Fields, bad};

use self::{claims::Claims, names::Names, table::Inodes};
use super::{Ext4, ROOT, directory, inode::Inode, map};

/// Inode whose list of blocks names those that are kept for more group descriptors.
const RESIZE: u64 = 7;
/// The slot of a list of lists in `i_block`.
const DOUBLE: usize = 13;
/// Blocks of attributes that are told apart, each of which may belong to many inodes.
const XATTR_BLOCKS: usize = 300_000;

/// Refuses a file system in which two files share a block or an inode, or that would hand out one in use.
pub(super) fn refuse_shared(fs: &Ext4) -> io::Result<()> {
    let mut owners = Owners {
        fs,
        claims: Claims::default(),
        names: Names::default(),
        xattr_blocks: BTreeMap::new(),
        empty_groups: Vec::new(),
    };
    for group in 0..fs.superblock.groups() {
        owners.claim_group(group)?;
    }
    // No directory names these, and what they have is no less in use.
    for number in fs
        .superblock
        .own_inodes
        .iter()
        .chain(&fs.superblock.journal)
    {
        owners.names.add(*number)?;
    }
    let mut inodes = Inodes::new(fs);
    inodes.for_each_in_use(|inode| owners.claim_inode(inode))?;
    if inodes.get(ROOT)?.is_none() {
        return Err(bad("its root directory is marked as free"));
    }
    owners.check_xattr_blocks()?;
    owners.check_block_bitmaps()?;
    owners
        .names
        .for_each(|number, count| check_names(&mut inodes, number, count))
}

struct Owners<'a> {
    fs: &'a Ext4,
    claims: Claims,
    names: Names,
    /// Blocks of attributes, and the number of inodes that have each.
    xattr_blocks: BTreeMap<u64, u32>,
    /// By group: whether all its blocks but its own count as free.
    empty_groups: Vec<bool>,
}

impl Owners<'_> {
    /// Claims what a group has of the file system's own.
    fn claim_group(&mut self, number: u64) -> io::Result<()> {
        let superblock = &self.fs.superblock;
        let group = superblock.group(&*self.fs.bytes, number)?;
        self.empty_groups.push(group.is_empty);
        let first = superblock.blocks_of(number).0;
        let tables = superblock.table_blocks();
        for (first, count) in [
            (first, superblock.copy_blocks(number)),
            (group.block_bitmap, 1),
            (group.inode_bitmap, 1),
            (group.table, tables),
        ] {
            let is_there = first.checked_add(count);
            if is_there.is_none_or(|end| end > superblock.blocks) {
                return Err(bad(format!("the metadata of group {number} lies outside")));
            }
            self.claims
                .take(first, count)
                .map_err(|shared| shared.error(&format!("is in the metadata of group {number}")))?;
        }
        Ok(())
    }

    fn claim_inode(&mut self, inode: &Inode) -> io::Result<()> {
        let number = inode.number;
        self.count_xattr_block(inode)?;
        if number == RESIZE && !inode.has_extents() {
            // The rest are the blocks that its groups have claimed.
            let list = Fields(inode.block()).u32(4 * DOUBLE);
            return self.claim_if_any(inode, list);
        }
        let has_blocks = match inode.kind() {
            FileType::RegularFile | FileType::Directory => true,
            FileType::Symlink => inode.has_extents() || !inode.is_short_link(self.fs)?,
            // Their numbers lie where others have blocks.
            FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Fifo
            | FileType::Socket
            | FileType::Unknown => false,
        };
        if !has_blocks {
            return Ok(());
        }
        if inode.has_extents() {
            let depth = Fields(inode.block()).u16(6);
            self.claim_extents(inode, inode.block(), depth)?;
        } else {
            self.claim_lists(inode)?;
        }
        if inode.kind() != FileType::Directory {
            return Ok(());
        }
        let first = self.fs.superblock.first_inode;
        directory::inodes(self.fs, inode, |named| {
            if named < first {
                return Err(bad(format!("inode {named} is reserved and has a name")));
            }
            self.names.add(named)
        })
    }

    fn claim(&mut self, inode: &Inode, first: u64, count: u64) -> io::Result<()> {
        let superblock = &self.fs.superblock;
        superblock
            .must_have(first, count)
            .map_err(|error| bad(format!("inode {}: {error}", inode.number)))?;
        let group = |block: u64| {
            let within = block.saturating_sub(superblock.first_block);
            usize::try_from(within / superblock.blocks_per_group).unwrap_or(usize::MAX)
        };
        let last = group(first.saturating_add(count).saturating_sub(1));
        let empty = self.empty_groups.get(group(first)..=last);
        if empty.is_none_or(|groups| groups.contains(&true)) {
            return Err(bad(format!(
                "inode {} has blocks in a group that is marked as empty",
                inode.number
            )));
        }
        let number = inode.number;
        self.claims
            .take(first, count)
            .map_err(|shared| shared.error(&format!("is in inode {number}")))
    }

    fn claim_if_any(&mut self, inode: &Inode, block: u32) -> io::Result<()> {
        if block == 0 {
            return Ok(());
        }
        self.claim(inode, block.into(), 1)
    }

    fn claim_extents(&mut self, inode: &Inode, node: &[u8], depth: u16) -> io::Result<()> {
        let wrong = |problem: &str| bad(format!("inode {}: {problem}", inode.number));
        if depth > map::DEPTH {
            return Err(wrong("its extents are too deep"));
        }
        for entry in map::entries(node, depth).map_err(wrong)? {
            if depth == 0 {
                let first = u64::from(entry.u16(6)) << 32 | u64::from(entry.u32(8));
                self.claim(inode, first, map::length(&entry).into())?;
                continue;
            }
            let child = u64::from(entry.u16(8)) << 32 | u64::from(entry.u32(4));
            self.claim(inode, child, 1)?;
            let what = format!("extents of inode {}", inode.number);
            let child = self.fs.block(child, &what)?;
            map::check(self.fs, inode, &child)?;
            self.claim_extents(inode, &child, depth - 1)?;
        }
        Ok(())
    }

    /// Twelve blocks, and three lists, each of one level more.
    fn claim_lists(&mut self, inode: &Inode) -> io::Result<()> {
        const DIRECT: usize = 12;
        for slot in 0..DIRECT + 3 {
            let block = Fields(inode.block()).u32(4 * slot);
            self.claim_if_any(inode, block)?;
            if block != 0 && slot >= DIRECT {
                self.claim_list(inode, block, slot - DIRECT)?;
            }
        }
        Ok(())
    }

    fn claim_list(&mut self, inode: &Inode, block: u32, levels: usize) -> io::Result<()> {
        let what = format!("blocks of inode {}", inode.number);
        let list = self.fs.block(block.into(), &what)?;
        for entry in list.chunks_exact(4) {
            let block = Fields(entry).u32(0);
            self.claim_if_any(inode, block)?;
            if block != 0 && levels > 0 {
                self.claim_list(inode, block, levels - 1)?;
            }
        }
        Ok(())
    }

    fn count_xattr_block(&mut self, inode: &Inode) -> io::Result<()> {
        let block = inode.xattr_block();
        if block == 0 {
            return Ok(());
        }
        if let Some(count) = self.xattr_blocks.get_mut(&block) {
            *count = count.saturating_add(1);
            return Ok(());
        }
        if self.xattr_blocks.len() >= XATTR_BLOCKS {
            return Err(bad(format!(
                "it has more than {XATTR_BLOCKS} blocks of attributes, which is the limit"
            )));
        }
        self.claim(inode, block, 1)?;
        self.xattr_blocks.insert(block, 1);
        Ok(())
    }

    /// The kernel writes into a block of attributes whose count is 1, whoever else has it.
    fn check_xattr_blocks(&self) -> io::Result<()> {
        for (block, count) in &self.xattr_blocks {
            let raw = self.fs.block(*block, "attributes")?;
            let says = Fields(&raw).u32(4);
            if says < *count {
                return Err(bad(format!(
                    "block {block} has the attributes of {count} inodes, and says {says}: run e2fsck, or bake it again"
                )));
            }
        }
        Ok(())
    }

    /// A block in use that is marked as free is handed out to the next file that grows.
    fn check_block_bitmaps(&self) -> io::Result<()> {
        let superblock = &self.fs.superblock;
        for number in 0..superblock.groups() {
            let group = superblock.group(&*self.fs.bytes, number)?;
            let (first, count) = superblock.blocks_of(number);
            if group.is_empty || !self.claims.has_any(first, count) {
                continue;
            }
            let bitmap = self.fs.block(group.block_bitmap, "block bitmap")?;
            for within in 0..count {
                let block = first.saturating_add(within);
                if self.claims.has(block) && !table::bit(&bitmap, within) {
                    return Err(bad(format!(
                        "block {block} is in use and marked as free: run e2fsck, or bake it again"
                    )));
                }
            }
        }
        Ok(())
    }
}

/// Checks an inode that has `count` names in all directories.
fn check_names(inodes: &mut Inodes<'_>, number: u64, count: u16) -> io::Result<()> {
    let inode = inodes.get(number)?;
    let inode = inode.ok_or_else(|| {
        bad(format!(
            "inode {number} has a name and is marked as free: run e2fsck, or bake it again"
        ))
    })?;
    let is_directory = inode.kind() == FileType::Directory;
    let most = match number {
        ROOT => 0,
        _ if is_directory => 1,
        _ => inode.metadata().links,
    };
    if u32::from(count) > most {
        return Err(bad(format!(
            "inode {number} has {count} names: expected at most {most}; run e2fsck, or bake it \
             again"
        )));
    }
    Ok(())
}
