//! Partition tables: MBR and GPT, read in this program and checked against themselves.
//!
//! A table is not signed, and a machine goes by it. So what two programs could read differently is refused: a
//! GPT whose copies differ, one beside partitions of an MBR, partitions that overlap. All bytes of the table
//! itself are accounted for: those that mean nothing must be zero.

mod gpt;
mod mbr;

use std::io;

use super::bytes::{Bytes, bad};

/// A partition table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// In the order of their numbers.
    pub partitions: Vec<Entry>,
    /// Start and size of all parts of the table itself.
    pub structures: Vec<(u64, u64)>,
}

/// A partition, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// As Linux counts.
    pub number: u32,
    /// Start.
    pub start: u64,
    /// Size.
    pub size: u64,
    /// The type: a UUID in upper case of a GPT, two hexadecimal digits of an MBR.
    pub kind: String,
    /// Its own UUID, in lower case.
    pub uuid: String,
    /// Its name.
    pub name: String,
    /// Marked as the one that a BIOS boots: active in an MBR, the attribute of that meaning in a GPT.
    pub is_active: bool,
}

/// Bytes at the start of an MBR that a BIOS runs. What follows is the disk's signature, and the table.
pub const BOOT_CODE: u64 = 440;
/// The unit of an MBR, and of all tables but those of disks with larger blocks.
const SECTOR: u64 = 512;

/// Reads the table of a disk; none, if it has none.
pub fn read(disk: &dyn Bytes) -> io::Result<Option<Table>> {
    let mut sector = [0; 512];
    if disk.size() < SECTOR {
        return Ok(None);
    }
    disk.read(0, &mut sector)?;
    let records = mbr::records(&sector);
    let gpt = gpt::sector_size(disk)?;
    let is_protective = records.iter().any(|record| record.kind == mbr::PROTECTIVE);
    let table = match (gpt, is_protective) {
        (None, true) => return Err(bad("its GPT is damaged, or the image is truncated")),
        (None, false) if records.is_empty() => return Ok(None),
        (None, false) => mbr::read(disk, &records)?,
        // Without the protective record, Linux does not look for a GPT, and other programs do.
        (Some(_), false) => return Err(bad("it has a GPT, and an MBR that does not protect it")),
        (Some(_), true) if records.len() > 1 => {
            return Err(bad(
                "it has a GPT and other partitions in its MBR, which are two tables",
            ));
        }
        (Some(sector), true) => gpt::read(disk, sector)?,
    };
    refuse_overlaps(&table, disk.size())?;
    Ok(Some(table))
}

/// Refuses parts that overlap: bytes of two partitions, or of one and the table, can be read as either.
fn refuse_overlaps(table: &Table, size: u64) -> io::Result<()> {
    let parts = table
        .partitions
        .iter()
        .map(|one| (one.start, one.size, format!("partition {}", one.number)));
    let structures = table.structures.iter();
    let structures =
        structures.map(|(start, size)| (*start, *size, "the partition table".to_owned()));
    let mut all: Vec<_> = parts.chain(structures).collect();
    all.sort();
    let mut previous = (0, String::new());
    for (start, length, name) in all {
        let end = start.checked_add(length).filter(|_| length > 0);
        let end =
            end.ok_or_else(|| bad(format!("{name} has no size, or lies beyond all bytes")))?;
        if end > size {
            return Err(bad(format!(
                "{name} ends at byte {end}, and the disk at {size}: the image is truncated"
            )));
        }
        if start < previous.0 {
            return Err(bad(format!("{name} overlaps {}", previous.1)));
        }
        previous = (end, name);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
