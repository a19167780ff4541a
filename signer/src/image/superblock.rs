//! Content of a partition, by its first bytes, before the kernel is asked to read any of it.

mod others;

use std::io;

pub use self::others::{Label, Other, SWAP};
use super::{
    bytes::{Bytes, Fields, bad, crc32c},
    disk::Disk,
    partitions::Partition,
};

/// As far as any of these is recognised by.
const LOOKED_AT: usize = 68 * 1024;
/// Offset of the superblock of ext2, ext3 and ext4, in bytes.
const EXT: usize = 1024;

/// A kind that can be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// ext2, ext3, ext4: the kernel's ext4 reads all three.
    Ext4,
    /// XFS.
    Xfs,
    /// FAT, of the EFI system partition.
    Vfat,
}

/// Content of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A file system that can be verified.
    FileSystem(FileSystem),
    /// Something that cannot.
    Other(Other),
    /// Nothing that is known here.
    Unknown,
}

/// A file system, and what it is called in an fstab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystem {
    /// Its kind.
    pub kind: Kind,
    /// Its id, in lower case.
    pub uuid: String,
    /// Its label.
    pub label: String,
    /// Bytes that it says it has. What follows in its partition belongs to nobody.
    pub size: u64,
}

impl Kind {
    /// The kernel's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Vfat => "vfat",
        }
    }
}

/// Looks at a partition.
pub fn probe(disk: &Disk, partition: &Partition) -> io::Result<Content> {
    let there = partition
        .size
        .min(disk.size().saturating_sub(partition.start));
    let there = usize::try_from(there).unwrap_or(usize::MAX).min(LOOKED_AT);
    let mut bytes = vec![0; LOOKED_AT];
    disk.read(partition.start, &mut bytes[..there])?;
    Ok(recognise(&bytes))
}

/// `bytes` are [`LOOKED_AT`] long.
fn recognise(bytes: &[u8]) -> Content {
    let is = |at: usize, magic: &[u8]| bytes[at..].starts_with(magic);
    let little = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
    if is(EXT + 0x38, &[0x53, 0xef]) {
        let fields = Fields(bytes.get(EXT..).unwrap_or_default());
        let high = if fields.u32(0x60) & 0x80 == 0 {
            0
        } else {
            fields.u32(0x150)
        };
        let blocks = u64::from(high) << 32 | u64::from(fields.u32(4));
        let size = blocks.saturating_mul(1024_u64.checked_shl(fields.u32(0x18)).unwrap_or(0));
        return Content::FileSystem(FileSystem {
            kind: Kind::Ext4,
            uuid: uuid(&bytes[EXT + 0x68..]),
            label: text(&bytes[EXT + 0x78..][..16]),
            size,
        });
    }
    if is(0, b"XFSB") {
        // Its superblock does not say whether its log is clean. The kernel does: it does not mount one
        // with a log that is not, where it cannot write.
        return Content::FileSystem(FileSystem {
            kind: Kind::Xfs,
            uuid: uuid(&bytes[32..]),
            label: text(&bytes[108..][..12]),
            size: Fields(bytes)
                .u64(8)
                .swap_bytes()
                .saturating_mul(Fields(bytes).u32(4).swap_bytes().into()),
        });
    }
    if is(510, &[0x55, 0xaa]) {
        for (kind, serial) in [(&b"FAT32   "[..], 67), (b"FAT16   ", 39), (b"FAT12   ", 39)] {
            if is(serial + 15, kind) {
                let number = little(serial);
                return Content::FileSystem(FileSystem {
                    kind: Kind::Vfat,
                    uuid: format!("{:04x}-{:04x}", number >> 16, number & 0xffff),
                    label: text(&bytes[serial + 4..][..11]).trim_end().to_owned(),
                    size: fat_size(Fields(bytes)),
                });
            }
        }
    }
    others::recognise(bytes).map_or(Content::Unknown, Content::Other)
}

fn fat_size(fields: Fields<'_>) -> u64 {
    let sectors = match fields.u16(19) {
        0 => fields.u32(32),
        few => few.into(),
    };
    u64::from(sectors).saturating_mul(fields.u16(11).into())
}

/// Looks at what the kernel is to read before it does: a superblock that no `mkfs` writes is not handed to it.
///
/// Protects against absurd sizes, features that this version does not know, and parts of the file system on other
/// devices. Does not protect against what lies deeper: the kernel's own reader does, or not.
pub fn screen(disk: &Disk, partition: &Partition, found: &FileSystem) -> io::Result<()> {
    let mut raw = vec![0; 4096];
    disk.read(partition.start, &mut raw)?;
    let size = partition.size;
    if found.size > size {
        let found = found.size;
        return Err(bad(format!(
            "its superblock says {found} bytes, and it has {size}: it is truncated"
        )));
    }
    match found.kind {
        // Its own reader does this, and more.
        Kind::Ext4 => Ok(()),
        Kind::Xfs => xfs(&raw),
        Kind::Vfat => fat(Fields(&raw)),
    }
}

