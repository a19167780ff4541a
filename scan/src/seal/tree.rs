//! The stored tree of a believed manifest: held where it is small, else read from the disk as it is unpacked.
//!
//! A tree of a million entries has 60 MB. It is read through once for its digest, and again, from the same
//! descriptor, for what it says. The first reading also takes a digest of each piece, and no piece of the second
//! reaches the decompressor that is not the same: what was signed is all that is ever unpacked, whoever writes into
//! the file meanwhile.

use std::{
    fs::File,
    io::{self, BufRead, Read},
    os::unix::fs::FileExt,
    sync::{Arc, Mutex, PoisonError},
};

use earmark_manifest::{
    crypto::{self, Sha256},
    digest::Sha256Digest,
    layout, limits,
    verify::{Refusal, TreeSource, VerifiedDeclaration, VerifiedManifest},
};

use super::{SealError, at};
use crate::{Root, ScanError};

/// A tree of at most so many bytes is held.
// Some 200,000 entries, at 61 bytes each (docs/adr/0002-tree-format.md).
const HELD: usize = 12 * 1024 * 1024;
/// Bytes that are read, checked and unpacked at a time.
// The largest tree has 1,024 of them: their digests take 32 KiB.
const PIECE: usize = 512 * 1024;

/// The cause that a tree which was the signed one could not be read again.
#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    /// It is no longer the signed one.
    Changed,
    /// It cannot be read.
    Unreadable(String),
}

/// A stored tree on the disk, whose digest is known.
#[derive(Debug)]
pub(crate) struct TreeOnDisk {
    file: File,
    pieces: Vec<Sha256Digest>,
    size: u64,
    trouble: Mutex<Option<Trouble>>,
}

/// Opens the tree of a root's seal for a manifest that was believed, if it is the signed one.
pub(crate) fn believe_tree(
    root: &Root,
    declared: VerifiedDeclaration,
) -> Result<(VerifiedManifest, Option<Arc<TreeOnDisk>>), SealError> {
    let path = at(layout::TREE)?;
    if root.source().is_some() {
        // There is no descriptor to read it by again: nothing is held before its digest is the signed one.
        let digest = super::hash_tree(root)?;
        declared
            .refuse_other_tree(digest)
            .map_err(SealError::Refused)?;
        let manifest = declared.with_tree(super::read_tree(root)?);
        return Ok((manifest.map_err(SealError::Refused)?, None));
    }
    let (file, size) = root.open_regular(&path)?;
    let bound = u64::try_from(limits::TREE_STORED).unwrap_or(u64::MAX);
    if size > bound {
        return Err(SealError::Refused(Refusal::TreeDigest));
    }
    // One that grows while it is read is not the signed one.
    let failed = |error| super::refused_if_long(root, &path, error, |_| Refusal::TreeDigest);
    if usize::try_from(size).is_ok_and(|size| size <= HELD) {
        // Opened again by its path, which may lead elsewhere by now: the digest is of the bytes that are kept.
        let tree = root.read(&path, HELD).map_err(failed)?;
        let manifest = declared.with_tree(tree).map_err(SealError::Refused)?;
        return Ok((manifest, None));
    }
    let (tree, digest) = TreeOnDisk::read(file, bound).map_err(|cause| {
        failed(ScanError {
            what: "read",
            place: path.to_string(),
            cause,
        })
    })?;
    let tree = Arc::new(tree);
    let source = Box::new(Source(Arc::clone(&tree)));
    let manifest = declared
        .with_tree_elsewhere(digest, source)
        .map_err(SealError::Refused)?;
    Ok((manifest, Some(tree)))
}

impl TreeOnDisk {
    fn read(file: File, bound: u64) -> io::Result<(Self, Sha256Digest)> {
        let (mut whole, mut pieces, mut size) = (Sha256::new(), Vec::new(), 0_u64);
        let mut buffer = vec![0; PIECE];
        loop {
            let filled = fill(&file, size, &mut buffer)?;
            let bytes = buffer.get(..filled).unwrap_or_default();
            size = size.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX));
            // It grew since its size was asked for.
            if size > bound {
                let text = "it is larger than the limit of a tree";
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
            }
            whole.update(bytes);
            if !bytes.is_empty() {
                pieces.push(crypto::sha256(bytes));
            }
            if filled < PIECE {
                let tree = Self {
                    file,
                    pieces,
                    size,
                    trouble: Mutex::new(None),
                };
                return Ok((tree, whole.finish()));
            }
        }
    }

    /// Returns the fault of a later reading, if there was one.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        let trouble = self.trouble.lock();
        trouble.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn fail(&self, trouble: Trouble) -> io::Error {
        let text = match &trouble {
            Trouble::Changed => "it changed since its digest was checked".to_owned(),
            Trouble::Unreadable(why) => why.clone(),
        };
        // Beside the error: decompressor and parser make text of it, and changed (10) is not unreadable (11).
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(trouble);
        io::Error::other(text)
    }
}

