#![allow(
    clippy::cast_possible_truncation,
    clippy::unused_self,
    reason = "small numbers of made-up disks"
)]

#[path = "tests/owners.rs"]
mod owners;

use super::*;

/// A disk in memory that counts nothing and changes nothing.
#[derive(Debug)]
struct Memory(Vec<u8>);

impl Bytes for Memory {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let at = usize::try_from(offset).unwrap();
        let bytes = self.0.get(at..at.saturating_add(buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

const BLOCK: usize = 1024;
/// Room for the names of these directories.
const ROOM: usize = 4096;

/// A file system of 64 blocks of 1 KiB without checksums or a journal, as `mke2fs -t ext4` lays it out: the
/// superblock in block 1, one group descriptor in block 2, the bitmaps in blocks 3 and 4, 16 inodes of 128 bytes in blocks 5 and 6. The root is in
/// block 10, and has the file `f` (inode 12, content in block 11) and the link `l` (inode 13).
struct Maker(Vec<u8>);

impl Maker {
    fn new() -> Self {
        let mut made = Self(vec![0; 64 * BLOCK]);
        let sb = BLOCK;
        for (at, value) in [
            (0, 16),
            (0x4, 64),
            (0x14, 1),
            (0x18, 0),
            (0x1c, 0),
            (0x20, 8192),
            (0x28, 16),
            (0x4c, 1),
            (0x54, 11),
            (0x60, 0x42),
        ] {
            made.put32(sb + at, value);
        }
        made.put16(sb + 0x38, 0xef53);
        made.put16(sb + 0x3a, 1);
        made.put16(sb + 0x58, 128);
        for (at, value) in [(0, 3), (4, 4), (8, 5)] {
            made.put32(2 * BLOCK + at, value);
        }
        // Blocks 1 to 6, 10 and 11, from block 1 on; inodes 1 to 13.
        made.put16(3 * BLOCK, 0b110_0011_1111);
        made.put16(4 * BLOCK, 0x1fff);
        made.inode(2, 0o40_755, BLOCK as u32, &[(0, 1, 10)]);
        made.inode(12, 0o100_644, 5, &[(0, 1, 11)]);
        made.inode(13, 0o120_777, 3, &[]);
        let link = made.at(13);
        made.put32(link + 0x20, 0);
        made.0[link + 0x28..link + 0x58].fill(0);
        made.0[link + 0x28..link + 0x2b].copy_from_slice(b"dst");
        made.directory(10, &[(2, b"."), (2, b".."), (12, b"f"), (13, b"l")]);
        made.0[11 * BLOCK..][..5].copy_from_slice(b"hello");
        made
    }

    fn at(&self, inode: usize) -> usize {
        5 * BLOCK + (inode - 1) * 128
    }

    fn put16(&mut self, at: usize, value: u16) {
        self.0[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }

    fn put32(&mut self, at: usize, value: u32) {
        self.0[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    /// With extents in the inode: their first block, their length, and where they are.
    fn inode(&mut self, inode: usize, mode: u16, size: u32, extents: &[(u32, u16, u32)]) {
        let at = self.at(inode);
        self.put16(at, mode);
        self.put32(at + 0x4, size);
        self.put16(at + 0x1a, 1);
        self.put32(at + 0x20, 0x8_0000);
        self.node(at + 0x28, 4, 0, extents);
    }

    fn node(&mut self, at: usize, most: u16, depth: u16, entries: &[(u32, u16, u32)]) {
        for (offset, value) in [
            (0, 0xf30a),
            (2, entries.len() as u16),
            (4, most),
            (6, depth),
        ] {
            self.put16(at + offset, value);
        }
        for (number, (first, length, block)) in entries.iter().enumerate() {
            let at = at + 12 + 12 * number;
            self.0[at..at + 12].fill(0);
            self.put32(at, *first);
            if depth == 0 {
                self.put16(at + 4, *length);
                self.put32(at + 8, *block);
            } else {
                self.put32(at + 4, *block);
            }
        }
    }

    fn directory(&mut self, block: usize, entries: &[(u32, &[u8])]) {
        let mut at = block * BLOCK;
        let end = at + BLOCK;
        for (number, (inode, name)) in entries.iter().enumerate() {
            let is_last = number + 1 == entries.len();
            let length = if is_last {
                end - at
            } else {
                (8 + name.len()).next_multiple_of(4).max(12)
            };
            self.put32(at, *inode);
            self.put16(at + 4, length as u16);
            self.put16(at + 6, name.len() as u16 | 1 << 8);
            self.0[at + 8..at + 8 + name.len()].copy_from_slice(name);
            at += length;
        }
    }

    fn open(&self) -> io::Result<Ext4> {
        Ext4::open(Arc::new(Memory(self.0.clone())))
    }
}

#[track_caller]
fn fails<T>(result: io::Result<T>, why: &str) {
    let error = result
        .err()
        .map_or_else(|| "no error".to_owned(), |error| error.to_string());
    assert!(error.contains(why), "{error}");
}

/// The content of a file of at most 4 KiB, or why there is none.
fn content(made: &Maker, inode: u64) -> io::Result<Vec<u8>> {
    let fs = made.open()?;
    let (mut all, mut buffer) = (Vec::new(), [0; 700]);
    while all.len() < 4096 {
        match fs.read_at(inode, all.len() as u64, &mut buffer)? {
            0 => break,
            count => all.extend_from_slice(&buffer[..count]),
        }
    }
    Ok(all)
}

#[test]
fn small_file_system_is_read() {
    let made = Maker::new();
    let fs = made.open().unwrap();
    let names = fs.list(ROOT, ROOM).unwrap();
    assert_eq!(names, [(b"f"[..].into(), 12), (b"l"[..].into(), 13)]);
    assert_eq!(content(&made, 12).unwrap(), b"hello");
    assert_eq!(fs.target(13).unwrap(), b"dst");
    let metadata = fs.look(12).unwrap();
    assert_eq!(
        (metadata.mode, metadata.size, metadata.links),
        (0o100_644, 5, 1)
    );
    assert!(fs.xattrs(12).unwrap().is_empty());
    fails(fs.list(12, ROOM), "not a directory");
    fails(fs.read_at(2, 0, &mut [0; 8]), "not a regular file");
    fails(fs.look(7), "reserved");
    fails(fs.look(17), "inode 17 does not exist");
    fails(fs.look(14), "not in use");
}

#[test]
fn superblock_that_no_mkfs_writes_is_refused() {
    for (at, value, why) in [
        (0x4, 65, "truncated"),
        (0x4, u32::MAX, "truncated"),
        (0, u32::MAX, "number of inodes"),
        (0x18, 3, "more than 4096 bytes"),
        (0x18, u32::MAX, "more than 4096 bytes"),
        (0x1c, 4, "size of clusters"),
        (0x14, 0, "first block"),
        (0x20, 0, "blocks in a group"),
        (0x28, 0, "inodes in a group"),
        (0x54, 3, "first inode"),
        (0x58, 0, "size of inodes"),
        (0x58, 129, "size of inodes"),
        (0x4c, 0, "revision"),
        (0x60, 0x46, "not what a host will see"),
        (0xe8, 12, "not what a host will see"),
        (0x60, 0x42 | 0x8000, "'inline_data'"),
        (0x60, 0x42 | 0x4000_0000, "'0x40000000'"),
        (0x64, 0x200, "'bigalloc'"),
        (0xe4, 0x801, "on another device"),
        (0x100, 0x10, "default mount options"),
        (0x5c, 4, "journal's inode"),
    ] {
        let mut made = Maker::new();
        made.put32(BLOCK + at, value);
        fails(made.open(), why);
    }
    for (options, is_good) in [
        (&b"errors=panic"[..], false),
        (b"journal_path=/dev/sdb", false),
        (b"acl,discard", true),
    ] {
        let mut made = Maker::new();
        made.0[BLOCK + 0x200..][..options.len()].copy_from_slice(options);
        assert_eq!(made.open().is_ok(), is_good, "{}", options.escape_ascii());
    }
    // What the kernel does on an error is the kernel's business: this one has none to ask.
    let mut made = Maker::new();
    made.put16(BLOCK + 0x3c, 3);
    made.open().unwrap();
    let mut made = Maker::new();
    made.put32(2 * BLOCK + 8, 60);
    made.put32(BLOCK + 0x28, 16);
    made.open().unwrap();
    made.put32(2 * BLOCK + 8, 63);
    fails(made.open(), "inode table of group 0");
}

#[test]
fn extents_that_loop_overlap_or_lead_outside_are_refused() {
    for (extents, why) in [
        (&[(0, 1, 64)][..], "not one of its 64 blocks"),
        (&[(0, 1, 0)], "not one of its 64 blocks"),
        (&[(0, 100, 11)], "not one of its 64 blocks"),
        (&[(0, 0, 11)], "overlap, or are empty"),
        (&[(0, 3, 11), (2, 1, 20)], "overlap, or are empty"),
        (&[(1, 1, 11), (0, 1, 12)], "out of order"),
        (&[(0, 1, 11), (0, 1, 12)], "out of order"),
        (&[(u32::MAX, 2, 11)], ""),
    ] {
        let mut made = Maker::new();
        made.inode(12, 0o100_644, 5, extents);
        match why {
            "" => assert_eq!(content(&made, 12).unwrap(), [0; 5]),
            why => fails(content(&made, 12), why),
        }
    }
    // A node that is its own child: depths do not match. One as deep as its parent says, and a good one.
    for (depth, first, why) in [
        (1, 0, "header of its extents"),
        (0, 1, "where their index says"),
        (0, 0, ""),
    ] {
        let mut made = Maker::new();
        let at = made.at(12);
        made.node(at + 0x28, 4, 1, &[(0, 0, 20)]);
        made.node(
            20 * BLOCK,
            84,
            depth,
            &[(first, 1, if depth == 1 { 20 } else { 11 })],
        );
        match why {
            "" => assert_eq!(content(&made, 12).unwrap(), b"hello"),
            why => fails(content(&made, 12), why),
        }
    }
    let mut made = Maker::new();
    let at = made.at(12);
    made.put16(at + 0x28 + 6, 6);
    fails(content(&made, 12), "too deep");
    made.put16(at + 0x28 + 6, 0);
    made.put16(at + 0x28 + 2, 5);
    fails(content(&made, 12), "header of its extents");
    // Never written, and a hole: zeros.
    made.inode(12, 0o100_644, 3 * 1024, &[(0, 0x8001, 11), (2, 1, 11)]);
    let read = content(&made, 12).unwrap();
    assert_eq!(
        (read.len(), &read[..2048], &read[2048..2053]),
        (3072, &[0; 2048][..], &b"hello"[..])
    );
}

#[test]
fn block_map_is_read_to_triple_indirection_and_never_out_of_bounds() {
    let mut made = Maker::new();
    let at = made.at(12);
    made.put32(at + 0x20, 0);
    made.0[at + 0x28..at + 0x64].fill(0);
    made.put32(at + 0x28, 11);
    assert_eq!(content(&made, 12).unwrap(), b"hello");
    // Lists that are their own entries: each level is one read, so that they end.
    let triple = 12 + 256 + 256 * 256;
    let size = (triple + 1) * 1024;
    made.put32(at + 0x4, size);
    made.put32(at + 0x28 + 14 * 4, 20);
    for slot in 0..256 {
        made.put32(20 * BLOCK + 4 * slot, 20);
    }
    let mut buffer = [0; 4];
    let offset = u64::from(triple) * 1024;
    assert_eq!(
        made.open()
            .unwrap()
            .read_at(12, offset, &mut buffer)
            .unwrap(),
        4
    );
    assert_eq!(buffer, 20_u32.to_le_bytes());
    made.put32(20 * BLOCK, 64);
    fails(
        made.open().unwrap().read_at(12, offset, &mut buffer),
        "not one of its 64 blocks",
    );
}

#[test]
fn malformed_ext4_directories_are_refused() {
    let changed = |at: usize, value: u16| {
        let mut made = Maker::new();
        made.put16(10 * BLOCK + at, value);
        made.open().unwrap().list(ROOT, ROOM)
    };
    assert_eq!(changed(24, 12).unwrap().len(), 2);
    // Lengths of an entry: none, less than its name, beyond the block, not a multiple of 4.
    for length in [0, 8, 2000, 13, u16::MAX] {
        fails(changed(24 + 4, length), "length is invalid");
    }
    fails(changed(24 + 6, 0x1ff), "length is invalid");
    fails(changed(0, 0), "'.' and '..'");
    fails(changed(12 + 8, u16::from_le_bytes(*b"x.")), "'.' and '..'");
    for (size, why) in [
        (0, "its size"),
        (1000, "its size"),
        (2048, "hole"),
        (u32::MAX - 1023, "its size"),
    ] {
        let mut made = Maker::new();
        let at = made.at(2);
        made.put32(at + 4, size);
        fails(made.open().unwrap().list(ROOT, ROOM), why);
    }
    // Names are handed on as they are; who walks refuses those that are none.
    let mut made = Maker::new();
    made.directory(
        10,
        &[
            (2, b"."),
            (2, b".."),
            (12, b"a/b"),
            (12, b"a\0"),
            (12, b".."),
        ],
    );
    assert_eq!(made.open().unwrap().list(ROOT, ROOM).unwrap().len(), 3);
    // As much room as two names of one byte take, and less.
    let fs = Maker::new().open().unwrap();
    let room = 2 * earmark_scan::source::cost(b"f");
    assert_eq!(fs.list(ROOT, room).unwrap().len(), 2);
    fails(fs.list(ROOT, room - 1), "too many names");
    // A million directories of the same blocks end.
    let fs = Maker::new().open().unwrap();
    fs.spend(DIRECTORY_BYTES - 1024).unwrap();
    assert!(fs.list(ROOT, ROOM).is_ok());
    fails(fs.list(ROOT, ROOM), "its directories have more than");
}

#[test]
fn ambiguous_ext4_symlinks_are_refused() {
    let link = |change: &dyn Fn(&mut Maker, usize)| {
        let mut made = Maker::new();
        let at = made.at(13);
        change(&mut made, at);
        made.open().unwrap().target(13)
    };
    assert_eq!(link(&|_, _| ()).unwrap(), b"dst");
    fails(
        link(&|made, at| made.put32(at + 0x1c, 2)),
        "contradict each other",
    );
    fails(link(&|made, at| made.put32(at + 4, 0)), "invalid length");
    fails(link(&|made, at| made.put32(at + 4, 1024)), "invalid length");
    fails(link(&|made, at| made.put32(at + 4, 5)), "NUL");
    fails(
        link(&|made, at| made.put32(at + 4, 70)),
        "contradict each other",
    );
    let long = |made: &mut Maker, at: usize| {
        made.inode(13, 0o120_777, 70, &[(0, 1, 20)]);
        made.put32(at + 0x1c, 2);
        made.0[20 * BLOCK..][..70].fill(b'x');
    };
    assert_eq!(link(&long).unwrap(), [b'x'; 70]);
}

#[test]
fn htree_index_that_hides_a_name_is_refused() {
    // The root of an index in block 0, and two leaves.
    let make = |second: u32, hash_of_second: u32| {
        let mut made = Maker::new();
        made.put32(BLOCK + 0x5c, 0x20);
        made.inode(2, 0o40_755, 3 * 1024, &[(0, 3, 20)]);
        let at = made.at(2);
        made.put32(at + 0x20, 0x8_0000 | 0x1000);
        made.directory(20, &[(2, b"."), (2, b"..")]);
        made.0[20 * BLOCK + 28] = 1;
        made.0[20 * BLOCK + 29] = 8;
        for (at, value) in [(32, 123), (34, 2)] {
            made.put16(20 * BLOCK + at, value);
        }
        for (at, value) in [(36, 1), (40, hash_of_second), (44, second)] {
            made.put32(20 * BLOCK + at, value);
        }
        let hash = hash::Hash::new(1, false, [0; 4]).unwrap();
        let mut names = [&b"f"[..], b"l"];
        names.sort_by_key(|name| hash.of(name));
        made.directory(21, &[(12, names[0])]);
        made.directory(22, &[(13, names[1])]);
        (made, hash.of(names[0]), hash.of(names[1]))
    };
    let (_, low, high) = make(2, 0);
    let list = |second, hash| make(second, hash).0.open().unwrap().list(ROOT, ROOM);
    assert_eq!(list(2, high).unwrap().len(), 2);
    // The same hash goes on in the next leaf.
    assert_eq!(list(2, high | 1).unwrap().len(), 2);
    fails(list(2, high + 2), "not where its index leads");
    fails(list(2, low), "not where its index leads");
    fails(list(1, high), "duplicate or invalid leaf");
    fails(list(0, high), "duplicate or invalid leaf");
    fails(list(9, high), "duplicate or invalid leaf");
}

#[test]
fn htree_name_hashes_match_debugfs() {
    let seed = [0x1234_5678, 0x9abc_def0, 0x0fed_cba9, 0x8765_4321];
    for (version, name, expected) in HASHES {
        let hash = hash::Hash::new(version, false, seed).unwrap();
        assert_eq!(hash.of(name.as_bytes()), expected, "{version} {name}");
    }
}

/// By `dx_hash -s 78563412-f0de-bc9a-a9cb-ed0f21436587` of e2fsprogs 1.47.
const HASHES: [(u8, &str, u32); 18] = [
    (0, "a", 0xe74b_53e2),
    (0, "passwd", 0x98b8_cd7c),
    (
        0,
        "a-much-longer-name-with-over-thirty-two-bytes.conf",
        0x287b_e9c6,
    ),
    (0, "0123456789abcdef", 0x415c_16fe),
    (0, "0123456789abcdef0123456789abcdef", 0x6d4a_15ee),
    (0, "ümlaut", 0x46a1_fa18),
    (1, "a", 0x574c_bfc2),
    (1, "passwd", 0x058a_dbe6),
    (
        1,
        "a-much-longer-name-with-over-thirty-two-bytes.conf",
        0xa299_abe4,
    ),
    (1, "0123456789abcdef", 0xe197_93a4),
    (1, "0123456789abcdef0123456789abcdef", 0x1bba_f560),
    (1, "ümlaut", 0x1d5f_fa28),
    (2, "a", 0x0bd7_c194),
    (2, "passwd", 0x3c22_9d52),
    (
        2,
        "a-much-longer-name-with-over-thirty-two-bytes.conf",
        0x1544_7dcc,
    ),
    (2, "0123456789abcdef", 0x113f_5cb6),
    (2, "0123456789abcdef0123456789abcdef", 0xbf15_7b98),
    (2, "ümlaut", 0x09bd_5a36),
];
