//! Which part of a disk is the root of the image.

use std::{fmt, path::Path};

use anyhow::Context;
use earmark_manifest::layout;
use earmark_scan::Root;

use super::{
    disk::Disk,
    mounts::Mounted,
    partitions::{self, Partition, Purpose},
    superblock::{self, Content, FileSystem, Kind},
};
use crate::{
    exit::{Exit, Exits, Failure, Next, Outcome},
    output,
    source::layout_path,
};

/// A partition, and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Where.
    pub partition: Partition,
    /// What.
    pub content: Content,
}

impl Volume {
    /// Its file system; an error that says what it is instead, if it has none.
    pub fn file_system(&self) -> Outcome<&FileSystem> {
        let found = match &self.content {
            Content::FileSystem(found) => return Ok(found),
            Content::Other(name) => *name,
            Content::Unknown => "nothing that is known here",
        };
        let partition = &self.partition;
        Err(Failure::new(
            Exit::Undecided,
            format!("{partition} holds {found}, and not ext4, XFS or FAT"),
        )
        .next("attach and mount the image yourself, read-only, and verify it with --root"))
    }

    /// Whether it may hold a root: FAT has no owners and no modes.
    fn may_be_root(&self) -> bool {
        matches!(&self.content, Content::FileSystem(found) if found.kind != Kind::Vfat)
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.content {
            Content::FileSystem(found) => write!(f, "{} ({})", self.partition, found.kind.name()),
            _ => write!(f, "{}", self.partition),
        }
    }
}

/// The parts of a disk; of one without a partition table, the whole, if it is a file system.
pub fn volumes(disk: &Disk) -> Outcome<Vec<Volume>> {
    let partitions = match partitions::read(disk) {
        Ok(partitions) => partitions,
        Err(failure) => return whole(disk).ok_or(failure).or_next(|| NO_TABLE.to_owned()),
    };
    let mut volumes = Vec::new();
    for partition in partitions {
        let end = partition.start.saturating_add(partition.size);
        if end > disk.size() {
            return Err(Failure::new(
                Exit::Undecided,
                format!(
                    "{partition} ends at {}, and the disk at {}: the image is cut short",
                    output::thousands(end),
                    output::thousands(disk.size())
                ),
            )
            .next("make it again, or copy it again, and compare the sizes"));
        }
        let content = superblock::probe(disk, &partition)
            .with_context(|| format!("failed to read {partition}"))
            .exits(Exit::Undecided)?;
        volumes.push(Volume { partition, content });
    }
    Ok(volumes)
}

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
    disk: &Disk,
    volumes: &'a [Volume],
    named: Option<u32>,
    at: &Path,
) -> Outcome<&'a Volume> {
    if let Some(number) = named {
        let found = volumes
            .iter()
            .find(|volume| volume.partition.number == number);
        return found.ok_or_else(|| {
            Failure::new(Exit::Usage, format!("there is no partition {number}"))
                .next(format!("the image has {}", list(volumes.iter())))
        });
    }
    let mut candidates = Vec::new();
    for volume in volumes {
        let is_root = volume.partition.purpose == Purpose::Root;
        if is_root || volume.may_be_root() && has_seal(disk, volume, at)? {
            candidates.push(volume);
        }
    }
    match candidates[..] {
        [one] => Ok(one),
        [] => Err(Failure::new(
            Exit::Undecided,
            "no partition is a root by its type, or holds a seal",
        )
        .next(format!(
            "'earmark install' places a seal; --partition N names the root, of {}",
            list(volumes.iter())
        ))),
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

fn has_seal(disk: &Disk, volume: &Volume, at: &Path) -> Outcome<bool> {
    // Dropped in the order that keeps nothing in it open when it goes.
    let _mounted = Mounted::new(disk, volume, "", at)?;
    let root = Root::open(at).exits(Exit::Undecided)?;
    root.exists(&layout_path(layout::MANIFEST))
        .exits(Exit::Undecided)
}

fn list<'a>(volumes: impl Iterator<Item = &'a Volume>) -> String {
    let names: Vec<String> = volumes.map(ToString::to_string).collect();
    if names.is_empty() {
        return "no partition".to_owned();
    }
    names.join(", ")
}
