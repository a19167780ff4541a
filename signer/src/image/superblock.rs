//! What a partition holds, from its first bytes, before the kernel is asked to read any of it.

use std::io;

use super::{disk::Disk, partitions::Partition};

/// As far as any of these is recognised by.
const LOOKED_AT: usize = 68 * 1024;
/// What ext2, ext3 and ext4 keep at 1,024.
const EXT: usize = 1024;
/// `EXT4_FEATURE_INCOMPAT_RECOVER`: the journal has what the file system has not.
const RECOVER: u32 = 4;
const HAS_JOURNAL: u32 = 4;

/// What is told by its name, where it lies and its magic.
const OTHERS: [(usize, &[u8], &str); 7] = [
    (0, b"LUKS\xba\xbe", "an encrypted LUKS volume"),
    (536, b"LVM2 001", "a volume of LVM"),
    (4096, &[0xfc, 0x4e, 0x2b, 0xa9], "a part of a RAID"),
    (65600, b"_BHRfS_M", "a btrfs"),
    (0, b"hsqs", "a squashfs"),
    (1024, &[0xe2, 0xe1, 0xf5, 0xe0], "an EROFS"),
    (4086, b"SWAPSPACE2", "swap space"),
];

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

/// What is in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A file system that can be verified.
    FileSystem(FileSystem),
    /// Something that cannot, by its name.
    Other(&'static str),
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
    /// Why it is not what a host would see once it has mounted it.
    pub stale: Option<&'static str>,
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
        let flags = little(EXT + 0x3a);
        let stale = if little(EXT + 0x60) & RECOVER != 0 {
            Some("its journal has changes that it has not")
        } else if flags & 2 != 0 {
            Some("it is marked as having errors")
        } else if flags & 1 == 0 && little(EXT + 0x5c) & HAS_JOURNAL == 0 {
            Some("it was not unmounted, and has no journal")
        } else {
            None
        };
        return Content::FileSystem(FileSystem {
            kind: Kind::Ext4,
            uuid: uuid(&bytes[EXT + 0x68..]),
            label: text(&bytes[EXT + 0x78..][..16]),
            stale,
        });
    }
    if is(0, b"XFSB") {
        // Its superblock does not say whether its log is clean. The kernel does: it does not mount one
        // with a log that is not, where it cannot write.
        return Content::FileSystem(FileSystem {
            kind: Kind::Xfs,
            uuid: uuid(&bytes[32..]),
            label: text(&bytes[108..][..12]),
            stale: None,
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
                    stale: None,
                });
            }
        }
    }
    let mut others = OTHERS.iter();
    match others.find(|(at, magic, _)| is(*at, magic)) {
        Some((_, _, name)) => Content::Other(name),
        None => Content::Unknown,
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

    fn stale(parts: &[Part]) -> Option<&'static str> {
        let magic: Part = (1024 + 0x38, &[0x53, 0xef]);
        match with(&[&[magic], parts].concat()) {
            Content::FileSystem(found) => found.stale,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_journal_that_is_ahead_is_seen() {
        let clean: Part = (1024 + 0x3a, &[1]);
        let journal: Part = (1024 + 0x5c, &[4]);
        assert_eq!(stale(&[clean, journal]), None);
        assert_eq!(stale(&[clean]), None);
        assert!(stale(&[clean, journal, (1024 + 0x60, &[4])]).is_some());
        assert!(stale(&[journal, (1024 + 0x3a, &[3])]).is_some());
        assert!(stale(&[(1024 + 0x3a, &[0])]).is_some());
    }

    #[test]
    fn each_is_known_by_its_magic() {
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
            stale: None,
        };
        assert_eq!(fat, Content::FileSystem(expected));
        let xfs = with(&[(0, b"XFSB"), (32, &[0xab; 16]), (108, b"root")]);
        let Content::FileSystem(xfs) = xfs else {
            panic!("{xfs:?}")
        };
        assert_eq!(xfs.uuid, "abababab-abab-abab-abab-abababababab");
        assert_eq!(xfs.label, "root");
        assert_eq!(
            with(&[(536, b"LVM2 001")]),
            Content::Other("a volume of LVM")
        );
        assert_eq!(with(&[]), Content::Unknown);
    }
}