fn xfs(raw: &[u8]) -> io::Result<()> {
    /// `ftype sparse_inodes meta_uuid bigtime nrext64 exchange parent`, and `finobt rmapbt reflink inobtcount`.
    const INCOMPATIBLE: u32 = 0x1 | 0x2 | 0x4 | 0x8 | 0x20 | 0x40 | 0x80;
    const READ_ONLY: u32 = 0x1 | 0x2 | 0x4 | 0x8;
    let fields = Fields(raw);
    let (long, number) = (
        |at| fields.u64(at).swap_bytes(),
        |at| fields.u32(at).swap_bytes(),
    );
    let (block, sector) = (number(4), usize::from(fields.u16(102).swap_bytes()));
    let groups = u64::from(number(84)).saturating_mul(number(88).into());
    let is_sane = (512..=65536).contains(&block)
        && block.is_power_of_two()
        && (512..=4096).contains(&sector)
        && sector.is_power_of_two()
        && number(84) >= 64
        && (1..=1 << 20).contains(&number(88))
        && (long(8)..=long(8).saturating_add(number(84).into())).contains(&groups)
        && fields.u8(126) == 0;
    let mut covered = raw.get(..sector).unwrap_or_default().to_vec();
    covered.get_mut(224..228).unwrap_or_default().fill(0);
    let problem = if !is_sane {
        "its superblock is invalid"
    } else if fields.u16(100).swap_bytes() & 0xf != 5 {
        "it is of an old version without checksums, which is not read here"
    } else if !crc32c(u32::MAX, &covered) != fields.u32(224) {
        "the checksum of its superblock does not match"
    } else if number(216) & !INCOMPATIBLE != 0 || number(212) & !READ_ONLY != 0 {
        "it has features that are not on the list"
    } else if long(48) == 0 || long(16) != 0 {
        "a part of it is on another device"
    } else {
        return Ok(());
    };
    Err(bad(problem))
}

fn fat(fields: Fields<'_>) -> io::Result<()> {
    let (sector, cluster, copies) = (fields.u16(11), fields.u8(13), fields.u8(16));
    let is_sane = matches!(sector, 512 | 1024 | 2048 | 4096)
        && cluster.is_power_of_two()
        && (1..=2).contains(&copies)
        && fields.u16(14) > 0
        && fat_size(fields) > 0;
    if is_sane {
        Ok(())
    } else {
        Err(bad("its boot sector is invalid"))
    }
}

fn uuid(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().take(16).enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Part<'a> = (usize, &'a [u8]);

    fn with(parts: &[Part]) -> Content {
        let mut bytes = vec![0; LOOKED_AT];
        for (at, part) in parts {
            bytes[*at..*at + part.len()].copy_from_slice(part);
        }
        recognise(&bytes)
    }

    #[test]
    fn file_systems_are_recognized_by_magic() {
        let fat = with(&[
            (510, &[0x55, 0xaa]),
            (82, b"FAT32   "),
            (67, &[0x78, 0x56, 0x34, 0x12]),
            (71, b"EFI        "),
        ]);
        let expected = FileSystem {
            kind: Kind::Vfat,
            uuid: "1234-5678".to_owned(),
            label: "EFI".to_owned(),
            size: 0,
        };
        assert_eq!(fat, Content::FileSystem(expected));
        let xfs = with(&[(0, b"XFSB"), (32, &[0xab; 16]), (108, b"root")]);
        let Content::FileSystem(xfs) = xfs else {
            panic!("{xfs:?}")
        };
        assert_eq!(xfs.uuid, "abababab-abab-abab-abab-abababababab");
        assert_eq!(xfs.label, "root");
        let Content::Other(lvm) = with(&[(536, b"LVM2 001")]) else {
            panic!("not recognised")
        };
        assert_eq!((lvm.name, lvm.label), ("a volume of LVM", Label::None));
        assert_eq!(with(&[]), Content::Unknown);
        let ext4 = with(&[
            (1024 + 0x38, &[0x53, 0xef]),
            (1024 + 4, &[8]),
            (1024 + 0x18, &[2]),
        ]);
        assert!(matches!(ext4, Content::FileSystem(found) if found.size == 8 * 4096));
    }

    #[test]
    fn xfs_superblock_with_invalid_field_or_checksum_is_refused() {
        let mut good = vec![0; 4096];
        for (at, bytes) in [
            (0, &b"XFSB"[..]),
            (4, &4096_u32.to_be_bytes()),
            (8, &8000_u64.to_be_bytes()),
            (48, &100_u64.to_be_bytes()),
            (84, &2000_u32.to_be_bytes()),
            (88, &4_u32.to_be_bytes()),
            (100, &[0xb4, 0xb5, 2, 0]),
            (216, &[0, 0, 0, 3]),
        ] {
            good[at..at + bytes.len()].copy_from_slice(bytes);
        }
        let checked = |change: &dyn Fn(&mut [u8])| {
            let mut raw = good.clone();
            change(&mut raw);
            let crc = !crc32c(u32::MAX, &raw[..512]);
            raw[224..228].copy_from_slice(&crc.to_le_bytes());
            xfs(&raw).map_err(|error| error.to_string())
        };
        checked(&|_| ()).unwrap();
        for (at, value, why) in [
            (91, 200, "is invalid"),
            (6, 1, "is invalid"),
            (126, 1, "is invalid"),
            (101, 4, "old version"),
            (219, 0x13, "features"),
            (55, 0, "another device"),
            (23, 1, "another device"),
        ] {
            let said = checked(&|raw| raw[at] = value).unwrap_err();
            assert!(said.contains(why), "{at}: {said}");
        }
        assert!(xfs(&good).unwrap_err().to_string().contains("checksum"));
    }
}
