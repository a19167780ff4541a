//! Choice of the part of a disk that is the root of the image.

use earmark_scan::disk::table::{self, Table};
use std::{fmt, io::ErrorKind, path::Path, sync::Arc};

use anyhow::Context;
use earmark_manifest::layout;
use earmark_scan::Root;

use earmark_scan::disk::bytes::Bytes;

use super::{
    disk::Disk,
    ext4::Ext4,
    mounts::{self, Mounted},
    namespace::Kernel,
    partitions::{self, Partition, Purpose},
    superblock::{self, Content, FileSystem, Kind, SWAP},
    tree::{self, Tree},
};
use crate::{
    exit::{Exit, Exits, Failure, Next, Outcome},
    inspect::source::layout_path,
};

/// A partition, and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Partition on the disk.
    pub partition: Partition,
    /// Content of the partition.
    pub content: Content,
}

impl Volume {
    /// Its file system; an error that says what it is instead, if it has none.
    pub fn file_system(&self) -> Outcome<&FileSystem> {
        let found = match &self.content {
            Content::FileSystem(found) => return Ok(found),
            Content::Other(other) => other.name,
            Content::Unknown => "an unknown format",
        };
        let partition = &self.partition;
        Err(Failure::new(
            Exit::Undecided,
            format!("{partition} holds {found}, and not ext4, XFS or FAT"),
        )
        .next("attach and mount the image yourself, read-only, and verify it with --root"))
    }

    /// Tells whether this program reads the file system itself.
    pub fn is_ext4(&self) -> bool {
        matches!(&self.content, Content::FileSystem(found) if found.kind == Kind::Ext4)
    }

    /// With what it holds, also if that is not a file system.
    pub fn described(&self) -> String {
        match &self.content {
            Content::Other(other) => format!("{} ({})", self.partition, other.name),
            Content::FileSystem(_) | Content::Unknown => self.to_string(),
        }
    }

    /// Returns whether it may hold a root: FAT has no owners and no modes.
    fn may_be_root(&self) -> bool {
        matches!(&self.content, Content::FileSystem(found) if found.kind != Kind::Vfat)
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.content {
            Content::FileSystem(found) => write!(f, "{} ({})", self.partition, found.kind.name()),
            Content::Other(_) | Content::Unknown => write!(f, "{}", self.partition),
        }
    }
}

/// The table of a disk, if it has one, and its partitions; of a disk without, the whole, if it is a file system.
pub fn volumes(disk: &Disk) -> Outcome<(Option<Table>, Vec<Volume>)> {
    let table = table::read(disk)
        .context("failed to read the partition table")
        .exits(Exit::Undecided)
        .or_next(|| BAD_TABLE.to_owned())?;
    let Some(table) = table else {
        let none = || {
            Failure::new(
                Exit::Undecided,
                "it has no partition table, and no file system",
            )
        };
        let volumes = whole(disk).ok_or_else(none);
        return Ok((None, volumes.or_next(|| NO_TABLE.to_owned())?));
    };
    let mut volumes = Vec::new();
    for partition in partitions::of(&table) {
        let content = superblock::probe(disk, &partition)
            .with_context(|| format!("failed to read {partition}"))
            .exits(Exit::Undecided)?;
        volumes.push(Volume { partition, content });
    }
    Ok((Some(table), volumes))
}

const BAD_TABLE: &str = "make the image again, or copy it again and compare the sizes; 'sgdisk --verify IMAGE' says more, and \
    mends a GPT whose copies differ";
const NO_TABLE: &str = "expected a raw or qcow2 image of a whole disk with a partition table, or of one file system: \
    'file IMAGE' says what it is";

fn whole(disk: &Disk) -> Option<Vec<Volume>> {
    let partition = Partition {
        number: 0,
        start: 0,
        size: disk.size(),
        purpose: Purpose::Other,
        uuid: String::new(),
        name: String::new(),
    };
    let content = superblock::probe(disk, &partition).ok()?;
    let is_one = matches!(content, Content::FileSystem(_));
    is_one.then(|| vec![Volume { partition, content }])
}

