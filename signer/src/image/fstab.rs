//! Mount points of an image's partitions: as the image's own fstab has them, which a host goes by too.

use earmark_manifest::path::ImagePath;
use earmark_scan::{
    Root,
    disk::fstab::{FSTAB, FSTAB_BOUND, Line, parse},
};

use super::{
    partitions::Purpose,
    select::Volume,
    superblock::{Content, Kind},
};
use crate::{
    exit::{Exit, Exits, Failure, Outcome},
    inspect::source::layout_path,
    io::output::plain,
};

/// FAT has no owners and no modes: a host sees those that its mount options make up, and so must we.
const FAT_OPTIONS: [&str; 5] = ["umask", "dmask", "fmask", "uid", "gid"];

/// Mount point, the volume that is mounted there, and the mount options.
pub type Wanted<'a> = (ImagePath, &'a Volume, String);

/// Returns the volumes to mount on `mounts`, a directory before what lies beneath it.
pub fn wanted<'a>(
    root: &Root,
    mounts: &[ImagePath],
    volumes: &'a [Volume],
    taken: &Volume,
) -> Outcome<Vec<Wanted<'a>>> {
    let text = root
        .read_opt(&layout_path(FSTAB), FSTAB_BOUND)
        .exits(Exit::Undecided)?;
    let lines = parse(&String::from_utf8_lossy(&text.unwrap_or_default()));
    let mut mounts = mounts.to_vec();
    mounts.sort();
    let find = |target: ImagePath| {
        let line = lines.iter().find(|line| line.target == target);
        let matching: Vec<&Volume> = volumes
            .iter()
            .filter(|volume| *volume != taken)
            .filter(|volume| match line {
                Some(line) => is_named(volume, &line.source),
                None => Some(volume.partition.purpose) == usual_purpose(&target),
            })
            .collect();
        let [volume] = matching[..] else {
            return Err(not_one(&target, line, matching.len()));
        };
        let options = line.map(|line| fat_options(volume, &line.options));
        Ok((target, volume, options.unwrap_or_default()))
    };
    mounts.into_iter().map(find).collect()
}

fn not_one(target: &ImagePath, line: Option<&Line>, found: usize) -> Failure {
    let why = match line {
        Some(line) => format!(
            "'{}' in its fstab is {found} partitions",
            plain(&line.source)
        ),
        None => format!("its fstab does not name it, and {found} partitions are of its type"),
    };
    Failure::new(
        Exit::Undecided,
        format!("the image declares a file system at '{target}', and it is not clear which: {why}"),
    )
    .next("name it in /etc/fstab by UUID=, LABEL=, PARTUUID= or PARTLABEL=")
}

/// Returns the type of partition that the discoverable partitions specification mounts there.
fn usual_purpose(target: &ImagePath) -> Option<Purpose> {
    match target.as_bytes() {
        b"boot" => Some(Purpose::Boot),
        b"boot/efi" | b"efi" => Some(Purpose::Efi),
        _ => None,
    }
}

fn is_named(volume: &Volume, source: &str) -> bool {
    let Content::FileSystem(found) = &volume.content else {
        return false;
    };
    let by_link = source.strip_prefix("/dev/disk/by-");
    let (tag, value) = match (by_link, source.split_once('=')) {
        (Some(link), _) => link.split_once('/').unwrap_or_default(),
        (None, Some(pair)) => pair,
        (None, None) => return false,
    };
    let value = value.trim_matches('"');
    if value.is_empty() {
        return false;
    }
    match tag {
        "UUID" | "uuid" => found.uuid.eq_ignore_ascii_case(value),
        "LABEL" | "label" => found.label == value,
        "PARTUUID" | "partuuid" => volume.partition.uuid.eq_ignore_ascii_case(value),
        "PARTLABEL" | "partlabel" => volume.partition.name == value,
        _ => false,
    }
}

