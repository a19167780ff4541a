//! The GUID partition table: both copies of it.

use std::io;

use super::{
    super::bytes::{Bytes, Fields, bad, crc32},
    BOOT_CODE, Entry, Table,
};

/// Attribute of a partition that the boot code of a hybrid MBR looks for.
const LEGACY_BOOT: u8 = 1 << 2;
const MAGIC: &[u8; 8] = b"EFI PART";
/// Bytes of a header that mean something.
const HEADER: usize = 92;
/// Partitions that a table has room for.
const ENTRIES: u32 = 1024;

/// A header, without its own place and its checksum.
#[derive(Debug, PartialEq, Eq)]
struct Header {
    first: u64,
    last: u64,
    disk: [u8; 16],
    count: u32,
    length: u32,
    entries_crc: u32,
}

/// The size of the sectors that a disk's GPT counts by; none, if it has none.
pub(super) fn sector_size(disk: &dyn Bytes) -> io::Result<Option<u64>> {
    let mut found = Vec::new();
    for sector in [512_u64, 4096] {
        let mut magic = [0; 8];
        if disk.size() >= sector * 2 {
            disk.read(sector, &mut magic)?;
            found.extend((magic == *MAGIC).then_some(sector));
        }
    }
    match found[..] {
        [_, _] => Err(bad(
            "duplicate GPT: it has one for sectors of 512 bytes, and one for sectors of 4096",
        )),
        _ => Ok(found.first().copied()),
    }
}

/// Reads the table.
pub(super) fn read(disk: &dyn Bytes, sector: u64) -> io::Result<Table> {
    let (primary, at, other) = header(disk, sector, 1, "primary")?;
    let end = other.checked_add(1).and_then(|end| end.checked_mul(sector));
    if end.is_none_or(|end| end > disk.size()) {
        return Err(bad(format!(
            "its GPT says that the disk ends in sector {other}, and it has {}: the image is \
             truncated",
            disk.size() / sector
        )));
    }
    let (backup, backup_at, back) = header(disk, sector, other, "backup")?;
    let size = primary.entries_size();
    let (mut entries, mut copy) = (vec![0; size], vec![0; size]);
    for (place, into) in [(at, &mut entries), (backup_at, &mut copy)] {
        let offset = place.checked_mul(sector);
        let offset = offset.ok_or_else(|| bad("the entries of its GPT lie beyond all bytes"))?;
        disk.read(offset, into).map_err(|_| {
            bad("the entries of its GPT lie beyond its end: the image is truncated")
        })?;
    }
    if primary != backup || back != 1 || entries != copy {
        return Err(bad("the two copies of its GPT differ"));
    }
    if crc32(&entries) != primary.entries_crc {
        return Err(bad("the checksum of the entries of its GPT does not match"));
    }
    let bytes = u64::try_from(size).unwrap_or(u64::MAX);
    Ok(Table {
        partitions: partitions(&primary, &entries, sector)?,
        structures: vec![
            (BOOT_CODE, 512 - BOOT_CODE),
            (sector, sector),
            (at.saturating_mul(sector), bytes),
            (backup_at.saturating_mul(sector), bytes),
            (other.saturating_mul(sector), sector),
        ],
    })
}

/// Reads a header, and returns where its entries and the other header are.
fn header(disk: &dyn Bytes, sector: u64, at: u64, which: &str) -> io::Result<(Header, u64, u64)> {
    let wrong = |problem: &str| bad(format!("the {which} header of its GPT {problem}"));
    let mut raw = vec![0; usize::try_from(sector).unwrap_or(512)];
    disk.read(at.saturating_mul(sector), &mut raw)?;
    let fields = Fields(&raw);
    if fields.bytes(0, 8) != MAGIC || fields.u32(8) != 0x1_0000 || fields.u32(12) != 92 {
        return Err(wrong("is damaged, or the image is truncated"));
    }
    let mut covered = fields.bytes(0, HEADER).to_vec();
    covered.get_mut(16..20).unwrap_or_default().fill(0);
    if crc32(&covered) != fields.u32(16) {
        return Err(wrong("does not match its checksum"));
    }
    let rest = raw.get(HEADER..).unwrap_or_default();
    if fields.u32(20) != 0 || rest.iter().any(|byte| *byte != 0) {
        return Err(wrong("has reserved bytes that are not zero"));
    }
    if fields.u64(24) != at {
        return Err(wrong("is for another position"));
    }
    let header = Header {
        first: fields.u64(40),
        last: fields.u64(48),
        disk: std::array::from_fn(|i| fields.u8(56 + i)),
        count: fields.u32(80),
        length: fields.u32(84),
        entries_crc: fields.u32(88),
    };
    if header.count > ENTRIES || !matches!(header.length, 128 | 256 | 512) {
        return Err(wrong("has an invalid number or size of entries"));
    }
    Ok((header, fields.u64(72), fields.u64(32)))
}

impl Header {
    fn entries_size(&self) -> usize {
        let size = u64::from(self.count) * u64::from(self.length);
        usize::try_from(size).unwrap_or(0)
    }
}

fn partitions(header: &Header, entries: &[u8], sector: u64) -> io::Result<Vec<Entry>> {
    let length = usize::try_from(header.length).unwrap_or(128);
    let mut partitions = Vec::new();
    for (number, raw) in (1_u32..).zip(entries.chunks_exact(length)) {
        let fields = Fields(raw);
        let (named, rest) = raw.split_at(128.min(raw.len()));
        let is_used = fields.bytes(0, 16).iter().any(|byte| *byte != 0);
        let meaningless = if is_used { rest } else { named };
        if meaningless.iter().chain(rest).any(|byte| *byte != 0) {
            return Err(bad(format!(
                "entry {number} of its GPT has reserved bytes that are not zero"
            )));
        }
        if !is_used {
            continue;
        }
        let (first, last) = (fields.u64(32), fields.u64(40));
        let is_inside = first >= header.first && last <= header.last && first <= last;
        let start = first.checked_mul(sector).filter(|_| is_inside);
        let size = last
            .checked_sub(first)
            .and_then(|size| (size + 1).checked_mul(sector));
        let (Some(start), Some(size)) = (start, size) else {
            return Err(bad(format!(
                "partition {number} lies outside of what its GPT allows"
            )));
        };
        let name: Vec<u16> = (0..36)
            .map(|at| fields.u16(56 + 2 * at))
            .take_while(|unit| *unit != 0)
            .collect();
        partitions.push(Entry {
            number,
            start,
            size,
            kind: guid(fields.bytes(0, 16)).to_ascii_uppercase(),
            uuid: guid(fields.bytes(16, 16)),
            name: String::from_utf16_lossy(&name),
            is_active: fields.u8(48) & LEGACY_BOOT != 0,
        });
    }
    Ok(partitions)
}

/// Three numbers of which the bytes are turned round, and eight bytes as they are.
fn guid(raw: &[u8]) -> String {
    let fields = Fields(raw);
    let byte = |at: usize| format!("{:02x}", fields.u8(at));
    let (middle, end) = (byte(8) + &byte(9), (10..16).map(byte).collect::<String>());
    format!(
        "{:08x}-{:04x}-{:04x}-{middle}-{end}",
        fields.u32(0),
        fields.u16(4),
        fields.u16(6)
    )
}
