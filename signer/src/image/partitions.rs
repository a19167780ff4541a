//! Partitions, and what they are for.

use std::fmt;

use earmark_scan::disk::table::{Entry, Table};

/// A part of a disk, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// As the table counts; 0 is the whole of a disk that has no table.
    pub number: u32,
    /// Offset of its first byte on the disk.
    pub start: u64,
    /// Length, in bytes.
    pub size: u64,
    /// Purpose, by its type in the table.
    pub purpose: Purpose,
    /// Its own id in the table, in lower case.
    pub uuid: String,
    /// Its name in the table.
    pub name: String,
}

/// Partition types of the discoverable partitions specification that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The root of a machine of any architecture.
    Root,
    /// `/boot`
    Boot,
    /// The EFI system partition.
    Efi,
    /// The partition for the code of GRUB on a BIOS.
    BiosBoot,
    /// Another that the boot code of a BIOS boots, since it is marked as active.
    Active,
    /// Whatever else.
    Other,
}

/// The partitions of a table.
pub fn of(table: &Table) -> Vec<Partition> {
    let partition = |entry: &Entry| Partition {
        number: entry.number,
        start: entry.start,
        size: entry.size,
        purpose: purpose(entry),
        uuid: entry.uuid.clone(),
        name: entry.name.clone(),
    };
    table.partitions.iter().map(partition).collect()
}

fn purpose(entry: &Entry) -> Purpose {
    let by_type = Purpose::of(&entry.kind);
    if by_type == Purpose::Other && entry.is_active {
        Purpose::Active
    } else {
        by_type
    }
}

impl Purpose {
    fn of(kind: &str) -> Self {
        match kind {
            // x86-64, aarch64
            "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709" | "B921B045-1DF0-41C3-AF44-4C6F280D3FAE" => {
                Self::Root
            }
            "BC13C2FF-59E6-4262-A352-B275FD6F7172" => Self::Boot,
            "C12A7328-F81F-11D2-BA4B-00A0C93EC93B" | "EF" => Self::Efi,
            "21686148-6449-6E6F-744E-656564454649" => Self::BiosBoot,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            0 => f.write_str("the whole disk"),
            number => write!(f, "partition {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purpose_of_a_partition_follows_from_its_type() {
        let entry = |number: u32, kind: &str| Entry {
            number,
            start: 512,
            size: 1024,
            kind: kind.to_owned(),
            uuid: "ab-cd".to_owned(),
            name: "esp".to_owned(),
            is_active: number > 15,
        };
        let table = Table {
            partitions: vec![
                entry(1, "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"),
                entry(14, "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"),
                entry(15, "21686148-6449-6E6F-744E-656564454649"),
                entry(16, "EF"),
                entry(17, "82"),
                entry(3, "82"),
            ],
            structures: Vec::new(),
        };
        let partitions = of(&table);
        let purposes: Vec<_> = partitions.iter().map(|one| one.purpose).collect();
        let expected = [
            Purpose::Efi,
            Purpose::Root,
            Purpose::BiosBoot,
            Purpose::Efi,
            Purpose::Active,
            Purpose::Other,
        ];
        assert_eq!(purposes, expected);
        assert_eq!((partitions[1].number, partitions[1].start), (14, 512));
        assert_eq!(
            (partitions[0].uuid.as_str(), partitions[0].name.as_str()),
            ("ab-cd", "esp")
        );
    }
}
