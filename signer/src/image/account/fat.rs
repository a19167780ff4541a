//! Reserved sectors of a FAT: the boot sector, which a BIOS runs of a partition that is active, and those behind it.

use std::io;

use earmark_scan::disk::bytes::{Bytes, Fields, bad};

use super::super::{disk::Disk, partitions::Partition};

/// Most bytes of reserved sectors that are read: 32 sectors are usual.
const MOST: u64 = 1 << 20;
/// Code that `mkfs.fat` writes, which prints a text and boots the next device. The third byte is the low half of
/// the text's address, which the kind of FAT decides.
const STUB: [u8; 29] = [
    0x0e, 0x1f, 0xbe, 0x77, 0x7c, 0xac, 0x22, 0xc0, 0x74, 0x0b, 0x56, 0xb4, 0x0e, 0xbb, 0x07, 0x00,
    0xcd, 0x10, 0x5e, 0xeb, 0xf0, 0x32, 0xe4, 0xcd, 0x16, 0xcd, 0x19, 0xeb, 0xfe,
];
const STUB_TEXT: &[u8] = b"This is not a bootable disk.  Please insert a bootable floppy and\r\n\
    press any key to try again ... \r\n";

/// Returns the bytes in the reserved sectors, and whether there is code in them.
pub(super) fn reserved(disk: &Disk, partition: &Partition) -> io::Result<(u64, bool)> {
    let mut boot = [0; 512];
    disk.read(partition.start, &mut boot)?;
    let sector = Fields(&boot).u16(11);
    let size = u64::from(sector).saturating_mul(Fields(&boot).u16(14).into());
    if sector < 512 || size == 0 || size > partition.size {
        return Err(bad("the boot sector of its FAT is invalid"));
    }
    if size > MOST {
        return Ok((size, true));
    }
    let mut raw = vec![0; usize::try_from(size).unwrap_or(0)];
    disk.read(partition.start, &mut raw)?;
    Ok((size, has_code(&raw, sector.into())))
}

/// Returns whether reserved sectors of `sector` bytes have more in them than `mkfs.fat` writes.
fn has_code(raw: &[u8], sector: usize) -> bool {
    let boot = raw.get(..sector).unwrap_or_default();
    let is_fat32 = Fields(boot).u16(22) == 0;
    let (info, backup) = if is_fat32 {
        (Fields(boot).u16(48), Fields(boot).u16(50))
    } else {
        (0, 0)
    };
    let (info, backup) = (usize::from(info), usize::from(backup));
    raw.chunks(sector).enumerate().any(|(number, found)| {
        let is_copied = |of: usize| of != 0 && backup != 0 && number == backup + of;
        let is_inert = match number {
            0 => is_inert_boot(found, is_fat32),
            // A copy that a repair would put in the place of the first: the same, but for the dirty bit.
            _ if number == backup => {
                let differs = found.iter().zip(boot).enumerate();
                is_fat32
                    && differs
                        .filter(|(_, (one, other))| one != other)
                        .all(|(at, _)| at == 65)
            }
            _ if number == info || is_copied(info) => is_zero(found) || is_info(found),
            _ => is_zero(found),
        };
        !is_inert
    })
}

fn is_inert_boot(sector: &[u8], is_fat32: bool) -> bool {
    let (jump, fields) = if is_fat32 { (0x58, 90) } else { (0x3c, 62) };
    let code = sector.get(fields..510).unwrap_or_default();
    let behind = sector.get(512..).unwrap_or_default();
    let starts = Fields(sector).bytes(0, 3);
    let is_jump = starts == [0xeb, jump, 0x90] || is_zero(starts);
    is_jump && (is_zero(code) || is_stub(code, fields)) && is_zero(behind)
}

fn is_stub(code: &[u8], fields: usize) -> bool {
    let mut stub = STUB;
    // The text behind the code, in a sector that a BIOS loads to 0x7c00.
    stub[3] = u8::try_from(fields + STUB.len()).unwrap_or(0);
    let rest = code.strip_prefix(&stub[..]);
    let rest = rest.and_then(|rest| rest.strip_prefix(STUB_TEXT));
    rest.is_some_and(is_zero)
}

