//! The superblock: what it allows, and where the inode tables are.

#[path = "superblock/groups.rs"]
mod groups;

use std::io;

use earmark_scan::disk::bytes::{Bytes, Fields, bad, crc32c};

pub(super) use self::groups::Group;

/// Offset and length of the superblock, in bytes.
const AT: u64 = 1024;
const SIZE: usize = 1024;
/// Groups of a file system: 128 TiB of the usual ones.
const GROUPS: u64 = 1 << 20;

const HAS_JOURNAL: u32 = 0x4;
const DIR_INDEX: u32 = 0x20;
const RECOVER: u32 = 0x4;
const FILETYPE: u32 = 0x2;
const SIXTY_FOUR: u32 = 0x80;
const CSUM_SEED: u32 = 0x2000;
const LARGE_DIR: u32 = 0x4000;
const METADATA_CSUM: u32 = 0x400;
const GDT_CSUM: u32 = 0x10;
const ORPHANS: u32 = 0x1_0000;

/// Features that this reader knows, or that change nothing of what it reads.
/// `dir_prealloc has_journal ext_attr resize_inode dir_index sparse_super2 fast_commit stable_inodes orphan_file`
const COMPATIBLE: u32 = 0x1 | HAS_JOURNAL | 0x8 | 0x10 | DIR_INDEX | 0x200 | 0x400 | 0x800 | 0x1000;
/// `filetype extent 64bit flex_bg metadata_csum_seed large_dir`
const INCOMPATIBLE: u32 = FILETYPE | 0x40 | SIXTY_FOUR | 0x200 | CSUM_SEED | LARGE_DIR;
/// `sparse_super large_file huge_file uninit_bg dir_nlink extra_isize quota metadata_csum project verity`
const READ_ONLY: u32 =
    0x1 | 0x2 | 0x8 | GDT_CSUM | 0x20 | 0x40 | 0x100 | METADATA_CSUM | 0x2000 | 0x8000;
/// Default mount options that change nothing of what a file is: `user_xattr acl`, the journal's mode, `nobarrier
/// block_validity discard nodelalloc`. Others do: `uid16` makes the kernel read half of each owner.
const DEFAULTS: u32 = 0x4 | 0x8 | 0x60 | 0x100 | 0x200 | 0x400 | 0x800;
/// Of the mount options that a superblock has as text, those that change as little.
const OPTIONS: [&str; 12] = [
    "acl",
    "user_xattr",
    "barrier",
    "nobarrier",
    "discard",
    "nodiscard",
    "delalloc",
    "nodelalloc",
    "block_validity",
    "errors=remount-ro",
    "errors=continue",
    "lazytime",
];

/// Names of features that images have and that are not on the lists, for messages.
const NAMES: [(Kind, u32, &str); 13] = [
    (Kind::Incompatible, 0x8, "journal_dev"),
    (Kind::Incompatible, 0x10, "meta_bg"),
    (Kind::Incompatible, 0x100, "mmp"),
    (Kind::Incompatible, 0x400, "ea_inode"),
    (Kind::Incompatible, 0x8000, "inline_data"),
    (Kind::Incompatible, 0x1_0000, "encrypt"),
    (Kind::Incompatible, 0x2_0000, "casefold"),
    (Kind::Incompatible, 0x1, "compression"),
    (Kind::ReadOnly, 0x80, "snapshot"),
    (Kind::ReadOnly, 0x200, "bigalloc"),
    (Kind::ReadOnly, 0x1000, "read-only"),
    (Kind::ReadOnly, 0x4000, "shared_blocks"),
    (Kind::Compatible, 0x2, "imagic_inodes"),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Compatible,
    Incompatible,
    ReadOnly,
}

/// Fields of an accepted superblock that the reader needs.
#[expect(
    clippy::struct_excessive_bools,
    reason = "features of the format, each its own"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// Bytes in a block: 1,024, 2,048 or 4,096.
    pub block_size: u64,
    /// Blocks of the file system.
    pub blocks: u64,
    /// Bytes in an inode.
    pub inode_size: usize,
    /// First inode that a directory may name, besides the root's.
    pub first_inode: u64,
    /// The journal's inode, if there is one.
    pub journal: Option<u64>,
    /// Seed of checksums, and whether metadata has any.
    pub seed: u32,
    pub has_checksums: bool,
    /// Directories may have an index.
    pub has_index: bool,
    /// Directory entries have the type of what they name.
    pub has_types: bool,
    /// Directories may be larger than 4 GiB.
    pub has_large_directories: bool,
    /// Seed of the hash of names, and whether their bytes count as unsigned.
    pub hash_seed: [u32; 4],
    pub is_hash_unsigned: bool,
    /// Inodes of the file system's own that lie among those of files: of quotas, and of orphans.
    pub own_inodes: Vec<u64>,
    pub(super) first_block: u64,
    inodes: u64,
    pub(super) blocks_per_group: u64,
    inodes_per_group: u64,
    /// Group descriptors say which of their bitmaps were never written.
    has_group_flags: bool,
    copies: groups::Copies,
    reserved_descriptors: u64,
    descriptor_size: usize,
}

