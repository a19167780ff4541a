//! The reader of ext4 in user space, held against the kernel's, and against disks that are made to fool it.

use std::{
    fs,
    os::unix::fs::{FileExt, PermissionsExt},
    path::Path,
};

use earmark_tests::{
    Bench, Run,
    facts::image::{
        ANOTHER_DEVICE, BAD_CHECKSUM, BLOCK_SIZE, DEFAULT_MOUNT_OPTIONS, FEATURE,
        INODES_IN_A_GROUP, JOURNAL_NOT_EMPTY, MOUNT_OPTION, RUN_AS_ROOT, TRUNCATED, UNCLEAN,
    },
};

use super::{
    ROOT, disk, file_system, grown, nothing_is_left, part, qcow2, says, sealed, shell, verify,
};

/// As nobody, without a right to mount or to attach anything.
fn unprivileged(bench: &Bench, image: &Path) -> Run {
    for file in [image, &bench.path("trust.toml")] {
        fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
    }
    let name = image.display().to_string();
    let words = [
        "verify",
        "--image",
        &name,
        "--trust",
        "trust.toml",
        "--json",
    ];
    let verified = bench.as_nobody("earmark", &words);
    nothing_is_left(image);
    verified
}

#[test]
fn privileged_ext4_image_verifies_without_root_mount_or_loop_device() {
    let bench = sealed();
    let (image, bad) = (bench.path("disk.raw"), bench.path("bad.raw"));
    disk(&image, &[part(ROOT, 32, Some(("ext4", &bench.root())))]);
    let tampered = bench.copy();
    tampered.write("usr/bin/web", b"#!/bin/fals\n");
    disk(&bad, &[part(ROOT, 32, Some(("ext4", &tampered.root())))]);
    for (good, bad) in [(image.clone(), bad.clone()), (qcow2(&image), qcow2(&bad))] {
        let verified = unprivileged(&bench, &good).must(0);
        assert_eq!(verified.json()["verdict"], "verified");
        let violated = unprivileged(&bench, &bad).must(10);
        assert_eq!(violated.violations(), ["content /usr/bin/web"]);
    }
    // XFS is for the kernel, and says so.
    disk(&image, &[part(ROOT, 320, Some(("xfs", &bench.root())))]);
    verify(&bench, &image, &[]).must(0);
    says(
        &unprivileged(&bench, &image),
        11,
        &[RUN_AS_ROOT.of(&["XFS"])],
    );
}

/// Content of all kinds that a tree records.
fn furnish(root: &Path) {
    let root = root.display();
    shell(&format!(
        r#"cd '{root}/opt'
        mkdir many few
        i=0; while [ $i -lt 3000 ]; do : > many/name-of-a-file-that-is-long-enough-to-need-an-index-$i; i=$((i+1)); done
        printf x > few/a; ln few/a few/b; ln few/a many/c
        ln -s short few/s; ln -s "$(printf '%0300d' 7)" few/l; ln -s "$(printf '%059d' 7)" few/l59; ln -s "$(printf '%060d' 7)" few/l60
        mkfifo few/p; mknod few/c c 5 1; mknod few/b0 b 259 300000; mknod few/c2 c 4095 1048575
        truncate -s 40M few/sparse; printf end >> few/sparse; printf middle | dd of=few/sparse bs=1 seek=1234567 conv=notrunc status=none
        truncate -s 100 few/hole
        head -c 3000000 /dev/urandom > few/large
        cp /bin/true few/cap; setcap cap_net_bind_service+ep few/cap
        setfacl -m u:1234:rx,g:77:r,m::rx few/large; setfacl -d -m u:9:rwx few
        setfattr -n user.much -v "$(printf '%02000d' 5)" few/cap
        setfattr -n security.selinux -v system_u:object_r:etc_t:s0 few/large
        chown 100000:70000 few/large; chmod 6711 few/cap; chmod 1777 many
        printf '\377\376' > "$(printf 'few/bad-\377-utf8')""#
    ));
}

/// Puts the content of `root` into a file system made with `options`, through the kernel.
fn through_the_kernel(bench: &Bench, root: &Path, options: &str, image: &Path) {
    let at = bench.path("at");
    fs::create_dir_all(&at).unwrap();
    fs::File::create(image).unwrap().set_len(96 << 20).unwrap();
    let (image, at) = (image.display(), at.display());
    let (options, tuning) = options.split_once(" TUNE ").unwrap_or((options, "-r 0"));
    shell(&format!(
        "mke2fs -q {options} '{image}'
         tune2fs {tuning} '{image}' > /dev/null
         mount -o loop '{image}' '{at}'
         # So that blocks are fragmented, and directories have leaves that were emptied.
         mkdir '{at}/junk'; head -c 3600000 /dev/zero | split -d -a 3 -b 9000 - '{at}/junk/file-'
         rm -f '{at}'/junk/file-*[13579]
         cp -a --sparse=always '{root}/.' '{at}/'
         i=0; while [ $i -lt 500 ]; do : > '{at}/opt/many/'gone-$i-gone-gone-gone-gone-gone; i=$((i+1)); done
         rm -f '{at}'/opt/many/gone-*; rm -rf '{at}/junk'
         umount '{at}'",
        root = root.display()
    ));
    nothing_is_left(Path::new(&image.to_string()));
}

