//! Blocks and inodes have one owner.

use super::*;

fn shared(change: impl FnOnce(&mut Maker)) -> io::Result<()> {
    let mut made = Maker::new();
    change(&mut made);
    made.open().unwrap().refuse_shared()
}

/// Marks a block, or another thing of a bitmap that begins with 1, as in use.
fn mark(made: &mut Maker, bitmap: usize, number: usize) {
    made.0[bitmap * BLOCK + (number - 1) / 8] |= 1 << ((number - 1) % 8);
}

/// Adds the file `g` (inode 14), as whatever directory may have it.
fn second_file(made: &mut Maker, extents: &[(u32, u16, u32)]) {
    made.inode(14, 0o100_644, 5, extents);
    mark(made, 4, 14);
    for block in 12..=20 {
        mark(made, 3, block);
    }
    made.directory(
        10,
        &[(2, b"."), (2, b".."), (12, b"f"), (13, b"l"), (14, b"g")],
    );
}

#[test]
fn ext4_blocks_of_two_files_are_refused() {
    shared(|_| ()).unwrap();
    shared(|made| second_file(made, &[(0, 1, 12), (1, 3, 14)])).unwrap();
    for (extents, why) in [
        // A block of another file; in the middle; never written; of a directory; twice its own.
        (&[(0, 1, 11)][..], "block 11 is in inode 14"),
        (&[(0, 1, 12), (1, 4, 8)], "block 10 is in inode 14"),
        (&[(0, 0x8001, 11)], "block 11"),
        (&[(0, 1, 10)], "block 10"),
        (&[(0, 1, 12), (1, 1, 12)], "block 12"),
        // The superblock's descriptors, the bitmaps, and an inode table.
        (&[(0, 1, 2)], "block 2"),
        (&[(0, 1, 3)], "block 3"),
        (&[(0, 1, 4)], "block 4"),
        (&[(0, 1, 6)], "block 6"),
        (&[(0, 1, 64)], "not one of its 64 blocks"),
    ] {
        fails(shared(|made| second_file(made, extents)), why);
    }
    // Without a name, as a file that nothing but the inode's number leads to.
    let nameless = |block| {
        shared(|made| {
            second_file(made, &[(0, 1, block)]);
            made.directory(10, &[(2, b"."), (2, b".."), (12, b"f"), (13, b"l")]);
        })
    };
    nameless(12).unwrap();
    fails(nameless(11), "two files share");
}

#[test]
fn ext4_blocks_of_extents_and_lists_have_one_owner() {
    let deep = |node: u32, block: u32| {
        shared(|made| {
            second_file(made, &[(0, 1, 12)]);
            let at = made.at(14);
            made.node(at + 0x28, 4, 1, &[(0, 0, node)]);
            made.node(20 * BLOCK, 84, 0, &[(0, 1, block)]);
        })
    };
    deep(20, 12).unwrap();
    fails(deep(20, 11), "block 11");
    fails(deep(20, 20), "block 20");
    fails(deep(11, 12), "block 11");
    let lists = |slot: usize, list: u32, entry: u32| {
        shared(|made| {
            second_file(made, &[]);
            let at = made.at(14);
            made.put32(at + 0x20, 0);
            made.0[at + 0x28..at + 0x64].fill(0);
            made.put32(at + 0x28 + 4 * slot, list);
            made.put32(20 * BLOCK + 8, entry);
        })
    };
    lists(0, 12, 0).unwrap();
    fails(lists(0, 11, 0), "block 11");
    lists(12, 20, 13).unwrap();
    fails(lists(12, 20, 11), "block 11");
    fails(lists(12, 20, 20), "block 20");
    fails(lists(13, 20, 20), "block 20");
    fails(lists(14, 11, 0), "block 11");
}

#[test]
fn ext4_block_or_inode_in_use_and_marked_as_free_is_refused() {
    let free = |bitmap: usize, number: usize| {
        shared(|made| made.0[bitmap * BLOCK + (number - 1) / 8] &= !(1 << ((number - 1) % 8)))
    };
    for block in [1, 2, 3, 6, 10, 11] {
        fails(free(3, block), &format!("block {block} is in use"));
    }
    free(3, 20).unwrap();
    fails(free(4, 12), "inode 12 has a name and is marked as free");
    free(4, 16).unwrap();
    // A group that says that nothing was ever written there, and an inode table that is said to end.
    let descriptor = |at: usize, value: u16| {
        shared(|made| {
            made.put32(BLOCK + 0x64, 0x10);
            made.put16(2 * BLOCK + at, value);
        })
    };
    descriptor(0x12, 0).unwrap();
    fails(descriptor(0x12, 2), "marked as empty");
    fails(descriptor(0x12, 1), "marked as free");
    descriptor(0x1c, 3).unwrap();
    fails(descriptor(0x1c, 4), "inode 13 has a name and is marked");
}

#[test]
fn ext4_inode_with_more_names_than_links_is_refused() {
    let named = |links: u16, entries: &[(u32, &[u8])]| {
        shared(|made| {
            let at = made.at(12);
            made.put16(at + 0x1a, links);
            let dots: [(u32, &[u8]); 2] = [(2, b"."), (2, b"..")];
            made.directory(10, &[&dots, entries].concat());
        })
    };
    named(1, &[(12, b"f")]).unwrap();
    fails(named(1, &[(12, b"f"), (12, b"g")]), "inode 12 has 2 names");
    named(2, &[(12, b"f"), (12, b"g")]).unwrap();
    // Fewer are another check's: a sealed file has its other name where nobody looked.
    named(2, &[(12, b"f")]).unwrap();
    fails(named(1, &[(2, b"root")]), "reserved");
    fails(named(1, &[(7, b"resize")]), "reserved");
    fails(named(1, &[(15, b"none")]), "inode 15 has a name");
    fails(named(1, &[(17, b"none")]), "inode 17 does not exist");
    // A directory has one name, whatever its links say.
    let twice = |names: &[(u32, &[u8])]| {
        shared(|made| {
            second_file(made, &[]);
            made.inode(14, 0o40_755, BLOCK as u32, &[(0, 1, 12)]);
            let at = made.at(14);
            made.put16(at + 0x1a, 3);
            made.directory(12, &[(14, b"."), (2, b".."), (13, b"in")]);
            let dots: [(u32, &[u8]); 2] = [(2, b"."), (2, b"..")];
            made.directory(10, &[&dots, names].concat());
        })
    };
    twice(&[(14, b"d")]).unwrap();
    fails(twice(&[(14, b"d"), (14, b"e")]), "inode 14 has 2 names");
    // A name in any directory counts.
    fails(twice(&[(14, b"d"), (13, b"l")]), "inode 13 has 2 names");
}

#[test]
fn ext4_block_of_attributes_has_no_more_inodes_than_it_counts() {
    let attributes = |count: u32, block: u32| {
        shared(|made| {
            second_file(made, &[(0, 1, 12)]);
            for inode in [12, 14] {
                let at = made.at(inode);
                made.put32(at + 0x68, block);
            }
            for (at, value) in [(0, 0xea02_0000), (4, count), (8, 1)] {
                made.put32(20 * BLOCK + at, value);
            }
        })
    };
    attributes(2, 20).unwrap();
    attributes(1000, 20).unwrap();
    fails(attributes(1, 20), "attributes of 2 inodes");
    fails(attributes(2, 11), "block 11");
}
