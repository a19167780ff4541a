//! The partition table, as `sfdisk` reads it.

use std::{ffi::OsStr, fmt, path::Path, time::Duration};

use anyhow::{Context, anyhow, bail};
use serde::Deserialize;

use super::disk::Disk;
use crate::{
    exit::{Exit, Exits, Outcome},
    output::plain,
    run::{self, Program},
};

const OUTPUT: u64 = 1024 * 1024;
const TIMEOUT: Duration = Duration::from_mins(1);

/// A part of a disk, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// As the table counts; 0 is the whole of a disk that has no table.
    pub number: u32,
    /// Where it begins.
    pub start: u64,
    /// How long it is.
    pub size: u64,
    /// What the table says that it is for.
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
    /// Whatever else.
    Other,
}

#[derive(Deserialize)]
struct Answer {
    partitiontable: Table,
}

#[derive(Deserialize)]
struct Table {
    label: String,
    #[serde(default = "usual")]
    sectorsize: u64,
    #[serde(default)]
    partitions: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    node: String,
    start: u64,
    size: u64,
    r#type: String,
    #[serde(default)]
    uuid: String,
    #[serde(default)]
    name: String,
}

fn usual() -> u64 {
    512
}

/// Reads the table; the error says why there is none that can be used.
pub fn read(disk: &Disk) -> Outcome<Vec<Partition>> {
    let path = disk.path();
    let arguments = [OsStr::new("--json"), path.as_os_str()];
    let json = run::need(Program::Sfdisk, &arguments, OUTPUT, TIMEOUT)?;
    parse(&json, &path)
        .context("failed to read the partition table")
        .exits(Exit::Undecided)
}

fn parse(json: &[u8], disk: &Path) -> anyhow::Result<Vec<Partition>> {
    let Answer {
        partitiontable: table,
    } = serde_json::from_slice(json)?;
    let is_gpt = table.label == "gpt";
    let bytes = |sectors: u64| {
        let bytes = sectors.checked_mul(table.sectorsize);
        bytes.ok_or_else(|| anyhow!("a partition lies beyond all bytes"))
    };
    // What protects a GPT from programs that do not know it. Seen alone, the GPT is not one.
    if !is_gpt && table.partitions.iter().any(|row| row.r#type == "ee") {
        bail!("its GPT is damaged, or the image is cut short");
    }
    let disk = disk.to_string_lossy();
    let mut partitions = Vec::new();
    for row in &table.partitions {
        // A container of others, whose own content is a table.
        if !is_gpt && matches!(row.r#type.as_str(), "5" | "f" | "85") {
            continue;
        }
        let number = row.node.strip_prefix(&*disk).unwrap_or_default();
        let number = number.trim_start_matches('p').parse();
        partitions.push(Partition {
            number: number.with_context(|| format!("no number in '{}'", plain(&row.node)))?,
            start: bytes(row.start)?,
            size: bytes(row.size)?,
            purpose: if is_gpt {
                Purpose::of(&row.r#type)
            } else {
                Purpose::Other
            },
            uuid: row.uuid.to_ascii_lowercase(),
            name: row.name.clone(),
        });
    }
    Ok(partitions)
}

impl Purpose {
    fn of(kind: &str) -> Self {
        match kind {
            // x86-64, aarch64
            "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709" | "B921B045-1DF0-41C3-AF44-4C6F280D3FAE" => {
                Self::Root
            }
            "BC13C2FF-59E6-4262-A352-B275FD6F7172" => Self::Boot,
            "C12A7328-F81F-11D2-BA4B-00A0C93EC93B" => Self::Efi,
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

    const DISK: &str = "/proc/7/fd/3";

    fn table(label: &str, rows: &str) -> anyhow::Result<Vec<Partition>> {
        let json = format!(
            r#"{{"partitiontable": {{"label": "{label}", "unit": "sectors", "partitions": [{rows}]}}}}"#
        );
        parse(json.as_bytes(), Path::new(DISK))
    }

    #[test]
    fn what_a_partition_is_for_is_its_type() {
        let partitions = table(
            "gpt",
            r#"{"node": "/proc/7/fd/3p1", "start": 2048, "size": 8, "name": "esp",
                "type": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "uuid": "AB-CD"},
               {"node": "/proc/7/fd/3p14", "start": 4096, "size": 16,
                "type": "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"}"#,
        )
        .unwrap();
        assert_eq!(partitions[0].purpose, Purpose::Efi);
        assert_eq!(
            (partitions[0].uuid.as_str(), partitions[0].name.as_str()),
            ("ab-cd", "esp")
        );
        assert_eq!(
            partitions[1],
            Partition {
                number: 14,
                start: 4096 * 512,
                size: 16 * 512,
                purpose: Purpose::Root,
                uuid: String::new(),
                name: String::new(),
            }
        );
    }

    #[test]
    fn a_container_of_others_is_no_partition() {
        let partitions = table(
            "dos",
            r#"{"node": "/proc/7/fd/3p1", "start": 1, "size": 1, "type": "83"},
               {"node": "/proc/7/fd/3p2", "start": 2, "size": 9, "type": "5"},
               {"node": "/proc/7/fd/3p5", "start": 3, "size": 1, "type": "83"}"#,
        );
        let numbers: Vec<u32> = partitions.unwrap().iter().map(|one| one.number).collect();
        assert_eq!(numbers, [1, 5]);
    }

    #[test]
    fn numbers_that_make_no_sense_are_refused() {
        let row = |node: &str, start: u64| {
            let row = format!(r#"{{"node": "{node}", "start": {start}, "size": 1, "type": "83"}}"#);
            table("dos", &row)
        };
        assert!(row("/proc/7/fd/3p1", 1).is_ok());
        assert!(row("/proc/7/fd/3p1", u64::MAX).is_err());
        assert!(row("/proc/7/fd/4p1", 1).is_err());
        assert!(table("dos", "7").is_err());
        let gpt = r#"{"node": "/proc/7/fd/3p1", "start": 1, "size": 1, "type": "ee"}"#;
        let error = table("dos", gpt).unwrap_err().to_string();
        assert!(error.contains("cut short"), "{error}");
    }
}