#[test]
fn privileged_reader_of_ext4_agrees_with_the_kernel() {
    let bench = sealed();
    furnish(&bench.root());
    bench.seal().must(0);
    let image = bench.path("fs.img");
    for options in [
        "-t ext4",
        "-t ext4 -b 1024",
        "-t ext4 -b 2048 -I 512",
        "-t ext4 -O ^metadata_csum,uninit_bg",
        "-t ext4 -O ^64bit,^flex_bg,^dir_index",
        "-t ext4 -O metadata_csum_seed,large_dir,orphan_file",
        "-t ext4 -I 128",
        "-t ext4 -O ^has_journal,^extent,^64bit",
        "-t ext3",
        "-t ext2 -b 1024",
        "-t ext4 -O ^metadata_csum TUNE -E hash_alg=tea",
        "-t ext4 TUNE -E hash_alg=legacy",
    ] {
        through_the_kernel(&bench, &bench.root(), options, &image);
        let verified = verify(&bench, &image, &[]);
        assert_eq!(
            verified.code, 0,
            "{options}: {}\n{}",
            verified.out, verified.err
        );
        assert_eq!(verified.json()["verdict"], "verified", "{options}");
    }
    // Each thing that the tree records is seen when it differs: by the kernel's reader and by this one alike.
    let (at, good) = (bench.path("at"), bench.path("good.img"));
    through_the_kernel(&bench, &bench.root(), "-t ext4", &good);
    for change in [
        "printf y > few/a",
        "chmod 6755 few/cap",
        "setcap cap_net_raw+ep few/cap",
        "setfacl -m u:1234:rwx few/large",
        "setfacl -d -m u:9:r few",
        "setfattr -n security.selinux -v system_u:object_r:shadow_t:s0 few/large",
        "chown 100000:70001 few/large",
        "ln -sf other few/s",
        "ln -sf \"$(printf '%0300d' 8)\" few/l",
        "rm few/c2; mknod few/c2 c 4095 1048574",
        "rm few/b; cp -p few/a few/b",
        "ln few/a few/d",
        "printf z | dd of=few/sparse bs=1 seek=30000000 conv=notrunc status=none",
        "rm many/name-of-a-file-that-is-long-enough-to-need-an-index-1234",
        ": > many/one-more",
        "truncate -s 101 few/hole",
    ] {
        shell(&format!(
            "cp --sparse=always '{good}' '{image}'; mount -o loop '{image}' '{at}'; cd '{at}/opt'; {change}; cd /; umount '{at}'",
            good = good.display(),
            image = image.display(),
            at = at.display()
        ));
        nothing_is_left(&image);
        let ours = verify(&bench, &image, &[]).must(10);
        shell(&format!(
            "mount -o loop,ro '{}' '{}'",
            image.display(),
            at.display()
        ));
        let root = at.display().to_string();
        let words = ["verify", "--root", &root, "--trust", "trust.toml", "--json"];
        let kernels = bench.earmark(&words);
        shell(&format!("umount '{root}'"));
        nothing_is_left(&image);
        assert_eq!(ours.violations(), kernels.must(10).violations(), "{change}");
        assert!(!ours.violations().is_empty());
    }
}

#[test]
fn privileged_ext4_reader_verifies_a_real_debian_root() {
    let root = std::env::var("EARMARK_ROOT_SMALL").expect("EARMARK_ROOT_SMALL");
    let bench = sealed();
    let copy = bench.root();
    shell(&format!("cp -a '{root}/.' '{}/'", copy.display()));
    let declaration = "[image]\nname = \"web\"\nepoch = 3\nplatform = \"file\"\n\
        [tree]\nprofile = \"debian-12\"\nstate = [\"/lost+found\"]\n";
    fs::write(bench.path("earmark.toml"), declaration).unwrap();
    bench.seal().must(0);
    let image = bench.path("disk.raw");
    disk(&image, &[part(ROOT, 1024, Some(("ext4", &copy)))]);
    let verified = verify(&bench, &image, &[]).must(0);
    let json = verified.json();
    assert_eq!(json["verdict"], "verified");
    assert!(json["counts"]["entries"].as_u64() > Some(5000), "{json}");
}

