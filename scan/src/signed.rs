//! Set of the names that were signed: asked only of directories that hold more names than can be kept.

use std::hash::{BuildHasher, RandomState};

use earmark_manifest::{entry::Entry, path::ImagePath, tree::TreeError};

/// The paths of a signed tree, eight bytes each.
///
/// Each path stands for a number that a secret of this process decides, so that nobody can prepare a name that
/// passes for a signed one. Should one do so by chance, it is kept and compared like any other: the set decides
/// what is kept in memory, and never what is right.
#[derive(Debug)]
pub(crate) struct SignedPaths {
    secret: RandomState,
    sorted: Vec<u64>,
}

impl SignedPaths {
    /// Of `count` entries: room for them is taken once, since a list that grows is there twice.
    pub(crate) fn of(
        count: u64,
        entries: impl Iterator<Item = Result<Entry, TreeError>>,
    ) -> Result<Self, TreeError> {
        let secret = RandomState::new();
        // The count was signed, and is at most 4,000,000 (`limits::ENTRIES`): 32 MiB.
        let mut sorted = Vec::with_capacity(usize::try_from(count).unwrap_or_default());
        for entry in entries {
            sorted.push(secret.hash_one(entry?.path.as_bytes()));
        }
        sorted.sort_unstable();
        Ok(Self { secret, sorted })
    }

    pub(crate) fn contains(&self, path: &ImagePath) -> bool {
        let number = self.secret.hash_one(path.as_bytes());
        self.sorted.binary_search(&number).is_ok()
    }
}
