//! Inodes.

use std::io;

use earmark_scan::source::Metadata;
use rustix::fs::FileType;

use earmark_scan::disk::bytes::{Fields, bad, crc32c};

use super::Ext4;

const ENCRYPTED: u32 = 0x800;
const INDEX: u32 = 0x1000;
const HUGE: u32 = 0x4_0000;
const EXTENTS: u32 = 0x8_0000;
const EA_INODE: u32 = 0x20_0000;
const INLINE: u32 = 0x1000_0000;
const CASEFOLD: u32 = 0x4000_0000;
/// Bytes in an inode of the first revision, and in its `i_block`.
const SHORT: usize = 128;
const BLOCK: usize = 60;

/// An inode that is in use.
#[derive(Debug)]
pub(super) struct Inode {
    pub(super) number: u64,
    pub(super) size: u64,
    raw: Vec<u8>,
}

impl Inode {
    /// Reads an inode, and checks its checksum.
    pub(super) fn read(fs: &Ext4, number: u64) -> io::Result<Self> {
        let (group, within) = fs.superblock.place(number)?;
        let table = fs.tables.get(group).copied();
        let table = table.ok_or_else(|| bad(format!("inode {number} does not exist")))?;
        let mut raw = vec![0; fs.superblock.inode_size];
        let size = u64::try_from(raw.len()).unwrap_or(u64::MAX);
        let at = table.saturating_mul(fs.superblock.block_size);
        fs.bytes
            .read(at.saturating_add(within.saturating_mul(size)), &mut raw)?;
        Self::of(fs, number, raw)
    }

    /// The inode that lies in the bytes of one.
    pub(super) fn of(fs: &Ext4, number: u64, raw: Vec<u8>) -> io::Result<Self> {
        let mut inode = Self {
            number,
            size: 0,
            raw,
        };
        if inode.fields().u16(0x1a) == 0 || inode.fields().u16(0) == 0 {
            return Err(bad(format!("inode {number} is not in use")));
        }
        if fs.superblock.has_checksums {
            inode.check(fs)?;
        }
        inode.size = inode.read_size(fs)?;
        Ok(inode)
    }

