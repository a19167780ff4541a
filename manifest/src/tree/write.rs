//! Writes a tree.

use crate::{
    class::{self, RuleSet},
    crypto,
    digest::Sha256Digest,
    entry::{Entry, Node},
};

use super::{MAGIC, TreeError, line, read};

/// A tree as it is stored.
#[derive(Debug, Clone)]
pub struct Tree {
    /// The bytes of `tree.zst`.
    pub stored: Vec<u8>,
    /// Their SHA-256.
    pub digest: Sha256Digest,
    /// Counts of its entries and bytes.
    pub summary: TreeSummary,
}

/// A tree in numbers, as the manifest's predicate gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeSummary {
    /// Entries, the root's included.
    pub entries: u64,
    /// Bytes in the regular files whose content is recorded; a hard-linked file counts once a name.
    pub bytes: u64,
}

/// Reason why entries are not a tree.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// zstd failed.
    #[error("failed to compress the tree: {0}")]
    Compress(std::io::Error),
    /// The reader would refuse it. A defect of the scan, or a root that cannot be described.
    #[error("{0}")]
    Unreadable(#[from] TreeError),
}

/// Compression level: the digests, two thirds of the text, do not shrink whatever the level, and
/// level 1 writes 9.0 MB where level 9 writes 9.6 MB in nine times the time (133,932 entries).
const LEVEL: i32 = 1;

/// Writes `entries`, which must be in the order of their paths and start with the root.
///
/// The same rules and entries give the same bytes. What is written was read back first, so that
/// nothing is ever signed that an agent would refuse.
///
/// # Errors
///
/// [`WriteError::Unreadable`] for entries that the reader refuses: in another order, or beyond the bounds of
/// `limits`.
pub fn write(rules: &RuleSet, entries: &[Entry]) -> Result<Tree, WriteError> {
    let mut text = String::with_capacity(entries.len().saturating_mul(224).saturating_add(8192));
    text.push_str(&format!("{MAGIC}\nrules {}\n", rules.rules().len()));
    for rule in rules.rules() {
        class::push_rule(&mut text, rule);
    }
    text.push_str(&format!("entries {}\n", entries.len()));
    let mut bytes = 0u64;
    for entry in entries {
        line::push(&mut text, entry);
        if let Node::Regular(Some(content)) = &entry.node {
            bytes = bytes.saturating_add(content.size);
        }
    }
    // Each takes as long as the other, and neither needs what the other finds.
    let stored = std::thread::scope(|threads| {
        let checked = threads.spawn(|| read::check_text(text.as_bytes()));
        let stored = zstd::bulk::compress(text.as_bytes(), LEVEL).map_err(WriteError::Compress);
        checked
            .join()
            // A check that panicked has found out nothing: its tree must not be signed.
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        stored
    })?;
    let entries = u64::try_from(entries.len()).unwrap_or(u64::MAX);
    Ok(Tree {
        digest: crypto::sha256(&stored),
        stored,
        summary: TreeSummary { entries, bytes },
    })
}