impl Superblock {
    /// Reads the primary superblock, the only one that a kernel reads unasked.
    pub fn read(bytes: &dyn Bytes) -> io::Result<Self> {
        let mut raw = [0; SIZE];
        bytes
            .read(AT, &mut raw)
            .map_err(|_| bad("it is shorter than a superblock"))?;
        Self::parse(&raw, bytes.size())
    }

    /// Bytes of the file system.
    pub fn size(&self) -> u64 {
        self.blocks.saturating_mul(self.block_size)
    }

    fn parse(raw: &[u8; SIZE], there: u64) -> io::Result<Self> {
        let fields = Fields(raw);
        if fields.u16(0x38) != 0xef53 {
            return Err(bad("it has no ext4 superblock"));
        }
        let revision = fields.u32(0x4c);
        // The first revision had no features: those fields mean something else.
        if revision != 1 {
            return Err(bad(format!("its revision is {revision}: expected 1")));
        }
        let (compatible, incompatible, read_only) =
            (fields.u32(0x5c), fields.u32(0x60), fields.u32(0x64));
        refuse_stale(&fields)?;
        refuse_unknown(compatible, incompatible, read_only)?;
        refuse_options(&fields)?;
        let has_checksums = read_only & METADATA_CSUM != 0;
        let mut seed = 0;
        if has_checksums {
            let expected = fields.u32(0x3fc);
            if fields.u8(0x175) != 1 || crc32c(u32::MAX, fields.bytes(0, 0x3fc)) != expected {
                return Err(bad("the checksum of its superblock does not match"));
            }
            seed = if incompatible & CSUM_SEED == 0 {
                crc32c(u32::MAX, fields.bytes(0x68, 16))
            } else {
                fields.u32(0x270)
            };
        }
        let is_64 = incompatible & SIXTY_FOUR != 0;
        let high = if is_64 { fields.u32(0x150) } else { 0 };
        let block_size = match fields.u32(0x18) {
            log @ 0..=2 => 1024_u64 << log,
            _ => return Err(bad("its blocks have more than 4096 bytes")),
        };
        let superblock = Self {
            block_size,
            blocks: u64::from(high) << 32 | u64::from(fields.u32(0x4)),
            inode_size: fields.u16(0x58).into(),
            first_inode: fields.u32(0x54).into(),
            journal: (compatible & HAS_JOURNAL != 0).then(|| fields.u32(0xe0).into()),
            seed,
            has_checksums,
            has_index: compatible & DIR_INDEX != 0,
            has_types: incompatible & FILETYPE != 0,
            has_large_directories: incompatible & LARGE_DIR != 0,
            hash_seed: std::array::from_fn(|at| fields.u32(0xec + 4 * at)),
            is_hash_unsigned: fields.u32(0x160) & 2 != 0,
            own_inodes: own_inodes(&fields),
            has_group_flags: read_only & (METADATA_CSUM | GDT_CSUM) != 0,
            copies: groups::Copies::new(&fields),
            reserved_descriptors: fields.u16(0xce).into(),
            first_block: fields.u32(0x14).into(),
            inodes: fields.u32(0).into(),
            blocks_per_group: fields.u32(0x20).into(),
            inodes_per_group: fields.u32(0x28).into(),
            descriptor_size: if is_64 { fields.u16(0xfe).into() } else { 32 },
        };
        let size = superblock.size();
        if size > there {
            return Err(bad(format!(
                "its superblock says {size} bytes, and it has {there}: it is truncated"
            )));
        }
        superblock.refuse_nonsense(fields.u32(0x1c) == fields.u32(0x18), is_64)?;
        Ok(superblock)
    }

    fn refuse_nonsense(&self, clusters_are_blocks: bool, is_64: bool) -> io::Result<()> {
        let block_size = usize::try_from(self.block_size).unwrap_or(0);
        let bits = self.block_size.saturating_mul(8);
        let inodes_per_block = self
            .block_size
            .checked_div(u64::try_from(self.inode_size).unwrap_or(1));
        let groups = self.groups();
        let expected_first = u64::from(self.block_size == 1024);
        let descriptors = if is_64 { 64..=1024 } else { 32..=32 };
        for (is_sane, what) in [
            (clusters_are_blocks, "size of clusters"),
            (
                (128..=block_size).contains(&self.inode_size) && self.inode_size.is_power_of_two(),
                "size of inodes",
            ),
            (
                self.first_inode >= 11 && self.first_inode <= self.inodes,
                "first inode",
            ),
            (self.first_block == expected_first, "first block"),
            (
                self.blocks > self.first_block && self.blocks < 1 << 48,
                "number of blocks",
            ),
            (
                (8..=bits).contains(&self.blocks_per_group),
                "blocks in a group",
            ),
            (
                self.inodes_per_group > 0
                    && self.inodes_per_group <= bits
                    && inodes_per_block
                        .is_some_and(|one| one > 0 && self.inodes_per_group.is_multiple_of(one)),
                "inodes in a group",
            ),
            (
                descriptors.contains(&self.descriptor_size)
                    && self.descriptor_size.is_power_of_two(),
                "size of group descriptors",
            ),
            (groups <= GROUPS, "number of groups"),
            (
                groups.checked_mul(self.inodes_per_group) == Some(self.inodes),
                "number of inodes",
            ),
            (
                self.journal.is_none_or(|number| number == 8),
                "journal's inode",
            ),
        ] {
            if !is_sane {
                return Err(bad(format!("the {what} in its superblock is invalid")));
            }
        }
        Ok(())
    }

