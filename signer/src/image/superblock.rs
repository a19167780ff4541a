//! Content of a partition, by its first bytes, before the kernel is asked to read any of it.

use std::io;

pub use earmark_scan::disk::superblock::{Content, FileSystem, Kind, Label, SWAP};
use earmark_scan::disk::superblock::{LOOKED_AT, fat_size, recognise};

use earmark_scan::disk::bytes::{Bytes, Fields, bad, crc32c};

use super::{disk::Disk, partitions::Partition};

/// Looks at a partition.
pub fn probe(disk: &Disk, partition: &Partition) -> io::Result<Content> {
    let there = partition
        .size
        .min(disk.size().saturating_sub(partition.start));
    let there = usize::try_from(there).unwrap_or(usize::MAX).min(LOOKED_AT);
    let mut bytes = vec![0; LOOKED_AT];
    disk.read(partition.start, &mut bytes[..there])?;
    Ok(recognise(&bytes))
}

/// Looks at what the kernel is to read before it does: a superblock that no `mkfs` writes is not handed to it.
///
/// Protects against absurd sizes, features that this version does not know, and parts of the file system on other
/// devices. Does not protect against what lies deeper: the kernel's own reader does, or not.
pub fn screen(disk: &Disk, partition: &Partition, found: &FileSystem) -> io::Result<()> {
    let mut raw = vec![0; 4096];
    disk.read(partition.start, &mut raw)?;
    let size = partition.size;
    if found.size > size {
        let found = found.size;
        return Err(bad(format!(
            "its superblock says {found} bytes, and it has {size}: it is truncated"
        )));
    }
    match found.kind {
        // Its own reader does this, and more.
        Kind::Ext4 => Ok(()),
        Kind::Xfs => xfs(&raw),
        Kind::Vfat => fat(Fields(&raw)),
    }
}

fn xfs(raw: &[u8]) -> io::Result<()> {
    /// `ftype sparse_inodes meta_uuid bigtime nrext64 exchange parent`, and `finobt rmapbt reflink inobtcount`.
    const INCOMPATIBLE: u32 = 0x1 | 0x2 | 0x4 | 0x8 | 0x20 | 0x40 | 0x80;
    const READ_ONLY: u32 = 0x1 | 0x2 | 0x4 | 0x8;
    let fields = Fields(raw);
    let (long, number) = (
        |at| fields.u64(at).swap_bytes(),
        |at| fields.u32(at).swap_bytes(),
    );
    let (block, sector) = (number(4), usize::from(fields.u16(102).swap_bytes()));
    let groups = u64::from(number(84)).saturating_mul(number(88).into());
    let is_sane = (512..=65536).contains(&block)
        && block.is_power_of_two()
        && (512..=4096).contains(&sector)
        && sector.is_power_of_two()
        && number(84) >= 64
        && (1..=1 << 20).contains(&number(88))
        && (long(8)..=long(8).saturating_add(number(84).into())).contains(&groups)
        && fields.u8(126) == 0;
    let mut covered = raw.get(..sector).unwrap_or_default().to_vec();
    covered.get_mut(224..228).unwrap_or_default().fill(0);
    let problem = if !is_sane {
        "its superblock is invalid"
    } else if fields.u16(100).swap_bytes() & 0xf != 5 {
        "it is of an old version without checksums, which is not read here"
    } else if !crc32c(u32::MAX, &covered) != fields.u32(224) {
        "the checksum of its superblock does not match"
    } else if number(216) & !INCOMPATIBLE != 0 || number(212) & !READ_ONLY != 0 {
        "it has features that are not on the list"
    } else if long(48) == 0 || long(16) != 0 {
        "a part of it is on another device"
    } else {
        return Ok(());
    };
    Err(bad(problem))
}

fn fat(fields: Fields<'_>) -> io::Result<()> {
    let (sector, cluster, copies) = (fields.u16(11), fields.u8(13), fields.u8(16));
    let is_sane = matches!(sector, 512 | 1024 | 2048 | 4096)
        && cluster.is_power_of_two()
        && (1..=2).contains(&copies)
        && fields.u16(14) > 0
        && fat_size(fields) > 0;
    if is_sane {
        Ok(())
    } else {
        Err(bad("its boot sector is invalid"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xfs_superblock_with_invalid_field_or_checksum_is_refused() {
        let mut good = vec![0; 4096];
        for (at, bytes) in [
            (0, &b"XFSB"[..]),
            (4, &4096_u32.to_be_bytes()),
            (8, &8000_u64.to_be_bytes()),
            (48, &100_u64.to_be_bytes()),
            (84, &2000_u32.to_be_bytes()),
            (88, &4_u32.to_be_bytes()),
            (100, &[0xb4, 0xb5, 2, 0]),
            (216, &[0, 0, 0, 3]),
        ] {
            good[at..at + bytes.len()].copy_from_slice(bytes);
        }
        let checked = |change: &dyn Fn(&mut [u8])| {
            let mut raw = good.clone();
            change(&mut raw);
            let crc = !crc32c(u32::MAX, &raw[..512]);
            raw[224..228].copy_from_slice(&crc.to_le_bytes());
            xfs(&raw).map_err(|error| error.to_string())
        };
        checked(&|_| ()).unwrap();
        for (at, value, why) in [
            (91, 200, "is invalid"),
            (6, 1, "is invalid"),
            (126, 1, "is invalid"),
            (101, 4, "old version"),
            (219, 0x13, "features"),
            (55, 0, "another device"),
            (23, 1, "another device"),
        ] {
            let said = checked(&|raw| raw[at] = value).unwrap_err();
            assert!(said.contains(why), "{at}: {said}");
        }
        assert!(xfs(&good).unwrap_err().to_string().contains("checksum"));
    }
}
