//! The document that this host follows, on its disk: what says that an older one is a replay.
//!
//! It lies there twice, and is written in turns, so that one that is cut short or damaged leaves the one before: a
//! host would otherwise forget what it has seen. Whoever is root can remove both (tier T0).

use anyhow::{Context, Result, bail};
use earmark_manifest::{crypto, digest::Sha256Digest, layout, limits, path::ImagePath};
use earmark_scan::Root;
use serde::{Deserialize, Serialize};

use super::react::Pending;
use crate::first_boot::store;

/// Their names in the agent's state directory.
const NAMES: [&str; 2] = ["channel.0", "channel.1"];
/// What each begins with, before its digest.
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
    /// What this host does about it.
    pub pending: Option<Pending>,
}

/// What is on the disk.
#[derive(Debug)]
pub struct Store {
    /// The newer of those that are whole.
    pub kept: Option<Kept>,
    /// Where the next one goes.
    next: usize,
    turn: u64,
    /// What is there and not as it was written.
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
            let Some(bytes) = root.read_opt(&path, BOUND)? else {
                continue;
            };
            match parse(&bytes) {
                Ok(slot) => {
                    let is_newer = newest
                        .as_ref()
                        .is_none_or(|(_, best)| best.turn < slot.turn);
                    if is_newer {
                        newest = Some((index, slot));
                    }
                }
                Err(error) => damaged.push(format!("'{path}': {error:#}")),
            }
        }
        let (next, turn) = newest.as_ref().map_or((0, 1), |(index, slot)| {
            (usize::from(*index == 0), slot.turn.saturating_add(1))
        });
        Ok(Self {
            kept: newest.map(|(_, slot)| slot.kept),
            next,
            turn,
            damaged,
        })
    }

    /// Puts it on the disk, in the place of the older one.
    pub fn write(&self, root: &Root, kept: &Kept) -> Result<()> {
        let slot = Slot {
            turn: self.turn,
            kept: kept.clone(),
        };
        let body = serde_json::to_vec(&slot).context("failed to write the channel")?;
        let mut bytes = format!("{MAGIC}{}\n", crypto::sha256(&body)).into_bytes();
        bytes.extend(body);
        let name = NAMES.get(self.next).copied().unwrap_or(NAMES[0]);
        store::replace(root, name, &bytes)
    }
}

fn parse(bytes: &[u8]) -> Result<Slot> {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (head, body) = bytes.split_at(end.context("it has no first line")?);
    let body = body.get(1..).unwrap_or_default();
    let digest = std::str::from_utf8(head)
        .ok()
        .and_then(|head| head.strip_prefix(MAGIC))
        .context("its first line is not that of a channel that was kept")?;
    if Sha256Digest::from_prefixed(digest)? != crypto::sha256(body) {
        bail!("its digest is of other content");
    }
    serde_json::from_slice(body).context("this version does not read it")
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
    fn one_that_is_damaged_leaves_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("var/lib/earmark");
        fs::create_dir_all(&state).unwrap();
        let root = Root::open(directory.path()).unwrap();
        assert_eq!(read(&root), (None, 0));
        for document in ["one", "two", "three"] {
            write(&root, document);
            assert_eq!(read(&root), (Some(document.to_owned()), 0));
        }
        // "three" went where "one" was.
        let newest = state.join("channel.0");
        let whole = fs::read(&newest).unwrap();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for bad in [&whole[..whole.len() / 2], b"", b"x\n", &flipped] {
            fs::write(&newest, bad).unwrap();
            assert_eq!(read(&root), (Some("two".to_owned()), 1));
        }
        // And the next one takes the place of the damaged one.
        write(&root, "four");
        assert_eq!(read(&root), (Some("four".to_owned()), 0));
    }
}
