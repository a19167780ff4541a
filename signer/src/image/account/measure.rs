//! Reads a range of a disk: whether it is empty, and its digest.

use std::io;

use earmark_manifest::{crypto::Sha256, digest::Sha256Digest};

use earmark_scan::disk::bytes::Bytes;

use super::super::disk::Disk;

/// Bytes that are hashed unasked, in all: more than all boot partitions of a disk have, and done in seconds.
pub const UNASKED: u64 = 4 << 30;
const PIECE: usize = 1 << 20;

/// Result of reading a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    pub is_zero: bool,
    /// None, if the range is empty or too large to be hashed unasked.
    pub sha256: Option<Sha256Digest>,
}

/// Reads a range. `is_asked` is for the digest of whatever is there; unasked, it is made of what is not empty, if
/// it has at most `left` bytes, which it is then taken from.
pub fn content(
    disk: &Disk,
    (start, size): (u64, u64),
    is_asked: bool,
    left: &mut u64,
) -> io::Result<Content> {
    let is_zero = is_zero(disk, start, size)?;
    let is_hashed = is_asked || !is_zero && size <= *left;
    if is_hashed && !is_asked {
        *left = left.saturating_sub(size);
    }
    let sha256 = is_hashed.then(|| hash(disk, start, size)).transpose()?;
    Ok(Content { is_zero, sha256 })
}

/// Holes are skipped: a disk of terabytes has few bytes in its file.
fn is_zero(disk: &Disk, start: u64, size: u64) -> io::Result<bool> {
    let end = start.saturating_add(size);
    let mut at = start;
    let mut buffer = vec![0; PIECE];
    while at < end {
        let Some((from, to)) = disk.data(at)? else {
            return Ok(true);
        };
        let (mut from, to) = (from.max(at), to.min(end));
        while from < to {
            let piece = piece(&mut buffer, to - from);
            disk.read(from, piece)?;
            if piece.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            from = from.saturating_add(length(piece));
        }
        at = to.max(from);
    }
    Ok(true)
}

fn hash(disk: &Disk, start: u64, size: u64) -> io::Result<Sha256Digest> {
    let (mut at, end) = (start, start.saturating_add(size));
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; PIECE]);
    while at < end {
        let piece = piece(&mut buffer, end - at);
        disk.read(at, piece)?;
        hasher.update(piece);
        at = at.saturating_add(length(piece));
    }
    Ok(hasher.finish())
}

fn piece(buffer: &mut [u8], left: u64) -> &mut [u8] {
    let count = usize::try_from(left)
        .unwrap_or(usize::MAX)
        .min(buffer.len());
    buffer.get_mut(..count).unwrap_or_default()
}

fn length(piece: &[u8]) -> u64 {
    u64::try_from(piece.len()).unwrap_or(u64::MAX)
}
