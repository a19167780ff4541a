//! Blocks and inodes of an ext4 have one owner, in `state` as elsewhere.

use std::{fs, path::Path};

use earmark_tests::{
    Bench,
    facts::image::{MARKED_AS_FREE, NAMES, RUN_E2FSCK, TWO_OWNERS},
};

use super::{FIRST, ROOT, disk, part, says, sealed, shell, verify};

/// Changes the file system in the first partition of a copy of the disk.
fn changed(bench: &Bench, good: &Path, commands: &[&str]) -> std::path::PathBuf {
    let (image, script) = (bench.path("changed.raw"), bench.path("commands"));
    fs::copy(good, &image).unwrap();
    fs::write(&script, commands.join("\n")).unwrap();
    shell(&format!(
        "debugfs -w -f '{}' '{}?offset={FIRST}' > /dev/null 2>&1",
        script.display(),
        image.display()
    ));
    image
}

#[test]
fn privileged_state_that_shares_blocks_or_inodes_with_sealed_files_is_refused() {
    let bench = sealed();
    let good = bench.path("disk.raw");
    disk(&good, &[part(ROOT, 32, Some(("ext4", &bench.root())))]);
    verify(&bench, &good, &[]).must(0);
    let into_state = "cd /lost+found";
    // What a host writes into state by itself.
    let used = changed(
        &bench,
        &good,
        &[
            into_state,
            "write /etc/passwd one",
            "mkdir two",
            "symlink three /usr/bin/web",
            "mknod four p",
        ],
    );
    verify(&bench, &used, &[]).must(0);
    for (commands, why) in [
        (
            &[
                "mknod log p",
                "copy_inode /usr/bin/web log",
                "sif log uid 1000",
            ][..],
            TWO_OWNERS,
        ),
        (&["ln /usr/bin/web log"], NAMES.of(&["2"])),
        (&["ln /usr log"], NAMES.of(&["2"])),
        (&["freei /usr/bin/web"], MARKED_AS_FREE),
    ] {
        let image = changed(&bench, &good, &[&[into_state], commands].concat());
        says(&verify(&bench, &image, &[]), 11, &[why, RUN_E2FSCK]);
    }
    // With links that tell of both names, the root's own check says so.
    let links = ["ln /usr/bin/web log", "sif /usr/bin/web links_count 2"];
    let image = changed(&bench, &good, &[&[into_state], &links[..]].concat());
    verify(&bench, &image, &[]).must(10);
}

#[test]
fn privileged_ext4_of_each_layout_has_one_owner_for_each_block() {
    let bench = sealed();
    let image = bench.path("disk.raw");
    let one = bench.path("one");
    for options in [
        "-t ext2",
        "-t ext2 -b 1024 -O ^resize_inode",
        "-t ext3",
        "-t ext4 -b 1024",
        "-t ext4 -b 2048 -g 2048",
        "-t ext4 -O ^metadata_csum,uninit_bg",
        "-t ext4 -O ^flex_bg,^resize_inode",
        "-t ext4 -O sparse_super2",
        "-t ext4 -O quota,project",
        "-t ext4 -O orphan_file",
        "-t ext4 -O ^has_journal,^64bit",
        "-t ext4 -b 1024 -I 128 -G 4",
    ] {
        disk(&image, &[part(ROOT, 64, None)]);
        fs::File::create(&one).unwrap().set_len(64 << 20).unwrap();
        shell(&format!(
            "mke2fs -q {options} -d '{}' '{}' 2> /dev/null && dd if='{1}' of='{}' bs=1M seek=1 conv=notrunc,sparse status=none",
            bench.root().display(),
            one.display(),
            image.display()
        ));
        let verified = verify(&bench, &image, &[]);
        assert_eq!(
            verified.code, 0,
            "{options}: {}{}",
            verified.out, verified.err
        );
    }
}