    /// The group and the place in its inode table, of an inode that exists.
    pub(super) fn place(&self, number: u64) -> io::Result<(usize, u64)> {
        let index = number.checked_sub(1).filter(|_| number <= self.inodes);
        let index = index.ok_or_else(|| bad(format!("inode {number} does not exist")))?;
        let group = index.checked_div(self.inodes_per_group).unwrap_or(u64::MAX);
        let within = index.checked_rem(self.inodes_per_group).unwrap_or(0);
        Ok((usize::try_from(group).unwrap_or(usize::MAX), within))
    }

    /// An error, if `count` blocks from `first` on are not all blocks of the file system.
    pub(super) fn must_have(&self, first: u64, count: u64) -> io::Result<()> {
        let end = first.checked_add(count);
        if first > self.first_block && end.is_some_and(|end| end <= self.blocks) {
            Ok(())
        } else {
            Err(bad(format!(
                "block {first} is not one of its {} blocks",
                self.blocks
            )))
        }
    }
}

fn own_inodes(fields: &Fields<'_>) -> Vec<u64> {
    const QUOTA: u32 = 0x100;
    const PROJECT: u32 = 0x2000;
    const ORPHAN_FILE: u32 = 0x1000;
    let (compatible, read_only) = (fields.u32(0x5c), fields.u32(0x64));
    let all = [
        (read_only & QUOTA, 0x240),
        (read_only & QUOTA, 0x244),
        (read_only & PROJECT, 0x26c),
        (compatible & ORPHAN_FILE, 0x280),
    ];
    let there = all.into_iter().filter(|(feature, _)| *feature != 0);
    let numbers = there.map(|(_, at)| u64::from(fields.u32(at)));
    numbers.filter(|number| *number != 0).collect()
}

/// Refuses a file system that a mount changes: the disk holds now what no host will see.
fn refuse_stale(fields: &Fields<'_>) -> io::Result<()> {
    let (state, has_journal) = (fields.u16(0x3a), fields.u32(0x5c) & HAS_JOURNAL != 0);
    let why = if fields.u32(0x60) & RECOVER != 0 {
        "its journal has changes that were not applied"
    } else if state & 2 != 0 {
        "it is marked as having errors"
    } else if state & 1 == 0 && !has_journal {
        "it was not unmounted, and has no journal"
    } else if fields.u32(0xe8) != 0 || fields.u32(0x64) & ORPHANS != 0 {
        "it has files that a mount would delete or cut"
    } else {
        return Ok(());
    };
    let problem = format!("it is not what a host will see: {why}");
    Err(io::Error::new(io::ErrorKind::ResourceBusy, problem))
}

fn refuse_unknown(compatible: u32, incompatible: u32, read_only: u32) -> io::Result<()> {
    for (kind, found, known) in [
        (Kind::Compatible, compatible, COMPATIBLE),
        (Kind::Incompatible, incompatible, INCOMPATIBLE),
        (Kind::ReadOnly, read_only, READ_ONLY),
    ] {
        let unknown = found & !known;
        if unknown != 0 {
            let named = NAMES
                .iter()
                .find(|(of, bit, _)| *of == kind && unknown & bit != 0);
            let name =
                named.map_or_else(|| format!("{unknown:#x}"), |(.., name)| (*name).to_owned());
            return Err(bad(format!(
                "it has the feature '{name}', which is not read here"
            )));
        }
    }
    Ok(())
}

/// Mount options of the image's own choice, which a host's kernel follows.
fn refuse_options(fields: &Fields<'_>) -> io::Result<()> {
    let unknown = fields.u32(0x100) & !DEFAULTS;
    if unknown != 0 {
        return Err(bad(format!(
            "its default mount options {unknown:#x} change what files are"
        )));
    }
    let text = fields.bytes(0x200, 64);
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let mut words = text
        .split(|byte| *byte == b',')
        .filter(|word| !word.is_empty());
    if let Some(word) = words.find(|word| !OPTIONS.iter().any(|known| known.as_bytes() == *word)) {
        return Err(bad(format!(
            "its superblock has the mount option '{}', which is not on the list",
            word.escape_ascii()
        )));
    }
    // A journal on another device is replayed from there.
    if fields.u32(0xe4) != 0 {
        return Err(bad("its journal is on another device"));
    }
    Ok(())
}
