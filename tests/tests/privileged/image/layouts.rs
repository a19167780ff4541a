//! The disks of the images that people run: their partitions by number, what is mounted of them, raw and as qcow2.

use std::{fs, os::unix::fs::FileExt as _, path::Path};

use earmark_tests::Bench;

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
    /// A file system that fstab mounts by its label: kind, label and place.
    Mounted(&'static str, &'static str, &'static str),
    /// The second stage of GRUB, in no file system.
    Grub,
}

use Content::{Grub, Mounted, Root};

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
    numbered(128, EFI, 10, Mounted("vfat", "EFI", "boot/efi")),
];
/// Debian's image for clouds.
const DEBIAN: &[Numbered] = &[
    numbered(1, ROOT, 32, Root("ext4")),
    numbered(14, BIOS, 3, Grub),
    numbered(15, EFI, 10, Mounted("vfat", "EFI", "boot/efi")),
];
/// Ubuntu's since 24.04, whose `/boot` is a partition of its own.
const UBUNTU: &[Numbered] = &[
    numbered(1, DATA, 32, Root("ext4")),
    numbered(14, BIOS, 4, Grub),
    numbered(15, EFI, 10, Mounted("vfat", "UEFI", "boot/efi")),
    numbered(16, XBOOTLDR, 16, Mounted("ext4", "BOOT", "boot")),
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
            Mounted(..) => {}
        }
        let (one, seek) = (one.display(), at / MIB);
        shell(&format!(
            "dd if='{one}' of='{disk}' bs=1M seek={seek} conv=notrunc,sparse status=none"
        ));
        at += part.mib * MIB;
    }
}

/// Makes the file systems that are mounted, with a file on each, and seals the root with them in their places, `/boot` before
/// what lies beneath it.
fn seal(bench: &Bench, layout: &[Numbered]) {
    let mut mounted: Vec<_> = layout
        .iter()
        .filter_map(|part| match part.content {
            Mounted(kind, label, place) => Some((part, kind, label, place)),
            Root(_) | Grub => None,
        })
        .collect();
    mounted.sort_by_key(|(_, _, _, place)| place.len());
    let places: Vec<String> = mounted
        .iter()
        .map(|one| format!("\"/{}\"", one.3))
        .collect();
    let tree = format!("mounts = [{}]\n", places.join(", "));
    let disk = "\n[disk]\nignore = [{ region = \"bios-boot\", reason = \"GRUB's second stage: the firmware's, not the root's.\" }]\n";
    fs::write(bench.path("earmark.toml"), spec(&tree) + disk).unwrap();
    let root = bench.root();
    fs::create_dir_all(root.join("boot/efi")).unwrap();
    let mut fstab = String::new();
    for (part, kind, label, place) in &mounted {
        fstab += &format!("LABEL={label} /{place} {kind} defaults,umask=0077 0 1\n");
        let one = bench.path(&format!("{}.part", part.number));
        fs::File::create(&one)
            .unwrap()
            .set_len(part.mib * MIB)
            .unwrap();
        let one = one.display();
        let at = root.join(place);
        let at = at.display();
        let made = match *kind {
            "vfat" => format!("mkfs.vfat -n {label} '{one}'"),
            kind => format!("mke2fs -q -t {kind} -L {label} '{one}'"),
        };
        let options = if *kind == "vfat" { ",umask=0077" } else { "" };
        shell(&format!(
            "{made} > /dev/null; mount -o loop{options} '{one}' '{at}'; mkdir -p '{at}/efi'; echo {label} > '{at}/one'"
        ));
    }
    bench.write("etc/fstab", fstab.as_bytes());
    let sealed = bench.seal();
    for (_, _, _, place) in mounted.iter().rev() {
        shell(&format!("umount '{}'", root.join(place).display()));
    }
    sealed.must(0);
}

#[test]
fn privileged_disks_of_each_distribution_verify_raw_and_as_qcow2() {
    for (name, layout, file_systems) in [
        (
            "amazon-linux-2023",
            AMAZON_LINUX,
            ["partition 1 (xfs)", "partition 128 (vfat) at '/boot/efi'"],
        ),
        (
            "debian-13",
            DEBIAN,
            ["partition 1 (ext4)", "partition 15 (vfat) at '/boot/efi'"],
        ),
        (
            "ubuntu-24.04",
            UBUNTU,
            ["partition 1 (ext4)", "partition 16 (ext4) at '/boot'"],
        ),
    ] {
        let bench = sealed();
        seal(&bench, layout);
        let (good, bad) = (bench.path("good.raw"), bench.path("bad.raw"));
        write(&bench, layout, &good);
        // The control: one byte of a file of the EFI system partition.
        fs::copy(&good, &bad).unwrap();
        let bytes = fs::read(&bad).unwrap();
        let label: &[u8] = if name.starts_with("ubuntu") {
            b"UEFI\n"
        } else {
            b"EFI\n"
        };
        let sector = usize::try_from(SECTOR).unwrap();
        let at = bytes.chunks(sector).position(|one| one.starts_with(label));
        let at = u64::try_from(at.expect("the file")).unwrap() * SECTOR;
        let file = fs::File::options().write(true).open(&bad).unwrap();
        file.write_all_at(b"X", at).unwrap();
        for (good, bad) in [(good.clone(), bad.clone()), (qcow2(&good), qcow2(&bad))] {
            let verified = verify(&bench, &good, &[]).must(0);
            assert_eq!(verified.json()["verdict"], "verified", "{name}");
            for one in file_systems {
                assert!(
                    verified.err.contains(one),
                    "{name}: {one}: {}",
                    verified.err
                );
            }
            let violated = verify(&bench, &bad, &[]).must(10);
            assert_eq!(violated.violations(), ["content /boot/efi/one"], "{name}");
        }
    }
}
