//! Contents that are named and cannot be verified, and their labels, by which a machine may find them.

/// A root is never in it.
pub const SWAP: &str = "swap space";

/// Content that is not read here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// Its name, for people.
    pub name: &'static str,
    /// Its label.
    pub label: Label,
}

/// Label of a content that is not read here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Label {
    /// The kind has none.
    None,
    /// The kind has one, which lies where this program does not look.
    NotRead,
    /// It has this one, or an empty one.
    Is(String),
}

/// Place of a label: offset and length in bytes.
#[derive(Clone, Copy)]
enum At {
    Nowhere,
    NotRead,
    Bytes(usize, usize),
    Utf16(usize, usize),
}

/// Offset of the magic in bytes, the magic, the name, and the label. By the documentation of each format, and as
/// `blkid` reads them.
const OTHERS: [(usize, &[u8], &str, At); 29] = [
    (0, b"LUKS\xba\xbe\0\x02", LUKS, At::Bytes(24, 48)),
    (0, b"LUKS\xba\xbe", LUKS, At::Nowhere),
    (536, b"LVM2 001", "a volume of LVM", At::Nowhere),
    (
        4096,
        &[0xfc, 0x4e, 0x2b, 0xa9],
        "a part of a RAID",
        At::Bytes(4128, 32),
    ),
    (
        0,
        &[0xfc, 0x4e, 0x2b, 0xa9],
        "a part of a RAID",
        At::Bytes(32, 32),
    ),
    (
        65600,
        b"_BHRfS_M",
        "a btrfs",
        At::Bytes(0x1_0000 + 0x12b, 256),
    ),
    (
        1024,
        &[0x10, 0x20, 0xf5, 0xf2],
        "an f2fs",
        At::Utf16(1024 + 0x7c, 1024),
    ),
    (0, b"hsqs", "a squashfs", At::Nowhere),
    (
        1024,
        &[0xe2, 0xe1, 0xf5, 0xe0],
        "an EROFS",
        At::Bytes(1024 + 0x40, 16),
    ),
    // A page before the first one's end, in machines with pages of each size.
    (4086, b"SWAPSPACE2", SWAP, SWAP_LABEL),
    (8182, b"SWAPSPACE2", SWAP, SWAP_LABEL),
    (16374, b"SWAPSPACE2", SWAP, SWAP_LABEL),
    (32758, b"SWAPSPACE2", SWAP, SWAP_LABEL),
    (65526, b"SWAPSPACE2", SWAP, SWAP_LABEL),
    (32768, b"JFS1", "a JFS", At::Bytes(32768 + 152, 16)),
    (65588, b"ReIsEr", "a ReiserFS", At::Bytes(65536 + 100, 16)),
    (1030, &[0x34, 0x34], "a NILFS2", At::Bytes(1024 + 0xa8, 80)),
    (
        4096 + 24,
        &[0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca],
        "a bcachefs",
        At::Bytes(4096 + 72, 32),
    ),
    (
        4096 + 24,
        &[0xc6, 0x85, 0x73, 0xf6, 0x66, 0xce, 0x90, 0xa9],
        "a bcachefs",
        At::Bytes(4096 + 72, 32),
    ),
    (3, b"EXFAT   ", "an exFAT", At::NotRead),
    (3, b"NTFS    ", "an NTFS", At::NotRead),
    (1024, b"H+\0\x04", "an HFS+", At::NotRead),
    (1024, b"HX\0\x05", "an HFS+", At::NotRead),
    (32, b"NXSB", "an APFS", At::NotRead),
    (32769, b"CD001", "an ISO 9660", At::NotRead),
    (32769, b"BEA01", "a UDF", At::NotRead),
    (65536, &[1, 0x16, 0x19, 0x70], "a GFS2", At::NotRead),
    (4096, b"OCFSV2", "an OCFS2", At::NotRead),
    (8192, b"OCFSV2", "an OCFS2", At::NotRead),
];

const LUKS: &str = "an encrypted LUKS volume";
const SWAP_LABEL: At = At::Bytes(1024 + 28, 16);

/// Recognises a content by the first bytes of its partition.
pub(super) fn recognise(bytes: &[u8]) -> Option<Other> {
    let is = |at: usize, magic: &[u8]| bytes.get(at..).is_some_and(|rest| rest.starts_with(magic));
    let (_, _, name, label) = OTHERS.iter().find(|(at, magic, ..)| is(*at, magic))?;
    let field = |at: usize, length: usize| bytes.get(at..at + length).unwrap_or_default();
    let label = match *label {
        At::Nowhere => Label::None,
        At::NotRead => Label::NotRead,
        At::Bytes(at, length) => Label::Is(super::text(field(at, length))),
        At::Utf16(at, length) => {
            let units = field(at, length).chunks_exact(2);
            let units = units.map(|unit| u16::from_le_bytes(unit.try_into().unwrap_or_default()));
            let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
            Label::Is(String::from_utf16_lossy(&units))
        }
    };
    Some(Other { name, label })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_other_contents_are_read_where_blkid_reads_them() {
        let utf16: Vec<u8> = "root".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for (at, magic, label_at, label, name) in [
            (65600, &b"_BHRfS_M"[..], 65835, &b"root"[..], "a btrfs"),
            (1024, &[0x10, 0x20, 0xf5, 0xf2], 1148, &utf16, "an f2fs"),
            (4086, b"SWAPSPACE2", 1052, b"root", SWAP),
            (65526, b"SWAPSPACE2", 1052, b"root", SWAP),
            (0, b"LUKS\xba\xbe\0\x02", 24, b"root", LUKS),
        ] {
            let mut bytes = vec![0; 68 * 1024];
            assert_eq!(recognise(&bytes), None);
            bytes[at..at + magic.len()].copy_from_slice(magic);
            bytes[label_at..label_at + label.len()].copy_from_slice(label);
            let label = Label::Is("root".to_owned());
            assert_eq!(recognise(&bytes), Some(Other { name, label }));
        }
    }
}
