#![allow(
    clippy::cast_possible_truncation,
    reason = "small numbers of made-up disks"
)]

use super::{super::bytes::crc32, *};

#[derive(Debug)]
struct Disk(Vec<u8>);

impl Bytes for Disk {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let at = usize::try_from(offset).unwrap();
        let end = at
            .checked_add(buffer.len())
            .filter(|end| *end <= self.0.len());
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(&self.0[at..end]);
        Ok(())
    }
}

const SECTORS: usize = 4096;

/// A disk of 2 MiB with partitions of these first and last sectors.
fn gpt(partitions: &[(u64, u64)]) -> Vec<u8> {
    let mut disk = vec![0; SECTORS * 512];
    record(&mut disk, 0, PROTECTIVE, 1, SECTORS as u32 - 1);
    let mut entries = vec![0; 128 * 128];
    for (at, (first, last)) in partitions.iter().enumerate() {
        let entry = &mut entries[at * 128..][..128];
        entry[..16].copy_from_slice(&[0x11; 16]);
        entry[16..32].fill(at as u8);
        entry[32..40].copy_from_slice(&first.to_le_bytes());
        entry[40..48].copy_from_slice(&last.to_le_bytes());
        entry[56] = b'n';
    }
    put(&mut disk, &entries);
    disk
}

const PROTECTIVE: u8 = mbr::PROTECTIVE;

fn put(disk: &mut [u8], entries: &[u8]) {
    let last = SECTORS - 1;
    for (at, other, place) in [(1, last, 2), (last, 1, last - 32)] {
        let mut header = [0; 512];
        header[..8].copy_from_slice(b"EFI PART");
        header[8..16].copy_from_slice(&[0, 0, 1, 0, 92, 0, 0, 0]);
        for (field, value) in [
            (24, at),
            (32, other),
            (40, 34),
            (48, SECTORS - 34),
            (72, place),
        ] {
            header[field..field + 8].copy_from_slice(&(value as u64).to_le_bytes());
        }
        header[80] = 128;
        header[84] = 128;
        header[88..92].copy_from_slice(&crc32(entries).to_le_bytes());
        sign(&mut header);
        disk[at * 512..][..512].copy_from_slice(&header);
        disk[place * 512..][..entries.len()].copy_from_slice(entries);
    }
}

fn sign(header: &mut [u8]) {
    header[16..20].fill(0);
    let crc = crc32(&header[..92]);
    header[16..20].copy_from_slice(&crc.to_le_bytes());
}

fn record(disk: &mut [u8], at: usize, kind: u8, start: u32, size: u32) {
    disk[at + 510..at + 512].copy_from_slice(&[0x55, 0xaa]);
    let slot = (0..4)
        .find(|slot| disk[at + 446 + 16 * slot + 4] == 0)
        .unwrap();
    let entry = &mut disk[at + 446 + 16 * slot..][..16];
    entry[4] = kind;
    entry[8..12].copy_from_slice(&start.to_le_bytes());
    entry[12..16].copy_from_slice(&size.to_le_bytes());
}

fn numbers(disk: Vec<u8>) -> Vec<(u32, u64, u64)> {
    let table = read(&Disk(disk)).unwrap().unwrap();
    table
        .partitions
        .iter()
        .map(|one| (one.number, one.start / 512, one.size / 512))
        .collect()
}

#[track_caller]
fn refused(disk: Vec<u8>, why: &str) {
    let error = read(&Disk(disk)).unwrap_err().to_string();
    assert!(error.contains(why), "{error}");
}

#[test]
fn gpt_partitions_and_all_parts_of_the_table_are_found() {
    let table = read(&Disk(gpt(&[(40, 99), (200, 299)]))).unwrap().unwrap();
    assert_eq!(
        table.partitions[1],
        Entry {
            number: 2,
            start: 200 * 512,
            size: 100 * 512,
            kind: "11111111-1111-1111-1111-111111111111".to_owned(),
            uuid: "01010101-0101-0101-0101-010101010101".to_owned(),
            name: "n".to_owned(),
            is_active: false,
        }
    );
    let sectors = |at: u64, count: u64| (at * 512, count * 512);
    let expected = [
        (440, 72),
        sectors(1, 1),
        sectors(2, 32),
        sectors(4063, 32),
        sectors(4095, 1),
    ];
    assert_eq!(table.structures, expected);
    assert_eq!(read(&Disk(vec![0; 4096])).unwrap(), None);
    let mut disk = vec![0; SECTORS * 512];
    record(&mut disk, 0, 0x83, 10, 10);
    record(&mut disk, 0, 0x83, 20, 10);
    disk[446 + 16] = 0x80;
    let table = read(&Disk(disk)).unwrap().unwrap();
    let active: Vec<_> = table.partitions.iter().map(|one| one.is_active).collect();
    assert_eq!(active, [false, true]);
}

