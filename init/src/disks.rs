//! Device of a name, as `root=` and fstab spell it, found without udev.
//!
//! Each block device of `/sys/class/block` is looked at: its first bytes for a UUID or label, the partition table of its disk
//! for a PARTUUID or PARTLABEL. Two devices of one name are refused: which of them is the root is not for the order
//! of their discovery to decide. Does not protect against a disk that is attached with the wanted name alone; what is on it is
//! judged.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use earmark_scan::disk::{
    bytes::Bytes,
    superblock::{self, Content, Label},
    table,
};

/// A block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Such as `/dev/nvme0n1p1`.
    pub path: PathBuf,
    /// Kernel's name of its file system, if it is one that is known.
    pub kind: Option<&'static str>,
}

/// A name of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    Path(PathBuf),
    Uuid(String),
    Label(String),
    PartUuid(String),
    PartLabel(String),
}

const SYSFS: &str = "/sys/class/block";
/// Pause between two looks, while the kernel still finds disks.
const PAUSE: Duration = Duration::from_millis(20);

/// Finds the device of a name, and waits for it: disks appear one after the other.
pub fn find(source: &str, wait: Duration) -> Result<Device, String> {
    let name = Name::parse(source)?;
    let end = Instant::now() + wait;
    loop {
        match of_name(&name)? {
            Some(device) => return Ok(device),
            None if Instant::now() >= end => {
                let devices = names().join(", ");
                return Err(format!(
                    "no disk is {} after {} seconds; there are: {devices}; next: add the modules of the disk's \
                     driver to the initrd, or mend the name",
                    source.escape_default(),
                    wait.as_secs()
                ));
            }
            None => std::thread::sleep(PAUSE),
        }
    }
}

impl Name {
    fn parse(text: &str) -> Result<Self, String> {
        let linked = text
            .strip_prefix("/dev/disk/by-")
            .and_then(|link| link.split_once('/'));
        let (tag, value) = match (linked, text.split_once('=')) {
            (Some(pair), _) => pair,
            (None, Some(pair)) if !text.starts_with('/') => pair,
            (None, _) if text.starts_with("/dev/") => return Ok(Self::Path(PathBuf::from(text))),
            (None, _) => ("", text),
        };
        let value = value.trim_matches('"').to_owned();
        match (tag, value.is_empty()) {
            ("UUID" | "uuid", false) => Ok(Self::Uuid(value)),
            ("LABEL" | "label", false) => Ok(Self::Label(value)),
            ("PARTUUID" | "partuuid", false) => Ok(Self::PartUuid(value)),
            ("PARTLABEL" | "partlabel", false) => Ok(Self::PartLabel(value)),
            _ => Err(format!(
                "expected UUID=, LABEL=, PARTUUID=, PARTLABEL= or a path in /dev as the name of a disk, found '{}'",
                text.escape_default()
            )),
        }
    }
}

/// Returns the one device of that name; `None` if there is none yet.
fn of_name(name: &Name) -> Result<Option<Device>, String> {
    let mut found = Vec::new();
    match name {
        Name::Path(path) => found.extend(path.exists().then(|| path.clone())),
        Name::Uuid(_) | Name::Label(_) => {
            for name_of_device in names() {
                let path = Path::new("/dev").join(name_of_device);
                // A device without a medium, for one.
                if probe(&path).is_ok_and(|content| is_named(&content, name)) {
                    found.push(path);
                }
            }
        }
        Name::PartUuid(value) => found = partitions(|one| one.uuid.eq_ignore_ascii_case(value)),
        Name::PartLabel(value) => found = partitions(|one| one.name == *value),
    }
    match found.as_slice() {
        [] => Ok(None),
        [path] => Ok(Some(Device {
            path: path.clone(),
            kind: probe(path).ok().as_ref().and_then(kind),
        })),
        many => {
            let many: Vec<String> = many.iter().map(|path| path.display().to_string()).collect();
            Err(format!(
                "{} are all {name:?}, and which of them is meant is not for this program to guess; next: detach the copy",
                many.join(" and ")
            ))
        }
    }
}

