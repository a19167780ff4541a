//! The disks of the images that people run: their partitions by number, what is mounted of them, raw and as qcow2.

use std::{fs, os::unix::fs::FileExt as _, path::Path};

use earmark_tests::{Bench, run};

use super::{DATA, EFI, SECTOR, file_system, qcow2, sealed, shell, spec, verify};

const BIOS: &str = "21686148-6449-6E6F-744E-656564454649";
const XBOOTLDR: &str = "BC13C2FF-59E6-4262-A352-B275FD6F7172";
/// A root of x86-64, as Debian's image and the installers of others type it.
const ROOT: &str = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709";
const MIB: u64 = 1 << 20;

/// A partition: its number, its type, its size in MiB, and what is on it.
struct Numbered {
    number: u32,
    kind: &'static str,
    mib: u64,
    content: Content,
}

enum Content {
    /// The root, of this kind of file system.
    Root(&'static str),
    /// A file system of `/boot` that fstab mounts by its label.
    Boot,
    /// The loader that the firmware starts, whose digest is signed: not every kernel that builds images mounts FAT.
    Firmware,
    /// The second stage of GRUB, in no file system.
    Grub,
}

use Content::{Boot, Firmware, Grub, Root};

const fn numbered(number: u32, kind: &'static str, mib: u64, content: Content) -> Numbered {
    Numbered {
        number,
        kind,
        mib,
        content,
    }
}

/// Amazon Linux 2023, by its user guide: the root on XFS, GRUB for BIOS, the EFI system partition last.
const AMAZON_LINUX: &[Numbered] = &[
    numbered(1, DATA, 320, Root("xfs")),
    numbered(127, BIOS, 1, Grub),
    numbered(128, EFI, 10, Firmware),
];
/// Debian's image for clouds.
const DEBIAN: &[Numbered] = &[
    numbered(1, ROOT, 32, Root("ext4")),
    numbered(14, BIOS, 3, Grub),
    numbered(15, EFI, 10, Firmware),
];
/// Ubuntu's since 24.04, whose `/boot` is a partition of its own.
const UBUNTU: &[Numbered] = &[
    numbered(1, DATA, 32, Root("ext4")),
    numbered(14, BIOS, 4, Grub),
    numbered(15, EFI, 10, Firmware),
    numbered(16, XBOOTLDR, 16, Boot),
];

/// Writes the disk: in their order, which is not that of the numbers on real disks either.
fn write(bench: &Bench, layout: &[Numbered], to: &Path) {
    let mib = layout.iter().map(|part| part.mib).sum::<u64>() + 2;
    fs::File::create(to).unwrap().set_len(mib * MIB).unwrap();
    let mut table = "label: gpt\n".to_owned();
    let mut at = MIB;
    for part in layout {
        let (start, size) = (at / SECTOR, part.mib * MIB / SECTOR);
        let (number, kind) = (part.number, part.kind);
        table += &format!("disk{number} : start={start}, size={size}, type={kind}\n");
        at += part.mib * MIB;
    }
    fs::write(to.with_extension("table"), table).unwrap();
    let (disk, script) = (to.display(), to.with_extension("table"));
    shell(&format!("sfdisk --quiet '{disk}' < '{}'", script.display()));
    at = MIB;
    for part in layout {
        let one = bench.path(&format!("{}.part", part.number));
        match part.content {
            Root(kind) => {
                let _ = fs::remove_file(&one);
                fs::File::create(&one)
                    .unwrap()
                    .set_len(part.mib * MIB)
                    .unwrap();
                file_system(kind, &bench.root(), &one);
            }
            Grub => fs::write(&one, b"\x52\xe8\x28\x01").unwrap(),
            Boot | Firmware => {}
        }
        let (one, seek) = (one.display(), at / MIB);
        shell(&format!(
            "dd if='{one}' of='{disk}' bs=1M seek={seek} conv=notrunc,sparse status=none"
        ));
        at += part.mib * MIB;
    }
}

/// Seals the root, with `/boot` mounted where it is a partition of its own, and the digest of what the firmware starts.
fn seal(bench: &Bench, layout: &[Numbered]) {
    let mut tree = String::new();
    let mut disk =
        "\n[[disk.ignore]]\nregion = \"bios-boot\"\nreason = \"GRUB's second stage.\"\n".to_owned();
    let boot = bench.root().join("boot");
    fs::create_dir_all(&boot).unwrap();
    for part in layout {
        let one = bench.path(&format!("{}.part", part.number));
        let make = |bytes: &[u8]| {
            fs::write(&one, bytes).unwrap();
            let file = fs::File::options().write(true).open(&one).unwrap();
            file.set_len(part.mib * MIB).unwrap();
        };
        match part.content {
            Firmware => {
                make(b"a loader");
                let sum = run("sha256sum", [one.as_os_str()], None).must(0).out;
                let sum = sum.split(' ').next().unwrap().to_owned();
                disk += &format!("[[disk.expect]]\nregion = \"esp\"\nsha256 = \"sha256:{sum}\"\n");
            }
            Boot => {
                make(b"");
                tree.push_str("mounts = [\"/boot\"]\n");
                bench.write("etc/fstab", b"LABEL=BOOT /boot ext4 defaults 0 2\n");
                let from = bench.path("boot-files");
                fs::create_dir(&from).unwrap();
                fs::write(from.join("vmlinuz"), "a kernel").unwrap();
                let (from, one, at) = (from.display(), one.display(), boot.display());
                shell(&format!(
                    "mke2fs -q -t ext4 -L BOOT -d '{from}' '{one}'; mount -o loop,ro '{one}' '{at}'"
                ));
            }
            Root(_) | Grub => {}
        }
    }
    fs::write(bench.path("earmark.toml"), spec(&tree) + &disk).unwrap();
    let sealed = bench.seal();
    if !tree.is_empty() {
        shell(&format!("umount '{}'", boot.display()));
    }
    sealed.must(0);
}

/// Changes the bytes that a sector of the disk begins with.
fn change(disk: &Path, from: &[u8]) {
    let bytes = fs::read(disk).unwrap();
    let sector = usize::try_from(SECTOR).unwrap();
    let at = bytes.chunks(sector).position(|one| one.starts_with(from));
    let at = u64::try_from(at.expect("the bytes")).unwrap() * SECTOR;
    let file = fs::File::options().write(true).open(disk).unwrap();
    file.write_all_at(b"X", at).unwrap();
}

#[test]
fn privileged_disks_of_each_distribution_verify_raw_and_as_qcow2() {
    for (name, layout, root) in [
        ("amazon-linux-2023", AMAZON_LINUX, "partition 1 (xfs)"),
        ("debian-13", DEBIAN, "partition 1 (ext4)"),
        ("ubuntu-24.04", UBUNTU, "partition 1 (ext4)"),
    ] {
        let bench = sealed();
        seal(&bench, layout);
        let disk = |name: &str| bench.path(&format!("{name}.raw"));
        let good = disk("good");
        write(&bench, layout, &good);
        let has_boot = layout.iter().any(|part| matches!(part.content, Boot));
        // The controls: what the firmware starts, and a file of the root or of `/boot`.
        let (bytes, path): (&[u8], _) = if has_boot {
            (b"a kernel", "content /boot/vmlinuz")
        } else {
            (b"#!/bin/true\n", "content /usr/bin/web")
        };
        let changed: [(&str, &[u8], Vec<&str>); 2] = [
            ("firmware", b"a loader", vec![]),
            ("file", bytes, vec![path]),
        ];
        for (name, bytes, _) in &changed {
            fs::copy(&good, disk(name)).unwrap();
            change(&disk(name), bytes);
        }
        for convert in [Path::to_path_buf, qcow2] {
            let verified = verify(&bench, &convert(&good), &[]).must(0);
            assert_eq!(verified.json()["verdict"], "verified", "{name}");
            assert!(verified.err.contains(root), "{name}: {}", verified.err);
            for (changed, _, violations) in &changed {
                let violated = verify(&bench, &convert(&disk(changed)), &[]).must(10);
                assert_eq!(violated.json()["verdict"], "violated", "{name}: {changed}");
                assert_eq!(&violated.violations(), violations, "{name}: {changed}");
            }
        }
    }
}
