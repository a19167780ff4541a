//! Both digests of a file, from one read of it.

use earmark_manifest::{
    crypto::Sha256,
    digest::{Sha256Digest, VerityDigest},
    fsverity::{self, VerityHasher},
};

use super::{BUFFER, Opened, Reader, Sought};
use crate::{
    Doubt,
    sha256::{Sha256Pair, State},
};

/// Reads the file and hashes it as a whole and by the blocks of fs-verity: two streams over the same
/// bytes, side by side where the processor can.
pub(crate) fn both(
    reader: &Reader<'_>,
    sought: Sought<'_>,
    opened: &mut Opened,
    buffer: &mut Vec<u8>,
) -> Result<(Sha256Digest, VerityDigest), Doubt> {
    buffer.resize(BUFFER, 0);
    match Sha256Pair::detect() {
        Some(pair) => side_by_side(pair, reader, sought, opened, buffer),
        None => in_turn(reader, sought, opened, buffer),
    }
}

/// The content of a file of `size` bytes that [`both`] read: what is still in its buffer, if that took all of it.
pub(crate) fn content(size: u64, buffer: &[u8]) -> &[u8] {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    // Each piece overwrites the one before: only a file that ended within the first is whole in it.
    buffer
        .get(..size)
        .filter(|_| size < BUFFER)
        .unwrap_or_default()
}

fn in_turn(
    reader: &Reader<'_>,
    sought: Sought<'_>,
    opened: &mut Opened,
    buffer: &mut [u8],
) -> Result<(Sha256Digest, VerityDigest), Doubt> {
    let (mut sha256, mut verity) = (Sha256::new(), VerityHasher::new());
    loop {
        let filled = fill(reader, sought, opened, buffer)?;
        let bytes = buffer.get(..filled).unwrap_or_default();
        sha256.update(bytes);
        verity.update(bytes);
        if filled < buffer.len() {
            return Ok((sha256.finish(), verity.finish()));
        }
    }
}

fn side_by_side(
    pair: Sha256Pair,
    reader: &Reader<'_>,
    sought: Sought<'_>,
    opened: &mut Opened,
    buffer: &mut [u8],
) -> Result<(Sha256Digest, VerityDigest), Doubt> {
    let (mut state, mut verity) = (State::INITIAL, VerityHasher::new());
    loop {
        let filled = fill(reader, sought, opened, buffer)?;
        let is_end = filled < buffer.len();
        // A leaf that the file's end leaves short is hashed with zeros behind it.
        let leaves = filled.next_multiple_of(fsverity::BLOCK);
        if let Some(padding) = buffer.get_mut(filled..leaves) {
            padding.fill(0);
        }
        let (bytes, leaves) = (buffer.get(..filled), buffer.get(..leaves));
        let (blocks, rest) = bytes.unwrap_or_default().as_chunks();
        let mut blocks = blocks;
        let mut left = filled;
        for leaf in leaves.unwrap_or_default().as_chunks().0 {
            let leaf: &[u8; fsverity::BLOCK] = leaf;
            let mut leaf_state = State::INITIAL;
            let leaf_blocks = leaf.as_chunks().0;
            let done = pair.both([&mut state, &mut leaf_state], [blocks, leaf_blocks]);
            blocks = blocks.get(done..).unwrap_or_default();
            // A padded leaf has blocks that the file has not: these are hashed alone.
            pair.one(&mut leaf_state, leaf_blocks.get(done..).unwrap_or_default());
            let size = u64::try_from(leaf.len()).unwrap_or(u64::MAX);
            let covered = left.min(leaf.len());
            verity.push_leaf(pair.finish(leaf_state, &[], size), covered);
            left -= covered;
        }
        if is_end {
            // That many bytes were hashed: `read` ends after exactly the size that the walk saw, or with a doubt.
            let sha256 = pair.finish(state, rest, opened.size());
            return Ok((sha256, verity.finish()));
        }
    }
}

/// Fills the buffer; less than that is the end of the file.
fn fill(
    reader: &Reader<'_>,
    sought: Sought<'_>,
    opened: &mut Opened,
    buffer: &mut [u8],
) -> Result<usize, Doubt> {
    let mut filled = 0;
    while let Some(free) = buffer.get_mut(filled..).filter(|free| !free.is_empty()) {
        match reader.read(sought, opened, free)? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}
