//! The index of a directory. A kernel looks names up by it, and never sees one that it does not lead to: a file
//! could be in the directory for this reader, and missing for the host.

use std::collections::{BTreeMap, BTreeSet};

use earmark_scan::disk::bytes::Fields;

use super::{Ext4, directory::Entry, hash::Hash};

/// Blocks of the index, by their place in the directory.
#[derive(Default)]
pub(super) struct Index {
    version: u8,
    levels: u8,
    nodes: BTreeMap<u32, Result<Vec<Link>, &'static str>>,
}

/// From the hash `from` on, names are in the block `block`.
#[derive(Clone, Copy)]
struct Link {
    from: u32,
    block: u32,
}

/// The levels below the root's: one, two with large directories.
const LEVELS: u8 = 2;

impl Index {
    /// Takes a block of the directory, if it is one of the index.
    pub(super) fn take(&mut self, number: u32, block: &[u8]) -> bool {
        let fields = Fields(block);
        let at = if number == 0 {
            (self.version, self.levels) = (fields.u8(28), fields.u8(30));
            // `..` covers the rest of the block, so that its entries are seen by nobody else.
            let is_root = fields.u16(4) == 12
                && usize::from(fields.u16(16)) == block.len().saturating_sub(12)
                && fields.u32(24) == 0
                && fields.u8(29) == 8;
            if !is_root {
                self.nodes
                    .insert(0, Err("the root of its index is invalid"));
                return true;
            }
            32
        } else if fields.u32(0) == 0 && usize::from(fields.u16(4)) == block.len() {
            8
        } else {
            return false;
        };
        self.nodes.insert(number, links(block, at));
        true
    }

    /// Checks that the index leads to each entry, of a directory of `blocks` blocks.
    pub(super) fn check(
        self,
        fs: &Ext4,
        blocks: u32,
        entries: &[Entry],
    ) -> Result<(), &'static str> {
        let most = if fs.superblock.has_large_directories {
            LEVELS
        } else {
            LEVELS - 1
        };
        if self.levels > most {
            return Err("its index is too deep");
        }
        let hash = Hash::new(
            self.version,
            fs.superblock.is_hash_unsigned,
            fs.superblock.hash_seed,
        )
        .ok_or("unknown hash of its index")?;
        let (mut leaves, mut nodes) = (vec![Link { from: 0, block: 0 }], BTreeSet::new());
        for _ in 0..=self.levels {
            let mut next = Vec::new();
            for link in leaves {
                let node = self
                    .nodes
                    .get(&link.block)
                    .ok_or("its index leads to a block that is not an index")?;
                nodes.insert(link.block);
                let mut links = node.as_ref().map_err(|problem| *problem)?.iter().copied();
                // The first of a node begins where the node does.
                next.extend(links.next().map(|first| Link {
                    from: link.from,
                    ..first
                }));
                next.extend(links);
                if next.len() > usize::try_from(blocks).unwrap_or(usize::MAX) {
                    return Err("its index has more leaves than it has blocks");
                }
            }
            leaves = next;
        }
        if !leaves.is_sorted_by_key(|link| link.from) {
            return Err("its index is out of order");
        }
        // The hashes that each block may have names of.
        let mut ranges = BTreeMap::new();
        for (at, link) in leaves.iter().enumerate() {
            let next = leaves.get(at + 1).map_or(u64::MAX, |next| next.from.into());
            // A leaf that all names were deleted from looks like a block of the index.
            let is_index = nodes.contains(&link.block);
            if link.block >= blocks
                || is_index
                || ranges.insert(link.block, (link.from, next)).is_some()
            {
                return Err("its index has a duplicate or invalid leaf");
            }
        }
        for entry in entries {
            let range = ranges
                .get(&entry.block)
                .ok_or("its index does not lead to a name")?;
            let name = hash.of(&entry.name);
            // An odd start says that the hash before it goes on here.
            if name < range.0 & !1 || u64::from(name) >= range.1 {
                return Err("a name is not where its index leads");
            }
        }
        Ok(())
    }
}

/// The links of a block of the index, whose count is at `at`.
fn links(block: &[u8], at: usize) -> Result<Vec<Link>, &'static str> {
    let fields = Fields(block);
    let (most, count) = (usize::from(fields.u16(at)), usize::from(fields.u16(at + 2)));
    if count == 0 || count > most || at.saturating_add(most.saturating_mul(8)) > block.len() {
        return Err("a block of its index is invalid");
    }
    let link = |number: usize| Link {
        from: if number == 0 {
            0
        } else {
            fields.u32(at + 8 * number)
        },
        block: fields.u32(at + 8 * number + 4) & 0x0fff_ffff,
    };
    Ok((0..count).map(link).collect())
}
