//! The fs-verity digest of a file, computed as its bytes pass by.
//!
//! Source: the kernel's `Documentation/filesystems/fsverity.rst`, "Merkle tree" and "fs-verity
//! descriptor", for SHA-256, blocks of 4096 bytes and no salt. A tree of digests is built over the
//! blocks, 128 to a block; its root goes into a descriptor of 256 bytes, whose SHA-256 is the
//! digest. Because the digest covers the file's size, it needs no length extension care.

use crate::{
    crypto::{self, Sha256},
    digest::{Sha256Digest, VerityDigest},
};

/// Bytes in a block.
// The kernel takes other sizes, and salts: this size and no salt are what `fsverity enable` does by itself.
pub const BLOCK: usize = 4096;

/// Bytes up to which a sealed file is read and not enforced, on an image that declares `boot.verity`: one block. The
/// kernel keeps the descriptor of such a file in a block of its own, so that to ask for the digest reads as much as
/// to read the file, and takes a block of the disk besides (measured: docs/bake.md).
pub const ENFORCED_ABOVE: u64 = 4096;

/// Computes a [`VerityDigest`]. Memory: one open block of digests for each level, at most seven.
#[derive(Debug, Default)]
pub struct VerityHasher {
    size: u64,
    block: Option<(Sha256, usize)>,
    levels: Vec<Level>,
}

/// The digests of one level that do not fill a block yet.
#[derive(Debug)]
struct Level {
    hasher: Sha256,
    filled: usize,
    /// Blocks of this level that are complete.
    blocks: u64,
    /// The digest of the block last completed: the root, if it stays the only one.
    last: [u8; 32],
}

impl VerityHasher {
    /// With no bytes yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the file, however many.
    pub fn update(&mut self, bytes: &[u8]) {
        self.size = self
            .size
            .saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let mut rest = bytes;
        if let Some((mut hasher, filled)) = self.block.take() {
            let (now, later) = rest.split_at(rest.len().min(BLOCK - filled));
            hasher.update(now);
            rest = later;
            if filled + now.len() == BLOCK {
                self.push(0, *hasher.finish().as_bytes());
            } else {
                self.block = Some((hasher, filled + now.len()));
            }
        }
        let (blocks, partial) = rest.as_chunks::<BLOCK>();
        for block in blocks {
            self.push(0, *crypto::sha256(block).as_bytes());
        }
        if !partial.is_empty() {
            let mut hasher = Sha256::new();
            hasher.update(partial);
            self.block = Some((hasher, partial.len()));
        }
    }

    /// Takes the next `bytes` of the file, all of them zeros, such as those of a hole. The time grows with the logarithm
    /// of their number.
    pub fn zeros(&mut self, bytes: u64) {
        const ZEROS: [u8; BLOCK] = [0; BLOCK];
        let open = self.block.as_ref().map_or(0, |(_, filled)| BLOCK - filled);
        let first = usize::try_from(bytes).map_or(open, |bytes| bytes.min(open));
        self.update(ZEROS.get(..first).unwrap_or_default());
        let rest = bytes.saturating_sub(u64::try_from(first).unwrap_or(u64::MAX));
        let (blocks, partial) = (rest / 4096, rest % 4096);
        if blocks > 0 {
            self.size = self.size.saturating_add(blocks.saturating_mul(4096));
            self.push_many(0, *crypto::sha256(&ZEROS).as_bytes(), blocks);
        }
        let partial = usize::try_from(partial).unwrap_or_default();
        self.update(ZEROS.get(..partial).unwrap_or_default());
    }

    /// Takes the next [`BLOCK`] bytes of the file by their digest, which was computed elsewhere. Only
    /// after whole blocks; only the last may have fewer `bytes`, and is hashed with zeros behind them.
    pub fn push_leaf(&mut self, digest: Sha256Digest, bytes: usize) {
        // In a release build a wrong call gives a digest that matches no file: an error, and never a pass.
        debug_assert!(
            self.block.is_none() && self.size.is_multiple_of(4096) && (1..=BLOCK).contains(&bytes),
            "a block begins at a multiple of its size"
        );
        self.size = self
            .size
            .saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        self.push(0, *digest.as_bytes());
    }

    /// The digest of the file that had these bytes.
    pub fn finish(mut self) -> VerityDigest {
        if let Some((hasher, filled)) = self.block.take() {
            self.push(0, pad(hasher, filled));
        }
        let root = self.root();
        let mut descriptor = [0; 256];
        // version, hash algorithm (1 = SHA-256), log2 of the block size; salt and signature empty.
        let head = [1, 1, 12, 0, 0, 0, 0, 0];
        let fields = head.into_iter().chain(self.size.to_le_bytes()).chain(root);
        descriptor
            .iter_mut()
            .zip(fields)
            .for_each(|(to, from)| *to = from);
        VerityDigest::new(*crypto::sha256(&descriptor).as_bytes())
    }

    /// The digest of the topmost block; zeros for an empty file, as the kernel has it.
    fn root(&mut self) -> [u8; 32] {
        let mut at = 0;
        loop {
            let Some(level) = self.levels.get_mut(at) else {
                return [0; 32];
            };
            // A level that holds one digest alone is that digest's own root.
            if level.blocks == 0 && level.filled == 32 {
                return level.last;
            }
            if level.filled > 0 {
                let hasher = std::mem::take(&mut level.hasher);
                let digest = pad(hasher, level.filled);
                level.filled = 0;
                level.blocks += 1;
                self.push(at + 1, digest);
            }
            at += 1;
        }
    }