#[test]
fn damaged_or_ambiguous_gpt_is_refused() {
    let good = || gpt(&[(40, 99), (200, 299)]);
    assert_eq!(numbers(good()).len(), 2);
    let changed = |at: usize, value: u8| {
        let mut disk = good();
        disk[at] = value;
        disk
    };
    // Each copy, its checksum, what means nothing, and the protective record.
    refused(changed(512, 0), "GPT is damaged");
    refused(
        changed(512 + 60, 1),
        "primary header of its GPT does not match",
    );
    refused(changed(512 + 100, 1), "reserved bytes");
    refused(
        changed(4095 * 512, 0),
        "backup header of its GPT is damaged",
    );
    refused(changed(2 * 512 + 40, 1), "copies of its GPT differ");
    refused(changed(4063 * 512 + 40, 1), "copies of its GPT differ");
    refused(changed(450, 0), "does not protect it");
    let mut hybrid = good();
    record(&mut hybrid, 0, 0x83, 40, 60);
    refused(hybrid, "two tables");
    let mut both = good();
    both[4096..4104].copy_from_slice(b"EFI PART");
    refused(both, "sectors of 4096");
    // Both copies alike, and wrong.
    let both = |change: &dyn Fn(&mut [u8])| {
        let mut disk = good();
        let mut entries = disk[2 * 512..][..128 * 128].to_vec();
        change(&mut entries);
        put(&mut disk, &entries);
        disk
    };
    assert_eq!(numbers(both(&|_| ())).len(), 2);
    refused(
        both(&|entries| entries[300] = 1),
        "entry 3 of its GPT has reserved bytes",
    );
    refused(
        both(&|entries| entries[32] = 33),
        "outside of what its GPT allows",
    );
    refused(both(&|entries| entries[128 + 32] = 50), "overlaps");
    refused(
        both(&|entries| entries[40..48].copy_from_slice(&u64::MAX.to_le_bytes())),
        "outside",
    );
}

#[test]
fn truncated_disk_is_refused_and_grown_disk_is_accepted() {
    let good = gpt(&[(40, 99)]);
    for sectors in [SECTORS - 1, SECTORS / 2, 100] {
        refused(good[..sectors * 512].to_vec(), "truncated");
    }
    // A larger one is a volume that was made larger.
    let mut grown = good.clone();
    grown.resize(good.len() + 4096, 0);
    assert_eq!(numbers(grown).len(), 1);
    let mut mbr = vec![0; SECTORS * 512];
    record(&mut mbr, 0, 0x83, 2048, 2048);
    assert_eq!(numbers(mbr.clone()), [(1, 2048, 2048)]);
    mbr.truncate((SECTORS - 1) * 512);
    refused(mbr, "truncated");
}

#[test]
fn mbr_logical_partitions_are_read_and_looping_chain_is_refused() {
    let mut disk = vec![0; SECTORS * 512];
    record(&mut disk, 0, 0x83, 10, 10);
    record(&mut disk, 0, 0x05, 100, 1000);
    record(&mut disk, 100 * 512, 0x83, 1, 10);
    record(&mut disk, 100 * 512, 0x05, 50, 100);
    record(&mut disk, 150 * 512, 0x83, 1, 20);
    assert_eq!(
        numbers(disk.clone()),
        [(1, 10, 10), (5, 101, 10), (6, 151, 20)]
    );
    let mut coded = disk.clone();
    coded[100 * 512] = 0xeb;
    refused(coded, "code in it");
    // A chain that leads back.
    record(&mut disk, 150 * 512, 0x05, 0, 100);
    refused(disk, "chain");
}
