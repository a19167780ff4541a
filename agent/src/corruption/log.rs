//! The kernel's log, as far as it tells of corrupted files.

use std::{
    collections::BTreeSet,
    fs::OpenOptions,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
};

use rustix::{fs::OFlags, io::Errno};
use serde::{Deserialize, Serialize};

/// A file that the kernel found corrupted, as it names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Corrupted {
    /// The file system's name in the log: that of its device.
    pub(super) device: String,
    pub(super) inode: u64,
}

/// A record of `/dev/kmsg` has at most 8 KiB, and one call returns one record.
const RECORD: usize = 8192;
/// More records than the largest buffer of a kernel holds.
const RECORDS: usize = 1 << 20;
/// Files that are told of; a root that has more is beyond help.
const FILES: usize = 1000;

/// Reads the log from the oldest record that there is, to its end.
pub(super) fn read() -> io::Result<BTreeSet<Corrupted>> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut log = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
        .open("/dev/kmsg")?;
    let mut found = BTreeSet::new();
    let mut buffer = [0; RECORD];
    for _ in 0..RECORDS {
        match log.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                let record = buffer.get(..count).unwrap_or_default();
                found.extend(parse(record).filter(|_| found.len() < FILES));
            }
            Err(error) => match error.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::AGAIN) => break,
                // The oldest one was overwritten meanwhile, and the next call goes on after the gap.
                Some(Errno::PIPE | Errno::INTR) => {}
                _ => return Err(error),
            },
        }
    }
    Ok(found)
}

/// `6,339,5140900,-;fs-verity (vda1, inode 1543): FILE CORRUPTED! …`.
///
/// Only the kernel's own words count. Whoever may write to `/dev/kmsg` is given another facility than 0 by the kernel
/// (`devkmsg_write`). A name of a process, which anybody chooses, begins lines of the kernel's as well: it has at most
/// 15 bytes, and `fs-verity (vda, inode ` is longer.
fn parse(record: &[u8]) -> Option<Corrupted> {
    let record = std::str::from_utf8(record).ok()?;
    let (head, text) = record.split_once(';')?;
    let priority: u32 = head.split(',').next()?.parse().ok()?;
    if priority >> 3 != 0 {
        return None;
    }
    let text = text.lines().next()?.strip_prefix("fs-verity (")?;
    let (place, rest) = text.split_once("): ")?;
    let (device, inode) = place.rsplit_once(", inode ")?;
    // Nothing but a name: a line that has another's text before this one would pass for the kernel's.
    let is_of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!".contains(&byte);
    if !rest.starts_with("FILE CORRUPTED!")
        || device.is_empty()
        || !device.bytes().all(is_of_a_name)
    {
        return None;
    }
    Some(Corrupted {
        device: device.to_owned(),
        inode: inode.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corrupted_file_is_told_by_the_kernels_own_records_alone() {
        let of = |record: &str| parse(record.as_bytes());
        let text = "fs-verity (nvme0n1p1, inode 1543): FILE CORRUPTED! index=3, level=-1";
        let found = Corrupted {
            device: "nvme0n1p1".to_owned(),
            inode: 1543,
        };
        // Linux 6.1 and later say it at the levels "err" and "alert".
        for priority in [3, 1] {
            let record = format!("{priority},339,5140900,-;{text}\n SUBSYSTEM=block\n");
            assert_eq!(of(&record), Some(found.clone()));
        }
        for record in [
            // A program that writes to /dev/kmsg: "user", "daemon".
            format!("11,339,5140900,-;{text}\n"),
            format!("27,339,5140900,-;{text}\n"),
            // A process of such a name.
            format!("6,339,5140900,-;fs-verity (vda[77]: segfault at 0 {text}\n"),
            // Another message of the same part of the kernel, and a second line.
            "3,339,5140900,-;fs-verity (vda, inode 282): Error -28 building Merkle tree\n"
                .to_owned(),
            format!("6,339,5140900,-;x\n{text}\n"),
            "3,1,1,-;fs-verity (, inode 1): FILE CORRUPTED!\n".to_owned(),
            "3,1,1,-;fs-verity (vda, inode -1): FILE CORRUPTED!\n".to_owned(),
            text.to_owned(),
            String::new(),
        ] {
            assert_eq!(of(&record), None, "{record}");
        }
    }
}
