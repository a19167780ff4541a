//! Locks that are open in this boot. They are read before anything is measured: by the generator, which
//! leaves the masks of an open lock out, and by the look that follows a crash.
//!
//! It lies in `/run`, and is root's alone. At the start of a boot there is none, so that every lock is
//! shut then, and a grant that still holds opens it again after the boot was verified and locked down.
//! Nobody opens a lock by writing it: each look makes it anew from the grants.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use earmark_manifest::{crypto, declaration::LockName, grant::GrantedLock, path::ImagePath};
use earmark_scan::Root;
use serde::{Deserialize, Serialize};

use crate::host::state::StateDirectory;

const NAME: &str = "opened.json";
const PATH: &str = "/run/earmark-lockdown/opened.json";
const BOUND: usize = 64 * 1024;
/// Refusals that are remembered, so that none is told at each look.
const MOST_TOLD: usize = 256;

/// Progress of opening or shutting a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    /// It is to be opened, and may be open.
    Opening,
    /// It is open.
    Open,
    /// It is to be shut, and may be open.
    Shutting,
}

/// The locks of this boot that are not shut for good.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opened {
    locks: BTreeMap<GrantedLock, Progress>,
    /// Of refusals that were told.
    told: BTreeSet<String>,
}

impl Opened {
    /// Reads the record of this boot. One that cannot be read opens nothing.
    pub fn read(root: &Root) -> Self {
        let path = ImagePath::from_absolute(PATH.as_bytes()).unwrap_or_default();
        let bytes = root.read_opt(&path, BOUND).ok().flatten();
        bytes
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    pub fn write(&self, root: &Root) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(self)?;
        // Not in /run/earmark, where the user of the background service may replace files.
        StateDirectory::open_private(root)?.replace(NAME, &bytes)
    }

    /// Those that are to be open: their units are not masked.
    pub fn open(&self) -> BTreeSet<LockName> {
        // `Opening` counts: at a daemon-reload the generator would else mask what is about to be started.
        let open = |progress: &Progress| *progress != Progress::Shutting;
        let locks = self.locks.iter().filter(|(_, progress)| open(progress));
        locks.map(|(lock, _)| lock.lock()).collect()
    }

    /// Those that may be open: whether their units are masked says nothing.
    pub fn unsettled(&self) -> BTreeSet<LockName> {
        self.locks.keys().map(|lock| lock.lock()).collect()
    }

    /// Takes up what is to be open now.
    pub fn want(&mut self, open: &BTreeSet<GrantedLock>) {
        for lock in open {
            let progress = self.locks.entry(*lock).or_insert(Progress::Opening);
            if *progress == Progress::Shutting {
                *progress = Progress::Opening;
            }
        }
        for (lock, progress) in &mut self.locks {
            if !open.contains(lock) {
                // Kept on record until it is found shut: after a crash nobody else would know that it may be open.
                *progress = Progress::Shutting;
            }
        }
    }

    /// Returns whether nothing is open, and nothing is still to be shut.
    pub fn is_settled(&self) -> bool {
        self.locks.is_empty()
    }

    /// Those with this much done.
    pub fn at(&self, wanted: Progress) -> Vec<GrantedLock> {
        let locks = self.locks.iter();
        let locks = locks.filter(|(_, progress)| **progress == wanted);
        locks.map(|(lock, _)| *lock).collect()
    }

    /// A lock was opened.
    pub fn is_opened(&mut self, lock: GrantedLock) {
        self.locks.insert(lock, Progress::Open);
    }

    /// A lock was found to be shut.
    pub fn is_shut(&mut self, lock: GrantedLock) {
        self.locks.remove(&lock);
    }

    /// Returns whether a problem is new in this boot, and remembers it.
    pub fn is_unheard_of(&mut self, problem: &str) -> bool {
        self.is_news(crypto::sha256(problem.as_bytes()).hex())
    }

    /// Returns whether the refusal with this mark is new in this boot, and remembers it.
    pub fn is_news(&mut self, mark: String) -> bool {
        // Silence rather than memory: a file that changes at each look would fill the record and the console.
        if self.told.len() >= MOST_TOLD {
            return false;
        }
        self.told.insert(mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestRoot;

    #[test]
    fn opened_lock_stays_on_record_until_confirmed_shut() {
        use GrantedLock::{Imds, RemoteAccess};
        let root = TestRoot::bare();
        let root = root.open();
        assert_eq!(Opened::read(&root), Opened::default());
        let mut opened = Opened::default();
        opened.want(&[RemoteAccess, Imds].into());
        assert_eq!(opened.at(Progress::Opening), [Imds, RemoteAccess]);
        opened.is_opened(RemoteAccess);
        opened.is_opened(Imds);
        opened.want(&[Imds].into());
        assert_eq!(opened.at(Progress::Shutting), [RemoteAccess]);
        opened.write(&root).unwrap();
        let mut opened = Opened::read(&root);
        assert_eq!(opened.open(), [LockName::Imds].into());
        assert_eq!(
            opened.unsettled(),
            [LockName::Imds, LockName::RemoteAccess].into()
        );
        // What was to be shut is granted again.
        let mut again = opened.clone();
        again.want(&[RemoteAccess, Imds].into());
        assert_eq!(again.at(Progress::Opening), [RemoteAccess]);
        opened.is_shut(RemoteAccess);
        assert_eq!(opened.unsettled(), [LockName::Imds].into());
    }

    #[test]
    fn malformed_opened_record_opens_no_lock() {
        let root = TestRoot::bare();
        root.write(PATH, b"{\"locks\":{\"kernel\":\"open\"},\"told\":[]}");
        assert_eq!(Opened::read(&root.open()), Opened::default());
        root.write(PATH, b"{\"locks\":{\"imds\":\"open\"},\"told\":[]}");
        assert_eq!(Opened::read(&root.open()).open(), [LockName::Imds].into());
    }

    #[test]
    fn repeated_refusal_is_reported_once() {
        let mut opened = Opened::default();
        assert!(opened.is_news("a".to_owned()));
        assert!(!opened.is_news("a".to_owned()));
        assert!(opened.is_news("b".to_owned()));
    }
}