    /// Adds the same digest of `count` blocks to level `at`.
    fn push_many(&mut self, at: usize, digest: [u8; 32], mut count: u64) {
        /// Digests in a block.
        const ROW: u64 = 128;
        while count > 0 {
            let is_empty = self.levels.get(at).is_none_or(|level| level.filled == 0);
            if !is_empty || count < ROW {
                self.push(at, digest);
                count -= 1;
                continue;
            }
            // Whole blocks of digests, all of them the same: one is hashed.
            let rows = count / ROW;
            count %= ROW;
            let mut hasher = Sha256::new();
            (0..ROW).for_each(|_| hasher.update(&digest));
            let row = *hasher.finish().as_bytes();
            if self.levels.len() == at {
                self.push_level(digest);
            }
            if let Some(level) = self.levels.get_mut(at) {
                level.blocks = level.blocks.saturating_add(rows);
                level.last = digest;
            }
            self.push_many(at + 1, row, rows);
        }
    }

    fn push_level(&mut self, last: [u8; 32]) {
        self.levels.push(Level {
            hasher: Sha256::new(),
            filled: 0,
            blocks: 0,
            last,
        });
    }

    /// Adds the digest of a block of the level below to level `at`.
    fn push(&mut self, at: usize, digest: [u8; 32]) {
        if self.levels.len() == at {
            self.push_level(digest);
        }
        let Some(level) = self.levels.get_mut(at) else {
            return;
        };
        level.hasher.update(&digest);
        level.filled += 32;
        level.last = digest;
        if level.filled == BLOCK {
            let full = std::mem::take(&mut level.hasher).finish();
            level.filled = 0;
            level.blocks += 1;
            self.push(at + 1, *full.as_bytes());
        }
    }
}

/// The digest of a block that has `filled` bytes and is zero from there.
fn pad(mut hasher: Sha256, filled: usize) -> [u8; 32] {
    const ZEROS: [u8; BLOCK] = [0; BLOCK];
    hasher.update(ZEROS.get(filled..).unwrap_or_default());
    *hasher.finish().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(bytes: &[u8], step: usize) -> String {
        let mut hasher = VerityHasher::new();
        bytes.chunks(step).for_each(|chunk| hasher.update(chunk));
        hasher.finish().hex()
    }

    /// The Merkle tree as the documentation describes it, level by level, with the whole file in
    /// hand: slow, and obviously right.
    fn by_the_book(bytes: &[u8]) -> String {
        let pad = |bytes: &[u8]| {
            let mut block = bytes.to_vec();
            block.resize(BLOCK, 0);
            *crypto::sha256(&block).as_bytes()
        };
        let mut level: Vec<[u8; 32]> = bytes.chunks(BLOCK).map(pad).collect();
        while level.len() > 1 {
            level = level.concat().chunks(BLOCK).map(pad).collect();
        }
        let root = level.first().copied().unwrap_or_default();
        let mut descriptor = vec![1, 1, 12, 0, 0, 0, 0, 0];
        descriptor.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        descriptor.extend_from_slice(&root);
        descriptor.resize(256, 0);
        crypto::sha256(&descriptor).hex()
    }

    #[test]
    fn verity_digest_matches_reference_at_every_block_boundary() {
        let data: Vec<u8> = (0..BLOCK * 128 * 3 + 17)
            .map(|at| u8::try_from(at * 7 % 251).unwrap())
            .collect();
        let row = BLOCK * 128;
        for size in [
            0,
            1,
            4095,
            4096,
            4097,
            8192,
            row - 1,
            row,
            row + 1,
            2 * row,
            2 * row + 1,
            data.len(),
        ] {
            let expected = by_the_book(&data[..size]);
            for step in [1021, 4096, 128 * 1024] {
                assert_eq!(
                    digest(&data[..size], step),
                    expected,
                    "{size} bytes, {step} at a time"
                );
            }
        }
    }

    #[test]
    fn verity_digest_from_leaf_hashes_matches_reference() {
        for size in [0, 5, BLOCK, BLOCK + 1, BLOCK * 128, BLOCK * 130 + 5] {
            let data = vec![9; size];
            let mut hasher = VerityHasher::new();
            for block in data.chunks(BLOCK) {
                let mut padded = block.to_vec();
                padded.resize(BLOCK, 0);
                hasher.push_leaf(crypto::sha256(&padded), block.len());
            }
            assert_eq!(hasher.finish().hex(), by_the_book(&data), "{size} bytes");
        }
    }

    #[test]
    fn verity_digest_of_holes_matches_that_of_zeros() {
        let row = BLOCK * 128;
        let data: Vec<u8> = vec![7; 2 * BLOCK + 3];
        for zeros in [
            0,
            1,
            BLOCK,
            row - 1,
            row,
            row + BLOCK,
            2 * row + 5,
            130 * row + 9,
        ] {
            for (before, after) in [(0, 0), (3, 0), (BLOCK, 1), (2 * BLOCK + 3, BLOCK)] {
                let (before, after) = (&data[..before], &data[..after]);
                let whole = [before, &vec![0; zeros], after].concat();
                let mut hasher = VerityHasher::new();
                hasher.update(before);
                hasher.zeros(zeros as u64);
                hasher.update(after);
                let expected = digest(&whole, 1 << 20);
                assert_eq!(
                    hasher.finish().hex(),
                    expected,
                    "{} {zeros} {}",
                    before.len(),
                    after.len()
                );
            }
        }
        // 100 TiB, in no time.
        VerityHasher::new().zeros(100 << 40);
    }

    #[test]
    fn verity_digest_of_empty_file_matches_fsverity_utils() {
        // fsverity digest (fsverity-utils 1.5) of an empty file.
        assert_eq!(
            digest(b"", 1),
            "3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95"
        );
    }
}
