//! The document that this host follows, on its disk: what says that an older one is a replay.
//!
//! It lies there twice, one written after the other, so that one that is cut short or damaged leaves the other: a
//! host would otherwise forget what it has seen, and take it again that an older document is news. Whoever is root can remove both (tier T0).

use anyhow::Result;
use earmark_manifest::{layout, limits, path::ImagePath};
use earmark_scan::{Root, state};
use serde::{Deserialize, Serialize};

use crate::{host::store, status::model::PendingReaction};

/// Their names in the agent's state directory.
const NAMES: [&str; 2] = ["channel.0", "channel.1"];
/// Beginning of each copy, before its digest.
const MAGIC: &str = "earmark-channel-1 ";
/// The document as a JSON text, each of its signs escaped.
const BOUND: usize = 2 * limits::CHANNEL + 4096;

/// A document that was believed, and when it was last found where it is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// The envelope, as it came.
    pub document: String,
    /// In seconds since 1970.
    pub fetched: u64,
    /// Reaction of this host to it, to come or done.
    pub pending: Option<PendingReaction>,
}

/// Copies on the disk.
#[derive(Debug)]
pub struct Store {
    /// The newer of those that are whole.
    pub kept: Option<Kept>,
    /// Index of the copy that is written first: not the one that is known to be good.
    first: usize,
    turn: u64,
    /// Copies that are there and not as they were written, each with its path and the error.
    pub damaged: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Slot {
    /// Higher than that of the other one, if it was written later.
    turn: u64,
    kept: Kept,
}

impl Store {
    /// Reads both.
    pub fn read(root: &Root) -> Result<Self> {
        let (mut newest, mut damaged): (Option<(usize, Slot)>, _) = (None, Vec::new());
        for (index, name) in NAMES.into_iter().enumerate() {
            let path = format!("{}/{name}", layout::AGENT_STATE[1]);
            let path = ImagePath::from_absolute(path.as_bytes())?;
            let Some(bytes) = state::read(root, &path, BOUND)? else {
                continue;
            };
            match store::parse::<Slot>(MAGIC, &bytes) {
                Ok(slot) => {
                    // Equal turns are one document that was written whole, twice.
                    let is_newer = newest
                        .as_ref()
                        .is_none_or(|(_, best)| best.turn < slot.turn);
                    if is_newer {
                        newest = Some((index, slot));
                    }
                }
                // An older document in the other copy would be a replay.
                Err(error) if error.is::<store::UnknownFormat>() => {
                    return Err(error.context(format!("failed to use '{path}'")));
                }
                Err(error) => damaged.push(format!("'{path}': {error:#}")),
            }
        }
        // The older copy is written first: a power cut during that leaves the newer one.
        let (first, turn) = newest.as_ref().map_or((0, 1), |(index, slot)| {
            (usize::from(*index == 0), slot.turn.saturating_add(1))
        });
        Ok(Self {
            kept: newest.map(|(_, slot)| slot.kept),
            first,
            turn,
            damaged,
        })
    }

    /// Puts it on the disk, in the place of both.
    pub fn write(&self, root: &Root, kept: &Kept) -> Result<()> {
        let slot = Slot {
            turn: self.turn,
            kept: kept.clone(),
        };
        let bytes = store::to_bytes(MAGIC, &slot)?;
        let order = NAMES.iter().cycle().skip(self.first).take(NAMES.len());
        for name in order {
            // It returns once the file is on the disk: the good copy is not touched before the other is safe.
            store::replace(root, name, &bytes)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn kept(document: &str, fetched: u64) -> Kept {
        Kept {
            document: document.to_owned(),
            fetched,
            pending: None,
        }
    }

    fn write(root: &Root, document: &str) {
        let store = Store::read(root).unwrap();
        store.write(root, &kept(document, 7)).unwrap();
    }

    fn read(root: &Root) -> (Option<String>, usize) {
        let store = Store::read(root).unwrap();
        (store.kept.map(|kept| kept.document), store.damaged.len())
    }

    #[test]
    fn damaged_channel_copy_is_recovered_from_the_other() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("var/lib/earmark");
        fs::create_dir_all(&state).unwrap();
        let root = Root::open(directory.path()).unwrap();
        assert_eq!(read(&root), (None, 0));
        for document in ["one", "two", "three"] {
            write(&root, document);
            assert_eq!(read(&root), (Some(document.to_owned()), 0));
        }
        let whole = fs::read(state.join(NAMES[0])).unwrap();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for name in NAMES {
            for bad in [&whole[..whole.len() / 2], b"", b"x\n", &flipped] {
                fs::write(state.join(name), bad).unwrap();
                assert_eq!(read(&root), (Some("three".to_owned()), 1));
            }
            // The next one mends it.
            write(&root, "three");
            assert_eq!(read(&root), (Some("three".to_owned()), 0));
        }
    }

    #[test]
    fn newer_format_in_one_channel_copy_is_an_error_not_a_fallback() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("var/lib/earmark");
        fs::create_dir_all(&state).unwrap();
        let root = Root::open(directory.path()).unwrap();
        write(&root, "one");
        for name in NAMES {
            let whole = fs::read(state.join(name)).unwrap();
            let newer = String::from_utf8(whole.clone()).unwrap();
            let newer = newer.replacen("earmark-channel-1", "earmark-channel-2", 1);
            fs::write(state.join(name), newer).unwrap();
            let error = format!("{:#}", Store::read(&root).unwrap_err());
            assert!(error.contains("earmark-channel-2"), "{error}");
            fs::write(state.join(name), whole).unwrap();
            assert_eq!(read(&root), (Some("one".to_owned()), 0));
        }
    }

    #[test]
    fn power_loss_between_the_two_copies_leaves_the_newer_channel() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("var/lib/earmark");
        fs::create_dir_all(&state).unwrap();
        let root = Root::open(directory.path()).unwrap();
        write(&root, "one");
        for (document, next) in [("two", "three"), ("four", "five")] {
            let before = NAMES.map(|name| fs::read(state.join(name)).unwrap());
            write(&root, document);
            // The second one is still what it was.
            let first = Store::read(&root).unwrap().first;
            let second = usize::from(first == 0);
            fs::write(state.join(NAMES[second]), &before[second]).unwrap();
            fs::write(
                state.join(NAMES[first]),
                fs::read(state.join(NAMES[first])).unwrap(),
            )
            .unwrap();
            assert_eq!(read(&root), (Some(document.to_owned()), 0));
            write(&root, next);
            assert_eq!(read(&root), (Some(next.to_owned()), 0));
        }
    }
}
