//! Partitions that a machine could take for the root, since they have an id or a label of its own.
//!
//! Ids are searched as bytes in places that superblocks lie in, so that a kind that this program does not know has
//! no twin either. Labels are only compared where the kind is known: short words are in all kinds of bytes.

use std::io;

use anyhow::Context;

use earmark_scan::disk::bytes::{Bytes, Fields};

use super::{
    disk::Disk,
    partitions::Partition,
    select::Volume,
    superblock::{Content, FileSystem, Kind, Label},
};
use crate::exit::{Exit, Exits, Failure, Outcome};

/// Bytes at both ends of a partition that superblocks lie in, and their copies.
const ENDS: u64 = 1 << 20;

/// Refuses a partition that has the UUID or the label of the root.
pub fn refuse(disk: &Disk, volumes: &[Volume], taken: &Volume) -> Outcome<()> {
    let Content::FileSystem(root) = &taken.content else {
        return Ok(());
    };
    for volume in volumes.iter().filter(|volume| *volume != taken) {
        let shared = shared(disk, volume, taken, root)
            .with_context(|| format!("failed to read {volume} of the image"))
            .exits(Exit::Undecided)?;
        if let Some(shared) = shared {
            let message = format!("{volume} {shared} the root, {taken}: a machine may boot either");
            return Err(Failure::new(Exit::Undecided, message)
                .next("remove one of them, or give it an id of its own"));
        }
    }
    Ok(())
}

/// Describes what a partition has in common with the root.
fn shared(
    disk: &Disk,
    volume: &Volume,
    taken: &Volume,
    root: &FileSystem,
) -> io::Result<Option<&'static str>> {
    const UUID: &str = "has the same UUID as";
    const LABEL: &str = "has the same label as";
    let is_same = |one: &str, other: &str| !one.is_empty() && one == other;
    let (found, own) = (&volume.partition, &taken.partition);
    if is_same(&found.uuid, &own.uuid) {
        return Ok(Some("has the same UUID in the table as"));
    }
    match &volume.content {
        Content::FileSystem(other) if is_same(&other.uuid, &root.uuid) => return Ok(Some(UUID)),
        Content::FileSystem(other) if is_same(&other.label, &root.label) => return Ok(Some(LABEL)),
        Content::Other(other) => match &other.label {
            Label::Is(label) if is_same(label, &root.label) => return Ok(Some(LABEL)),
            Label::NotRead if !root.label.is_empty() => {
                return Ok(Some(
                    "has a label that is not read here, which may be that of",
                ));
            }
            Label::Is(_) | Label::NotRead | Label::None => {}
        },
        Content::FileSystem(_) | Content::Unknown => {}
    }
    match &volume.content {
        // Their UUID was read, and that of another may be in a journal that lies there.
        Content::FileSystem(other) if other.kind != Kind::Vfat => Ok(None),
        Content::FileSystem(_) if has_volume_entry(disk, found, &root.label)? => Ok(Some(LABEL)),
        Content::FileSystem(_) | Content::Other(_) | Content::Unknown => {
            Ok(has_uuid(disk, found, &root.uuid)?.then_some(UUID))
        }
    }
}

/// Returns whether the bytes of a UUID are at either end of a partition: as all superblocks have them, in the
/// order of Microsoft's, or as the text that LUKS has at its beginning.
fn has_uuid(disk: &Disk, partition: &Partition, uuid: &str) -> io::Result<bool> {
    const LUKS: usize = 4096;
    let digits: Vec<u8> = uuid.bytes().filter(|byte| *byte != b'-').collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let raw: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    let Some(raw) = raw.filter(|raw| raw.len() == 16 && raw.iter().any(|byte| *byte != 0)) else {
        return Ok(false);
    };
    let mut mixed = raw.clone();
    for field in [0..4, 4..6, 6..8] {
        mixed[field].reverse();
    }
    let there = partition
        .size
        .min(disk.size().saturating_sub(partition.start));
    let count = there.min(ENDS);
    let mut buffer = vec![0; usize::try_from(count).unwrap_or(0)];
    for at in [0, there - count] {
        disk.read(partition.start.saturating_add(at), &mut buffer)?;
        let is_there = |id: &[u8]| {
            let mut windows = buffer.windows(16);
            windows.any(|window| window[0] == id[0] && window == id)
        };
        if is_there(&raw) || is_there(&mixed) {
            return Ok(true);
        }
        let head = buffer.get(..LUKS.min(buffer.len())).unwrap_or_default();
        let mut texts = head.windows(uuid.len());
        if at == 0 && texts.any(|text| text.eq_ignore_ascii_case(uuid.as_bytes())) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns whether the root directory of a FAT has the label, which counts more than that of its boot sector.
fn has_volume_entry(disk: &Disk, partition: &Partition, label: &str) -> io::Result<bool> {
    const ENTRIES: u64 = 64 * 1024;
    const KIND: u8 = 0x08;
    let mut boot = [0; 512];
    disk.read(partition.start, &mut boot)?;
    let fields = Fields(&boot);
    let table = match fields.u16(22) {
        0 => fields.u32(36),
        short => short.into(),
    };
    let root = if fields.u16(22) == 0 {
        fields.u32(44)
    } else {
        2
    };
    let tables = u64::from(fields.u8(16)).saturating_mul(table.into());
    let clusters = u64::from(root.saturating_sub(2)).saturating_mul(fields.u8(13).into());
    let sectors = u64::from(fields.u16(14))
        .saturating_add(tables)
        .saturating_add(clusters);
    let at = sectors.saturating_mul(fields.u16(11).into());
    let count = partition.size.saturating_sub(at).min(ENTRIES);
    let mut entries = vec![0; usize::try_from(count).unwrap_or(0)];
    if label.is_empty() || entries.is_empty() {
        return Ok(false);
    }
    disk.read(partition.start.saturating_add(at), &mut entries)?;
    Ok(entries.chunks_exact(32).any(|entry| {
        let name = entry[..11].trim_ascii_end();
        // Neither a part of a long name, nor a directory.
        entry[11] & 0x1f == KIND && name == label.as_bytes()
    }))
}

#[cfg(test)]
#[path = "twins/tests.rs"]
mod tests;
