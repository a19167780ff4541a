//! The MBR, and the chain of tables in an extended partition.

use std::io;

use super::{
    super::bytes::{Bytes, Fields, bad},
    BOOT_CODE, Entry, SECTOR, Table,
};

/// The type that keeps programs which know no GPT away from one.
pub(super) const PROTECTIVE: u8 = 0xee;
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];
/// Partitions in an extended one.
const LOGICAL: u32 = 60;

/// A record of a table that is in use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    slot: u32,
    pub(super) kind: u8,
    is_active: bool,
    start: u64,
    size: u64,
}

/// The records of a sector; none, if it is not an MBR. The first sector of a file system can end as one does.
pub(super) fn records(sector: &[u8; 512]) -> Vec<Record> {
    let fields = Fields(sector);
    let slots = (0..4_u32).map(|slot| (slot, 446 + 16 * usize::try_from(slot).unwrap_or(0)));
    let is_table = fields.u16(510) == 0xaa55
        && slots
            .clone()
            .all(|(_, at)| matches!(fields.u8(at), 0 | 0x80));
    let record = |(slot, at): (u32, usize)| Record {
        slot,
        kind: fields.u8(at + 4),
        is_active: fields.u8(at) == 0x80,
        start: u64::from(fields.u32(at + 8)) * SECTOR,
        size: u64::from(fields.u32(at + 12)) * SECTOR,
    };
    let records = slots
        .map(record)
        .filter(|record| is_table && record.kind != 0 && record.size != 0);
    records.collect()
}

/// The partitions of an MBR.
pub(super) fn read(disk: &dyn Bytes, records: &[Record]) -> io::Result<Table> {
    let mut identity = [0; 4];
    disk.read(BOOT_CODE, &mut identity)?;
    let identity = u32::from_le_bytes(identity);
    let mut table = Table {
        structures: vec![(BOOT_CODE, SECTOR - BOOT_CODE)],
        ..Table::default()
    };
    let entry = |number: u32, record: &Record, start: u64| Entry {
        number,
        start,
        size: record.size,
        kind: format!("{:02X}", record.kind),
        // As Linux makes it up.
        uuid: format!("{identity:08x}-{number:02x}"),
        name: String::new(),
        is_active: record.is_active,
    };
    let mut extended = None;
    for record in records {
        if !EXTENDED.contains(&record.kind) {
            table
                .partitions
                .push(entry(record.slot + 1, record, record.start));
        } else if extended.replace(*record).is_some() {
            return Err(bad("it has two extended partitions"));
        }
    }
    let Some(extended) = extended else {
        return Ok(table);
    };
    let (mut at, mut number) = (extended.start, 5);
    loop {
        let mut sector = [0; 512];
        disk.read(at, &mut sector).map_err(|_| {
            bad("its extended partition lies beyond its end: the image is truncated")
        })?;
        // All of it, also the code that nothing runs.
        table.structures.push((at, SECTOR));
        if sector
            .get(..446)
            .is_some_and(|code| code.iter().any(|byte| *byte != 0))
        {
            return Err(bad("a table in its extended partition has code in it"));
        }
        let mut next = None;
        for record in self::records(&sector) {
            if EXTENDED.contains(&record.kind) {
                next = extended.start.checked_add(record.start);
            } else {
                table
                    .partitions
                    .push(entry(number, &record, at.saturating_add(record.start)));
                number += 1;
            }
        }
        match next {
            // Each is behind the one before it, so that the chain ends.
            Some(next) if next > at && next < extended.start.saturating_add(extended.size) => {
                at = next;
            }
            Some(_) => return Err(bad("the chain of its extended partition is invalid")),
            None => return Ok(table),
        }
        if number > 4 + LOGICAL {
            return Err(bad("its extended partition has too many partitions"));
        }
    }
}