/// Fills the buffer from `offset` on; less than that is the end of the file.
fn fill(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0_usize;
    while let Some(free) = buffer.get_mut(filled..).filter(|free| !free.is_empty()) {
        let at = offset.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX));
        // pread: where a directory overflows, a second reader of the tree shares this descriptor, and its offset.
        match file.read_at(free, at) {
            Ok(0) => break,
            Ok(count) => filled = filled.saturating_add(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[derive(Debug)]
struct Source(Arc<TreeOnDisk>);

impl TreeSource for Source {
    fn open(&self) -> io::Result<Box<dyn BufRead + Send + '_>> {
        Ok(Box::new(Pieces {
            tree: &self.0,
            next: 0,
            buffer: vec![0; PIECE],
            start: 0,
            end: 0,
        }))
    }
}

/// The bytes of a tree, piece after piece, each checked before any of it is given.
struct Pieces<'a> {
    tree: &'a TreeOnDisk,
    next: usize,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl BufRead for Pieces<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        // Bytes that were appended since are in no piece, and so are never read.
        if self.start == self.end
            && let Some(expected) = self.tree.pieces.get(self.next)
        {
            let piece = u64::try_from(PIECE).unwrap_or(u64::MAX);
            let number = u64::try_from(self.next).unwrap_or(u64::MAX);
            let offset = number.saturating_mul(piece);
            let left = usize::try_from(self.tree.size.saturating_sub(offset));
            let length = left.unwrap_or(PIECE).min(PIECE);
            let buffer = self.buffer.get_mut(..length).unwrap_or_default();
            let filled = fill(&self.tree.file, offset, buffer)
                .map_err(|error| self.tree.fail(Trouble::Unreadable(error.to_string())))?;
            let bytes = buffer.get(..filled).unwrap_or_default();
            // zstd is C and gets signed bytes alone: the file may have been written to since its digest was taken.
            if crypto::sha256(bytes) != *expected {
                return Err(self.tree.fail(Trouble::Changed));
            }
            (self.start, self.end) = (0, filled);
            self.next = self.next.saturating_add(1);
        }
        Ok(self.buffer.get(self.start..self.end).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.start = self.start.saturating_add(amount).min(self.end);
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(into)?;
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn stored() -> (tempfile::NamedTempFile, Vec<u8>) {
        let bytes: Vec<u8> = (0..=250_u8).cycle().take(PIECE * 2 + 77).collect();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        (file, bytes)
    }

    fn read_again(tree: &Arc<TreeOnDisk>) -> io::Result<Vec<u8>> {
        let mut read = Vec::new();
        let source = Source(Arc::clone(tree));
        source.open()?.read_to_end(&mut read)?;
        Ok(read)
    }

    fn on_disk(file: &tempfile::NamedTempFile) -> (Arc<TreeOnDisk>, Sha256Digest) {
        let (tree, digest) = TreeOnDisk::read(file.reopen().unwrap(), u64::MAX).unwrap();
        (Arc::new(tree), digest)
    }

    #[test]
    fn tree_on_disk_can_be_reread_and_matches_its_digest() {
        let (file, bytes) = stored();
        let (tree, digest) = on_disk(&file);
        assert_eq!(digest, crypto::sha256(&bytes));
        assert_eq!(read_again(&tree).unwrap(), bytes);
        assert_eq!(read_again(&tree).unwrap(), bytes);
        assert!(tree.trouble().is_none());
    }

    #[test]
    fn tree_changed_between_reads_yields_no_changed_piece() {
        for place in [0, PIECE as u64 + 5, 2 * PIECE as u64 + 76] {
            let (file, bytes) = stored();
            let (tree, _) = on_disk(&file);
            file.as_file().write_at(b"\xff", place).unwrap();
            let source = Source(Arc::clone(&tree));
            let (mut read, mut reader) = (Vec::new(), source.open().unwrap());
            assert!(reader.read_to_end(&mut read).is_err());
            assert!(read.len() <= usize::try_from(place).unwrap() && bytes.starts_with(&read));
            assert!(matches!(tree.trouble(), Some(Trouble::Changed)));
        }
    }

    #[test]
    fn tree_truncated_between_reads_fails_and_appended_data_is_ignored() {
        let (file, bytes) = stored();
        let (tree, _) = on_disk(&file);
        file.as_file().set_len(PIECE as u64 + 9).unwrap();
        assert!(read_again(&tree).is_err());
        let (mut file, _) = stored();
        let (tree, _) = on_disk(&file);
        file.write_all(b"more").unwrap();
        assert_eq!(read_again(&tree).unwrap(), bytes);
    }
}
