//! Ranges of a partition: one that is a part of the root, and any other.

use std::io;

use earmark_scan::verify::Verdict;

use super::{
    super::{
        disk::Disk,
        partitions::{Partition, Purpose},
        select::Volume,
        superblock::Kind,
    },
    Range, Status, fat,
};

/// A superblock of ext4 leaves as much for a boot loader.
const EXT4_BOOT: u64 = 1024;

/// A partition that is a part of the root: what its file system has, and what it leaves at both ends.
pub(super) fn used(
    disk: &Disk,
    volume: &Volume,
    at: &str,
    verdict: Verdict,
) -> io::Result<Vec<Range>> {
    let Partition {
        start,
        size,
        number,
        ..
    } = volume.partition;
    let end = start.saturating_add(size);
    let found = volume.file_system().ok();
    let claimed = found.map_or(size, |found| found.size.min(size));
    let (boot, has_code) = match found.map(|found| found.kind) {
        Some(Kind::Ext4) => (EXT4_BOOT, true),
        Some(Kind::Vfat) => fat::reserved(disk, &volume.partition)?,
        // Its superblock is the first sector, and its kernel checks it.
        Some(Kind::Xfs) | None => (0, false),
    };
    let content = start.saturating_add(boot).min(end);
    let slack = start.saturating_add(claimed).clamp(content, end);
    let status = if verdict == Verdict::Verified {
        Status::Verified
    } else {
        Status::Compared
    };
    let what = format!("boot sector of {volume}");
    let mut ranges = vec![
        if has_code {
            Range::open(start, content, what, &["boot-sector"])
        } else {
            Range::new(start, content, what, Status::Read)
        },
        Range::new(content, slack, format!("{volume}, at '{at}'"), status),
        Range::open(
            slack,
            end,
            format!("{volume}, behind its file system"),
            &["slack"],
        ),
    ];
    for range in &mut ranges {
        range.partition = Some(number);
    }
    Ok(ranges)
}

/// A partition that is no part of the root. A number stands for a partition whose bytes nothing runs: it has no
/// partition ignored that a machine boots from, since whoever makes a disk chooses the types in its table.
pub(super) fn unused(volume: &Volume) -> Range {
    let Partition {
        start,
        size,
        number,
        ..
    } = volume.partition;
    let by_number = format!("partition-{number}");
    let (purpose, regions) = match volume.partition.purpose {
        Purpose::BiosBoot => (", the BIOS boot partition", vec!["bios-boot"]),
        Purpose::Efi => (", the EFI system partition", vec!["esp"]),
        Purpose::Boot => (", the extended boot loader partition", vec![]),
        Purpose::Active => (", the active partition", vec![]),
        Purpose::Root | Purpose::Other => ("", vec![by_number.as_str()]),
    };
    let what = format!("{}{purpose}", volume.described());
    let range = Range::open(start, start.saturating_add(size), what, &regions);
    let is_by_number = range.regions.contains(&by_number);
    Range {
        partition: Some(number),
        expected_as: (!is_by_number).then_some(by_number),
        ..range
    }
}

#[cfg(test)]
mod tests {
    use super::{super::super::superblock::Content, *};

    #[test]
    fn number_ignores_only_a_partition_that_nothing_boots_from() {
        let names = |purpose: Purpose| {
            let partition = Partition {
                number: 3,
                start: 512,
                size: 1024,
                purpose,
                uuid: String::new(),
                name: String::new(),
            };
            let range = unused(&Volume {
                partition,
                content: Content::Unknown,
            });
            for name in range.regions.iter().chain(&range.expected_as) {
                assert!(range.may_be_expected_as(&name.parse().unwrap()), "{name}");
            }
            assert!(range.may_be_expected_as(&"partition-3".parse().unwrap()));
            assert!(!range.may_be_expected_as(&"partition-4".parse().unwrap()));
            range.regions
        };
        assert_eq!(names(Purpose::Other), ["partition-3"]);
        assert_eq!(names(Purpose::Efi), ["esp"]);
        assert_eq!(names(Purpose::BiosBoot), ["bios-boot"]);
        assert!(names(Purpose::Boot).is_empty());
        assert!(names(Purpose::Active).is_empty());
    }
}