    pub(super) fn fields(&self) -> Fields<'_> {
        Fields(&self.raw)
    }

    pub(super) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.fields().u16(0).into())
    }

    pub(super) fn generation(&self) -> u32 {
        self.fields().u32(0x64)
    }

    pub(super) fn has_extents(&self) -> bool {
        self.flags() & EXTENTS != 0
    }

    pub(super) fn has_index(&self) -> bool {
        self.flags() & INDEX != 0
    }

    /// `i_block`: the root of the extents, the blocks, or a short link's target.
    pub(super) fn block(&self) -> &[u8] {
        self.fields().bytes(0x28, BLOCK)
    }

    /// The block of extended attributes; 0 is none.
    pub(super) fn xattr_block(&self) -> u64 {
        u64::from(self.fields().u16(0x76)) << 32 | u64::from(self.fields().u32(0x68))
    }

    /// Extended attributes in the inode itself, with the magic number in front.
    pub(super) fn xattr_body(&self) -> io::Result<&[u8]> {
        match self.extra()? {
            // Of an inode that was made when inodes were shorter.
            0 => Ok(&[]),
            extra => Ok(self
                .raw
                .get(SHORT.saturating_add(extra)..)
                .unwrap_or_default()),
        }
    }

    pub(super) fn metadata(&self) -> Metadata {
        let fields = self.fields();
        let wide = |low: usize, high: usize| {
            u32::from(fields.u16(high)) << 16 | u32::from(fields.u16(low))
        };
        Metadata {
            mode: fields.u16(0),
            uid: wide(0x2, 0x78),
            gid: wide(0x18, 0x7a),
            links: fields.u16(0x1a).into(),
            size: self.size,
            rdev: self.device(),
        }
    }

    /// Content that this reader would not read as the kernel does.
    pub(super) fn refuse_unknown(&self, fs: &Ext4) -> io::Result<()> {
        let number = self.number;
        for (flag, what) in [
            (ENCRYPTED, "is encrypted"),
            (EA_INODE, "is an attribute's value"),
            (INLINE, "has its content in the inode"),
            (CASEFOLD, "ignores the case of names"),
        ] {
            if self.flags() & flag != 0 {
                return Err(bad(format!(
                    "inode {number} {what}, which is not read here"
                )));
            }
        }
        let is_index = self.has_index() && self.kind() != FileType::Directory;
        if self.kind() == FileType::Unknown || is_index {
            return Err(bad(format!("inode {number} is of an unknown type")));
        }
        // Without the feature, the kernel reads such a directory as if it had none.
        if self.has_index() && !fs.superblock.has_index {
            return Err(bad(format!(
                "inode {number} has an index, and the file system has none"
            )));
        }
        Ok(())
    }

    /// The target of a symbolic link.
    pub(super) fn target(&self, fs: &Ext4) -> io::Result<Vec<u8>> {
        let wrong = |problem: &str| bad(format!("inode {}: {problem}", self.number));
        if self.kind() != FileType::Symlink {
            return Err(wrong("it is not a symbolic link"));
        }
        let is_short = self.is_short_link(fs)?;
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        let mut target = vec![0; size];
        if is_short {
            target.copy_from_slice(self.block().get(..size).unwrap_or_default());
        } else if fs.read_content(self, 0, &mut target)? != size {
            return Err(wrong("its target is truncated"));
        }
        if target.contains(&0) {
            return Err(wrong("its target has a NUL in it"));
        }
        Ok(target)
    }

    /// Returns whether the target of a symbolic link lies in the inode.
    pub(super) fn is_short_link(&self, fs: &Ext4) -> io::Result<bool> {
        let wrong = |problem: &str| bad(format!("inode {}: {problem}", self.number));
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        let most = usize::try_from(fs.superblock.block_size)
            .unwrap_or(0)
            .min(4096);
        if size == 0 || size >= most {
            return Err(wrong("its target has an invalid length"));
        }
        // Kernels differ in what decides: the size, or whether there are blocks besides that of the attributes.
        let own = if self.xattr_block() == 0 {
            0
        } else {
            fs.superblock.block_size / 512
        };
        let has_blocks = u64::from(self.fields().u32(0x1c)) != own
            || self.fields().u16(0x74) != 0
            || self.flags() & HUGE != 0;
        let is_short = size < BLOCK;
        if is_short == (has_blocks || self.has_extents()) {
            return Err(wrong("its target and its size contradict each other"));
        }
        Ok(is_short)
    }

    fn flags(&self) -> u32 {
        self.fields().u32(0x20)
    }

    fn read_size(&self, fs: &Ext4) -> io::Result<u64> {
        let (low, high) = (self.fields().u32(0x4), self.fields().u32(0x6c));
        let kind = self.kind();
        let is_long = kind == FileType::RegularFile
            || kind == FileType::Directory && fs.superblock.has_large_directories;
        let size = if is_long {
            u64::from(high) << 32 | u64::from(low)
        } else {
            low.into()
        };
        if i64::try_from(size).is_err() {
            return Err(bad(format!("inode {}: its size is negative", self.number)));
        }
        Ok(size)
    }

    /// Bytes of fields behind the first 128.
    fn extra(&self) -> io::Result<usize> {
        if self.raw.len() <= SHORT {
            return Ok(0);
        }
        let extra = usize::from(self.fields().u16(0x80));
        if extra % 4 != 0 || SHORT.saturating_add(extra) > self.raw.len() {
            return Err(bad(format!(
                "inode {}: its extra size is invalid",
                self.number
            )));
        }
        Ok(extra)
    }

    fn check(&self, fs: &Ext4) -> io::Result<()> {
        let (low, high) = (0x7c..0x7e, 0x82..0x84);
        let has_high = self.extra()? >= 4;
        let mut raw = self.raw.clone();
        for range in [Some(low), has_high.then_some(high)].into_iter().flatten() {
            if let Some(bytes) = raw.get_mut(range) {
                bytes.fill(0);
            }
        }
        let crc = crc32c(fs.inode_seed(self.number, self.generation()), &raw);
        let found = u32::from(self.fields().u16(0x7c)) | u32::from(self.fields().u16(0x82)) << 16;
        let mask = if has_high { u32::MAX } else { 0xffff };
        if (crc ^ found) & mask == 0 {
            Ok(())
        } else {
            Err(bad(format!(
                "the checksum of inode {} does not match",
                self.number
            )))
        }
    }

    /// Numbers of a device node: 8 bits each as of old, or 12 and 20.
    fn device(&self) -> (u32, u32) {
        if !matches!(
            self.kind(),
            FileType::CharacterDevice | FileType::BlockDevice
        ) {
            return (0, 0);
        }
        match (self.fields().u32(0x28), self.fields().u32(0x2c)) {
            (0, new) => ((new >> 8) & 0xfff, new & 0xff | new >> 12 & 0xf_ff00),
            (old, _) => (old >> 8 & 0xff, old & 0xff),
        }
    }
}