/// Changes the image through `debugfs`.
fn debugfs(image: &Path, command: &str) {
    shell(&format!(
        "debugfs -w -R '{command}' '{}' 2>/dev/null",
        image.display()
    ));
}

#[test]
fn privileged_hostile_file_system_is_refused_and_reaches_no_kernel() {
    let bench = sealed();
    let (good, image) = (bench.path("good.img"), bench.path("disk.img"));
    fs::create_dir_all(bench.root().join("opt/d/e")).unwrap();
    bench.write("opt/d/f", b"content");
    bench.seal().must(0);
    file_system("ext4", &bench.root(), &grown(&good));
    unprivileged(&bench, &good).must(0);
    for (change, code, words) in [
        // Of the superblock.
        (
            "set_super_value mount_opts errors=panic",
            11,
            &[MOUNT_OPTION.of(&["errors=panic"])][..],
        ),
        (
            "set_super_value default_mount_opts 0x10",
            11,
            &[DEFAULT_MOUNT_OPTIONS],
        ),
        ("set_super_value journal_dev 0x801", 11, &[ANOTHER_DEVICE]),
        ("set_super_value blocks_count 99999999", 11, &[TRUNCATED]),
        (
            "set_super_value inodes_per_group 7",
            11,
            &[INODES_IN_A_GROUP],
        ),
        ("set_super_value log_block_size 40", 11, &[BLOCK_SIZE]),
        ("set_super_value state 2", 11, &[UNCLEAN]),
        ("set_super_value last_orphan 12", 11, &[UNCLEAN]),
        ("feature inline_data", 11, &[FEATURE.of(&["inline_data"])]),
        ("feature needs_recovery", 11, &[UNCLEAN]),
        // Of directories and files: doubts, each with its path.
        ("set_inode_field /opt/d/f size 0x8000000000000000", 11, &[]),
        ("set_inode_field /opt/d size 0", 11, &[]),
        ("set_inode_field /opt/d/f flags 0x80800", 11, &[]),
        ("set_inode_field /opt/d/f links_count 0", 11, &[]),
        ("clri /opt/d/f", 11, &[]),
        // What is no fault of the file system is a violation; a name too many is one, also where it leads round.
        ("ln <2> /opt/d/loop", 10, &[]),
        ("ln /opt /opt/d/e/up", 10, &[]),
        ("set_inode_field /opt/d/f uid 7", 10, &[]),
        ("set_inode_field /opt/d/f size 9", 10, &[]),
        // And what changes nothing is none.
        ("set_super_value errors 3", 0, &[]),
        ("set_super_value mount_opts acl", 0, &[]),
    ] {
        fs::copy(&good, &image).unwrap();
        debugfs(&image, change);
        let verified = unprivileged(&bench, &image);
        assert_eq!(
            verified.code, code,
            "{change}: {}\n{}",
            verified.out, verified.err
        );
        says(&verified, code, words);
        // As root, too: nothing of it is mounted.
        assert_eq!(verify(&bench, &image, &[]).code, code, "{change}");
    }
    // A bit of metadata, whose checksum then tells.
    fs::copy(&good, &image).unwrap();
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(&image)
        .unwrap();
    let mut byte = [0; 1];
    file.read_exact_at(&mut byte, 1024 + 0x78).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 1024 + 0x78).unwrap();
    says(&unprivileged(&bench, &image), 11, &[BAD_CHECKSUM]);
}

#[test]
fn privileged_unreplayed_ext4_journal_marked_clean_is_refused() {
    let bench = sealed();
    let image = bench.path("disk.img");
    file_system("ext4", &bench.root(), &grown(&image));
    verify(&bench, &image, &[]).must(0);
    // As a power cut leaves it, and then marked as clean: 'e2fsck -y' would replay it all the same.
    let (at, copy) = (bench.path("at"), bench.path("copy.img"));
    fs::create_dir_all(&at).unwrap();
    shell(&format!(
        "mount -o loop '{image}' '{at}'; echo evil > '{at}/opt/evil'; sync; cp --sparse=always '{image}' '{copy}'; rm '{at}/opt/evil'; umount '{at}'",
        image = image.display(),
        at = at.display(),
        copy = copy.display()
    ));
    says(&verify(&bench, &copy, &[]), 11, &[UNCLEAN]);
    debugfs(&copy, "feature -needs_recovery");
    says(&verify(&bench, &copy, &[]), 11, &[JOURNAL_NOT_EMPTY]);
    // The one that was unmounted has an empty journal.
    verify(&bench, &image, &[]).must(0);
}
