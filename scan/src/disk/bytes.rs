//! Bytes at offsets, from a source that is not trusted: the one way in which the parsers of disks read.

use std::{fmt, io};

/// A disk, or a part of one. Answers are the same each time.
pub trait Bytes: fmt::Debug + Send + Sync {
    /// Number of bytes.
    fn size(&self) -> u64;
    /// Fills `buffer` from `offset` on. An error, if that goes beyond the end.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

/// An error in what was read, such as "inode 12: its extents overlap".
pub fn bad(problem: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem.into())
}

/// Little-endian numbers of a structure. What lies beyond its end is 0, so that a check of the structure's
/// size is the caller's.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    /// `count` bytes from `at` on; none, if there are fewer.
    pub fn bytes(self, at: usize, count: usize) -> &'a [u8] {
        let end = at.saturating_add(count);
        self.0.get(at..end).unwrap_or_default()
    }

    /// A byte.
    pub fn u8(self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or_default()
    }

    /// Two bytes.
    pub fn u16(self, at: usize) -> u16 {
        u16::from_le_bytes([self.u8(at), self.u8(at.saturating_add(1))])
    }

    /// Four bytes.
    pub fn u32(self, at: usize) -> u32 {
        u32::from_le_bytes(std::array::from_fn(|i| self.u8(at.saturating_add(i))))
    }

    /// Eight bytes.
    pub fn u64(self, at: usize) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|i| self.u8(at.saturating_add(i))))
    }
}

/// CRC-32C without the inversion at its end, as ext4 and XFS chain it.
pub fn crc32c(mut crc: u32, bytes: &[u8]) -> u32 {
    for byte in bytes {
        let at = low(crc) ^ byte;
        crc = entry(&CASTAGNOLI, at) ^ (crc >> 8);
    }
    crc
}

fn low(crc: u32) -> u8 {
    let [low, ..] = crc.to_le_bytes();
    low
}

/// A table has an entry for each byte.
fn entry(table: &[u32; 256], at: u8) -> u32 {
    table.get(usize::from(at)).copied().unwrap_or_default()
}

static CASTAGNOLI: [u32; 256] = table(0x82f6_3b78);
static ETHERNET: [u32; 256] = table(0xedb8_8320);

/// CRC-32, as GPT has it.
pub fn crc32(bytes: &[u8]) -> u32 {
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        entry(&ETHERNET, low(crc) ^ byte) ^ (crc >> 8)
    });
    !crc
}

#[allow(
    clippy::indexing_slicing,
    reason = "computed by the compiler, which refuses an index beyond the end"
)]
const fn table(polynomial: u32) -> [u32; 256] {
    let mut table = [0; 256];
    let (mut at, mut first) = (0, 0_u32);
    while at < 256 {
        let (mut crc, mut bit) = (first, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ polynomial
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
        first += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_match_their_check_values() {
        assert_eq!(!crc32c(u32::MAX, b"123456789"), 0xe306_9283);
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn fields_beyond_the_end_are_zero() {
        let fields = Fields(&[1, 2, 3]);
        assert_eq!(
            (fields.u16(0), fields.u32(0), fields.u64(2)),
            (0x201, 0x0003_0201, 3)
        );
        assert_eq!(fields.u32(usize::MAX), 0);
        assert!(fields.bytes(2, 2).is_empty());
    }
}
