use std::{fs::File, os::unix::fs::FileExt};

use super::{
    super::{partitions::Purpose, superblock},
    *,
};

const ROOT_UUID: [u8; 16] = *b"\x01\x23\x45\x67\x89\xab\xcd\xef\x10\x32\x54\x76\x98\xba\xdc\xfe";
const SIZE: u64 = 4 << 20;

/// Writes the parts into a second partition, beside an ext4 with [`ROOT_UUID`] and the label `root`, and tells what
/// is said of it.
fn beside(parts: &[(usize, &[u8])]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    let file = File::create(&path).unwrap();
    file.set_len(2 * SIZE).unwrap();
    let put = |at: u64, bytes: &[u8]| file.write_all_at(bytes, at).unwrap();
    put(1024 + 0x38, &[0x53, 0xef]);
    put(1024 + 0x68, &ROOT_UUID);
    put(1024 + 0x78, b"root");
    for (at, bytes) in parts {
        put(SIZE + u64::try_from(*at).unwrap(), bytes);
    }
    let disk = Disk::open(&path).unwrap();
    let volumes: Vec<_> = [0, 1].map(|number| volume(&disk, number)).into();
    match refuse(&disk, &volumes, &volumes[0]) {
        Ok(()) => String::new(),
        Err(failure) => format!("{failure:?}"),
    }
}

fn volume(disk: &Disk, number: u32) -> Volume {
    let partition = Partition {
        number: number + 1,
        start: u64::from(number) * SIZE,
        size: SIZE,
        purpose: Purpose::Other,
        uuid: format!("part-{number}"),
        name: String::new(),
    };
    let content = superblock::probe(disk, &partition).unwrap();
    Volume { partition, content }
}

fn mixed() -> Vec<u8> {
    let mut mixed = ROOT_UUID.to_vec();
    mixed[0..4].reverse();
    mixed[4..6].reverse();
    mixed[6..8].reverse();
    mixed
}

#[test]
fn uuid_of_the_root_is_refused_in_any_kind_of_file_system() {
    let text = b"01234567-89ab-cdef-1032-547698badcfe";
    let other = [7; 16];
    let mixed = mixed();
    for (name, magic, at) in [
        ("btrfs", Some((65600, &b"_BHRfS_M"[..])), 0x1_0020),
        ("f2fs", Some((1024, &[0x10, 0x20, 0xf5, 0xf2])), 1024 + 0x6c),
        ("swap", Some((4086, b"SWAPSPACE2")), 1024 + 12),
        ("RAID", Some((4096, &[0xfc, 0x4e, 0x2b, 0xa9])), 4096 + 16),
        (
            "EROFS",
            Some((1024, &[0xe2, 0xe1, 0xf5, 0xe0])),
            1024 + 0x30,
        ),
        ("ext4", Some((1024 + 0x38, &[0x53, 0xef])), 1024 + 0x68),
        ("XFS", Some((0, b"XFSB")), 32),
        ("a kind that is not known", None, 0x8000),
        ("a copy at the end", None, 4 * 1024 * 1024 - 4096),
    ] {
        let put = |id: &[u8]| match magic {
            Some(magic) => beside(&[magic, (at, id)]),
            None => beside(&[(at, id)]),
        };
        assert!(put(&ROOT_UUID).contains("same UUID"), "{name}");
        assert_eq!(put(&other), "", "{name}");
    }
    assert!(beside(&[(0x40, &mixed)]).contains("same UUID"));
    let luks = |text: &[u8]| beside(&[(0, b"LUKS\xba\xbe\0\x01"), (168, text)]);
    assert!(luks(text).contains("same UUID"));
    assert!(luks(&text.to_ascii_uppercase()).contains("same UUID"));
    assert_eq!(luks(&text.map(|byte| byte.wrapping_add(1))), "");
}

#[test]
fn label_of_the_root_is_refused_in_each_kind_that_has_one() {
    let utf16: Vec<u8> = "root".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let fat = [
        (510, &[0x55, 0xaa][..]),
        (54, b"FAT16   "),
        (11, &[0, 2, 4, 1, 0, 2, 0, 2]),
        (22, &[1, 0]),
    ];
    let fat = |at: usize, entry: &[u8]| beside(&[&fat[..], &[(at, entry)]].concat());
    for (said, is_refused) in [
        (beside(&[(65600, b"_BHRfS_M"), (0x1_012b, b"root")]), true),
        (beside(&[(65600, b"_BHRfS_M"), (0x1_012b, b"roof")]), false),
        (
            beside(&[(1024, &[0x10, 0x20, 0xf5, 0xf2]), (1148, &utf16)]),
            true,
        ),
        (beside(&[(1024, &[0x10, 0x20, 0xf5, 0xf2])]), false),
        (beside(&[(4086, b"SWAPSPACE2"), (1052, b"root")]), true),
        (beside(&[(4086, b"SWAPSPACE2"), (1052, b"swap")]), false),
        // The boot sector's, and that of the root directory in the fourth sector.
        (fat(43, b"root       "), true),
        (fat(3 * 512, b"root       \x08"), true),
        (fat(3 * 512, b"root       \x20"), false),
        (fat(3 * 512, b"ROOF       \x08"), false),
        // A word among bytes of no known kind is no label.
        (beside(&[(5000, b"root")]), false),
    ] {
        assert_eq!(said.contains("same label"), is_refused, "{said}");
        assert!(is_refused || said.is_empty(), "{said}");
    }
    // The label of an NTFS lies too deep.
    assert!(beside(&[(3, b"NTFS    ")]).contains("label that is not read here"));
}
