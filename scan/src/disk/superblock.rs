//! Content of a partition, by its first bytes.

mod others;

pub use self::others::{Label, Other, SWAP};
use super::bytes::Fields;

/// As far as any of these is recognised by, in bytes.
pub const LOOKED_AT: usize = 68 * 1024;
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

/// Recognises a content by its first [`LOOKED_AT`] bytes. What lies beyond the end counts as zeros.
pub fn recognise(bytes: &[u8]) -> Content {
    let is = |at: usize, magic: &[u8]| bytes.get(at..).is_some_and(|rest| rest.starts_with(magic));
    let fields = Fields(bytes);
    let field = |at: usize, length: usize| fields.bytes(at, length);
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
            uuid: uuid(field(EXT + 0x68, 16)),
            label: text(field(EXT + 0x78, 16)),
            size,
        });
    }
    if is(0, b"XFSB") {
        // Its superblock does not say whether its log is clean. The kernel does: it does not mount one
        // with a log that is not, where it cannot write.
        return Content::FileSystem(FileSystem {
            kind: Kind::Xfs,
            uuid: uuid(field(32, 16)),
            label: text(field(108, 12)),
            size: Fields(bytes)
                .u64(8)
                .swap_bytes()
                .saturating_mul(Fields(bytes).u32(4).swap_bytes().into()),
        });
    }
    if is(510, &[0x55, 0xaa]) {
        for (kind, serial) in [(&b"FAT32   "[..], 67), (b"FAT16   ", 39), (b"FAT12   ", 39)] {
            if is(serial + 15, kind) {
                let number = fields.u32(serial);
                return Content::FileSystem(FileSystem {
                    kind: Kind::Vfat,
                    uuid: format!("{:04x}-{:04x}", number >> 16, number & 0xffff),
                    label: text(field(serial + 4, 11)).trim_end().to_owned(),
                    size: fat_size(Fields(bytes)),
                });
            }
        }
    }
    others::recognise(bytes).map_or(Content::Unknown, Content::Other)
}

/// Returns the size of a FAT file system, in bytes, by its boot sector.
pub fn fat_size(fields: Fields<'_>) -> u64 {
    let sectors = match fields.u16(19) {
        0 => fields.u32(32),
        few => few.into(),
    };
    u64::from(sectors).saturating_mul(fields.u16(11).into())
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
    String::from_utf8_lossy(bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default())
        .into_owned()
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
}