/// The sector that counts free clusters.
fn is_info(sector: &[u8]) -> bool {
    sector.starts_with(b"RRaA")
        && is_zero(sector.get(4..484).unwrap_or_default())
        && Fields(sector).bytes(484, 4) == b"rrAa"
        && is_zero(sector.get(496..510).unwrap_or_default())
        && Fields(sector).bytes(510, 2) == [0x55, 0xaa]
        && is_zero(sector.get(512..).unwrap_or_default())
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reserved sectors of a FAT32, as `mkfs.fat -F 32` writes them.
    fn fat32() -> Vec<u8> {
        let mut raw = vec![0; 32 * 512];
        let mut put = |at: usize, bytes: &[u8]| raw[at..at + bytes.len()].copy_from_slice(bytes);
        for at in [0, 6 * 512] {
            put(at, &[0xeb, 0x58, 0x90]);
            put(at + 11, &[0, 2, 1, 32, 0, 2]);
            put(at + 48, &[1, 0, 6, 0]);
            put(at + 90, &STUB);
            put(at + 90 + STUB.len(), STUB_TEXT);
            put(at + 510, &[0x55, 0xaa]);
        }
        put(512, b"RRaA");
        put(512 + 484, b"rrAa\xff\xff\xff\xff");
        put(512 + 510, &[0x55, 0xaa]);
        raw
    }

    #[test]
    fn reserved_sectors_of_fat_with_more_than_mkfs_writes_have_code() {
        assert!(!has_code(&fat32(), 512));
        let mut without = fat32();
        for at in [90, 6 * 512 + 90] {
            without[at..at + 420].fill(0);
        }
        assert!(!has_code(&without, 512));
        // A driver marks what it mounted in one of the two copies.
        let mut dirty = fat32();
        dirty[65] = 1;
        assert!(!has_code(&dirty, 512));
        for (at, what) in [
            (1, "the jump"),
            (90, "the code"),
            (90 + 28, "the code's end"),
            (90 + 40, "the text"),
            (400, "behind the text"),
            (509, "before the signature"),
            (512 + 10, "the counts of free clusters"),
            (2 * 512, "a sector that is reserved"),
            (6 * 512 + 200, "the copy"),
            (31 * 512 + 511, "the last byte"),
        ] {
            let mut raw = fat32();
            raw[at] ^= 0x11;
            assert!(has_code(&raw, 512), "{what}");
        }
    }

    #[test]
    fn reserved_sectors_of_fat_are_as_many_as_its_boot_sector_says() {
        let reserved_of = |raw: &[u8]| {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("disk");
            std::fs::write(&path, [&[0; 4096], raw].concat()).unwrap();
            let partition = Partition {
                number: 1,
                start: 4096,
                size: u64::try_from(raw.len()).unwrap(),
                purpose: super::super::super::partitions::Purpose::Efi,
                uuid: String::new(),
                name: String::new(),
            };
            reserved(&Disk::open(&path).unwrap(), &partition)
        };
        let mut raw = [fat32(), vec![0xfa; 4096]].concat();
        assert_eq!(reserved_of(&raw).unwrap(), (32 * 512, false));
        raw[14] = 33;
        assert_eq!(reserved_of(&raw).unwrap(), (33 * 512, true));
        for (at, value) in [(14, 0), (15, 0xff), (12, 1)] {
            let mut raw = [fat32(), vec![0; 4096]].concat();
            raw[at] = value;
            assert!(reserved_of(&raw).is_err(), "{at}");
        }
    }

    #[test]
    fn boot_sector_of_fat16_is_inert_only_without_code() {
        let mut raw = vec![0; 512];
        raw[..3].copy_from_slice(&[0xeb, 0x3c, 0x90]);
        raw[11..16].copy_from_slice(&[0, 2, 4, 1, 0]);
        raw[22] = 8;
        raw[510..].copy_from_slice(&[0x55, 0xaa]);
        assert!(!has_code(&raw, 512));
        raw[62] = 0xfa;
        assert!(has_code(&raw, 512));
    }
}