fn is_named(content: &Content, name: &Name) -> bool {
    let (uuid, label) = match content {
        Content::FileSystem(found) => (Some(&found.uuid), Some(&found.label)),
        Content::Other(other) => match &other.label {
            Label::Is(label) => (None, Some(label)),
            Label::None | Label::NotRead => (None, None),
        },
        Content::Unknown => (None, None),
    };
    match name {
        Name::Uuid(value) => uuid.is_some_and(|uuid| uuid.eq_ignore_ascii_case(value)),
        Name::Label(value) => label == Some(value),
        Name::Path(_) | Name::PartUuid(_) | Name::PartLabel(_) => false,
    }
}

fn kind(content: &Content) -> Option<&'static str> {
    match content {
        Content::FileSystem(found) => Some(found.kind.name()),
        Content::Other(_) | Content::Unknown => None,
    }
}

/// The block devices that the kernel knows, in the order of their names.
fn names() -> Vec<String> {
    let names = fs::read_dir(SYSFS).into_iter().flatten().flatten();
    let mut names: Vec<String> = names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with("loop") && !name.starts_with("ram"))
        .collect();
    names.sort();
    names
}

/// Looks at the first bytes of a device.
fn probe(path: &Path) -> io::Result<Content> {
    let disk = Disk::open(path)?;
    let size = usize::try_from(disk.size()).unwrap_or(usize::MAX);
    let mut bytes = vec![0; superblock::LOOKED_AT.min(size)];
    disk.read(0, &mut bytes)?;
    Ok(superblock::recognise(&bytes))
}

/// The partitions of all disks that are as `is_meant` says. A damaged table has none that could be meant.
fn partitions(is_meant: impl Fn(&table::Entry) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for disk in names() {
        let table = Disk::open(&Path::new("/dev").join(&disk)).and_then(|disk| table::read(&disk));
        let Ok(Some(table)) = table else { continue };
        for entry in table.partitions.iter().filter(|entry| is_meant(entry)) {
            found.extend(device_of(&disk, entry.number));
        }
    }
    found
}

/// The device of a partition: `sda1` of `sda`, `nvme0n1p1` of `nvme0n1`.
fn device_of(disk: &str, number: u32) -> Option<PathBuf> {
    let of_disk = Path::new(SYSFS).join(disk);
    fs::read_dir(of_disk).ok()?.flatten().find_map(|entry| {
        let text = fs::read_to_string(entry.path().join("partition")).ok()?;
        let is_it = text.trim().parse() == Ok(number);
        is_it.then(|| Path::new("/dev").join(entry.file_name()))
    })
}

/// A block device, read at offsets.
#[derive(Debug)]
struct Disk {
    file: File,
    size: u64,
}

impl Disk {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let size = rustix::fs::seek(&file, rustix::fs::SeekFrom::End(0))?;
        Ok(Self { file, size })
    }
}

impl Bytes for Disk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_disks_are_those_of_root_and_fstab() {
        for (text, expected) in [
            (
                "/dev/nvme0n1p1",
                Name::Path(PathBuf::from("/dev/nvme0n1p1")),
            ),
            ("UUID=1-a", Name::Uuid("1-a".to_owned())),
            ("LABEL=\"x\"", Name::Label("x".to_owned())),
            ("/dev/disk/by-label/x=y", Name::Label("x=y".to_owned())),
            ("PARTUUID=2", Name::PartUuid("2".to_owned())),
            ("PARTLABEL=root", Name::PartLabel("root".to_owned())),
        ] {
            assert_eq!(Name::parse(text), Ok(expected));
        }
        for bad in ["", "UUID=", "ZFS=x", "nfs:/x", "8:1", "/dev/disk/by-path/x"] {
            assert!(Name::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn file_system_is_found_by_uuid_or_label_alone() {
        let mut bytes = vec![0; superblock::LOOKED_AT];
        bytes[1024 + 0x38..][..2].copy_from_slice(&[0x53, 0xef]);
        bytes[1024 + 0x68..][..16].copy_from_slice(&[0xab; 16]);
        bytes[1024 + 0x78..][..4].copy_from_slice(b"root");
        let content = superblock::recognise(&bytes);
        assert_eq!(kind(&content), Some("ext4"));
        let uuid = "ABABABAB-abab-abab-abab-abababababab".to_owned();
        assert!(is_named(&content, &Name::Uuid(uuid)));
        assert!(is_named(&content, &Name::Label("root".to_owned())));
        for other in [
            Name::Uuid("abab".to_owned()),
            Name::Label("Root".to_owned()),
            Name::PartLabel("root".to_owned()),
        ] {
            assert!(!is_named(&content, &other), "{other:?}");
        }
    }
}