/// The one that is the root: it was named, or it is the only one that is a root by its type in the table or
/// that holds a seal. Two of these are an error, since a machine may boot the one that was not looked at.
pub fn root<'a>(
    disk: &Arc<Disk>,
    volumes: &'a [Volume],
    named: Option<u32>,
    kernel: &mut Kernel,
) -> Outcome<&'a Volume> {
    if let Some(number) = named {
        let found = volumes
            .iter()
            .find(|volume| volume.partition.number == number);
        return found.ok_or_else(|| {
            Failure::new(Exit::Usage, format!("partition {number} does not exist"))
                .next(format!("the image has {}", list(volumes.iter())))
        });
    }
    let mut candidates = Vec::new();
    for volume in volumes {
        let is_root = volume.partition.purpose == Purpose::Root;
        if is_root || volume.may_be_root() && has_seal(disk, volume, kernel)? {
            candidates.push(volume);
        }
    }
    match candidates[..] {
        [one] => Ok(one),
        [] => Err(no_root(volumes)),
        _ => Err(Failure::new(
            Exit::Undecided,
            format!(
                "more than one could be the root: {}",
                list(candidates.into_iter())
            ),
        )
        .next("say which it is: --partition N")),
    }
}

fn no_root(volumes: &[Volume]) -> Failure {
    let all = list(volumes.iter());
    // What cannot be looked into may well be where the root is.
    let closed = volumes.iter().find_map(|volume| match &volume.content {
        Content::Other(other) => (other.name != SWAP).then_some((volume, other.name)),
        Content::FileSystem(_) | Content::Unknown => None,
    });
    if let Some((volume, name)) = closed {
        let message =
            format!("no partition is a root: {volume} holds {name}, which is not read here");
        return Failure::new(Exit::Undecided, message)
            .next("attach and mount the image yourself, read-only, and verify it with --root");
    }
    Failure::new(
        Exit::Undecided,
        "no partition is a root by its type, or holds a seal",
    )
    .next(format!(
        "'earmark install' places a seal; --partition N names the root, of {all}"
    ))
}

fn has_seal(disk: &Arc<Disk>, volume: &Volume, kernel: &mut Kernel) -> Outcome<bool> {
    let manifest = layout_path(layout::MANIFEST);
    if volume.is_ext4() {
        let tree = Tree::new(open(disk, volume)?);
        let root = Root::of_source(Box::new(tree), Path::new("/")).exits(Exit::Undecided)?;
        return root.exists(&manifest).exits(Exit::Undecided);
    }
    // Dropped in the order that keeps nothing in it open when it goes.
    let at = kernel.at()?;
    let _mounted = Mounted::new(disk, volume, "", at)?;
    let root = Root::open(at).exits(Exit::Undecided)?;
    root.exists(&manifest).exits(Exit::Undecided)
}

/// Refuses a volume that this program reads itself, if what it does not read of it could write what it does.
pub fn refuse_shared(disk: &Arc<Disk>, volume: &Volume) -> Outcome<()> {
    let opened = open(disk, volume)?;
    opened.refuse_shared().map_err(|error| {
        let message = format!("failed to read {volume}: {error}");
        Failure::new(Exit::Undecided, message).next(READ_IT_YOURSELF)
    })
}

/// Opens a volume that this program reads itself.
pub fn open(disk: &Arc<Disk>, volume: &Volume) -> Outcome<Arc<Ext4>> {
    mounts::refuse_writers(disk)?;
    tree::open(disk, &volume.partition).map_err(|error| {
        let next = if error.kind() == ErrorKind::ResourceBusy {
            mounts::UNCLEAN
        } else {
            READ_IT_YOURSELF
        };
        let message = format!("failed to read {volume}: {error}");
        Failure::new(Exit::Undecided, message).next(next)
    })
}

const READ_IT_YOURSELF: &str = "'e2fsck -fn' on a copy says more; what this program does not read, attach and mount \
    yourself, read-only, where that may do no harm, and verify it with --root";

fn list<'a>(volumes: impl Iterator<Item = &'a Volume>) -> String {
    let names: Vec<String> = volumes.map(Volume::described).collect();
    if names.is_empty() {
        return "no partition".to_owned();
    }
    names.join(", ")
}