/// Those options that decide owners and modes, if they are numbers.
fn fat_options(volume: &Volume, options: &str) -> String {
    let is_fat = matches!(&volume.content, Content::FileSystem(found) if found.kind == Kind::Vfat);
    let kept = options.split(',').filter(|option| {
        let number = |value: &str| !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
        let pair = option.split_once('=');
        is_fat && pair.is_some_and(|(name, value)| FAT_OPTIONS.contains(&name) && number(value))
    });
    kept.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{partitions::Partition, superblock::FileSystem};

    fn volume(number: u32, purpose: Purpose, kind: Kind, uuid: &str, label: &str) -> Volume {
        Volume {
            partition: Partition {
                number,
                start: 0,
                size: 1,
                purpose,
                uuid: format!("part-{number}"),
                name: format!("name-{number}"),
            },
            content: Content::FileSystem(FileSystem {
                kind,
                uuid: uuid.to_owned(),
                label: label.to_owned(),
                size: 0,
            }),
        }
    }

    fn disk() -> Vec<Volume> {
        vec![
            volume(1, Purpose::Efi, Kind::Vfat, "1234-abcd", "UEFI"),
            volume(2, Purpose::Boot, Kind::Ext4, "b007", "BOOT"),
            volume(3, Purpose::Root, Kind::Xfs, "0007", "/"),
        ]
    }

    fn found(fstab: &str, mounts: &[&str]) -> Result<Vec<(String, u32, String)>, String> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("etc")).unwrap();
        std::fs::write(directory.path().join("etc/fstab"), fstab).unwrap();
        let root = Root::open(directory.path()).unwrap();
        let mounts: Vec<ImagePath> = mounts
            .iter()
            .map(|path| ImagePath::from_absolute(path.as_bytes()).unwrap())
            .collect();
        let disk = disk();
        let wanted = wanted(&root, &mounts, &disk, &disk[2]).map_err(|error| error.to_string())?;
        let each = wanted.into_iter().map(|(target, volume, options)| {
            (target.to_string(), volume.partition.number, options)
        });
        Ok(each.collect())
    }

    #[test]
    fn fstab_maps_mount_points_to_partitions_and_options() {
        let fstab = "# a comment\nLABEL=/ / xfs defaults 0 1\n\
            UUID=1234-ABCD /boot/efi vfat defaults,umask=0077,shortname=x,uid=root 0 1\n\
            PARTUUID=PART-2\t/boot ext4 ro,umask=0 0 2\n";
        let boot = ("/boot".to_owned(), 2, String::new());
        let efi = ("/boot/efi".to_owned(), 1, "umask=0077".to_owned());
        assert_eq!(
            found(fstab, &["/boot/efi", "/boot"]).unwrap(),
            [boot.clone(), efi]
        );
        for source in [
            "/dev/disk/by-label/BOOT",
            "LABEL=\"BOOT\"",
            "PARTLABEL=name-2",
        ] {
            let fstab = format!("{source} /boot ext4");
            assert_eq!(
                found(&fstab, &["/boot"]).unwrap(),
                std::slice::from_ref(&boot),
                "{source}"
            );
        }
    }

    #[test]
    fn missing_fstab_line_falls_back_to_partition_type() {
        let both = found("", &["/boot", "/boot/efi"]).unwrap();
        assert_eq!(both.iter().map(|one| one.1).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn ambiguous_or_unresolvable_fstab_source_is_refused() {
        for (fstab, path) in [
            ("/dev/nvme0n1p2 /boot ext4", "/boot"),
            ("UUID=none /boot ext4", "/boot"),
            // The root itself, a second time.
            ("UUID=0007 /boot xfs", "/boot"),
            ("LABEL= /boot ext4", "/boot"),
            ("", "/srv"),
        ] {
            let error = found(fstab, &[path]).unwrap_err();
            assert!(error.contains("not clear which"), "{error}");
        }
    }
}
