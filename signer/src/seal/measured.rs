//! A measured root by name: what was just recorded, for checks that come before the signature.

use std::io::Read;

use earmark_manifest::{
    class::{PathClass, RuleSet},
    entry::{Entry, Node},
    path::ImagePath,
};
use earmark_scan::{Root, links::Links};

/// Entries of a measured root, found by path.
#[derive(Debug)]
pub struct Measured<'a> {
    root: &'a Root,
    rules: &'a RuleSet,
    /// Sorted by path.
    entries: &'a [Entry],
    /// The sealed ones, as the agent has them.
    links: Links,
}

impl<'a> Measured<'a> {
    /// Indexes `entries`, which are sorted by path as a measurement returns them.
    pub fn new(root: &'a Root, rules: &'a RuleSet, entries: &'a [Entry]) -> Self {
        let mut links = Links::default();
        for entry in entries {
            if let (Node::Symlink(Some(target)), PathClass::Sealed) = (&entry.node, entry.class) {
                links.insert(entry.path.clone(), target.clone());
            }
        }
        Self {
            root,
            rules,
            entries,
            links,
        }
    }

    /// The root itself.
    pub fn root(&self) -> &'a Root {
        self.root
    }

    /// The rules that it was measured with.
    pub fn rules(&self) -> &'a RuleSet {
        self.rules
    }

    /// All entries, sorted by path.
    pub fn entries(&self) -> &'a [Entry] {
        self.entries
    }

    /// The entry at a path without its first slash.
    pub fn get(&self, path: &[u8]) -> Option<&'a Entry> {
        let found = self
            .entries
            .binary_search_by(|entry| entry.path.as_bytes().cmp(path));
        found.ok().and_then(|index| self.entries.get(index))
    }

    /// The entries whose paths begin with `start`, in order.
    pub fn starting_with<'b>(
        &self,
        start: &'b [u8],
    ) -> impl Iterator<Item = &'a Entry> + use<'a, 'b> {
        let first = self
            .entries
            .partition_point(|entry| entry.path.as_bytes() < start);
        let rest = self.entries.get(first..).unwrap_or_default().iter();
        rest.take_while(move |entry| entry.path.as_bytes().starts_with(start))
    }

    /// Follows the links of a path as the agent does at first boot.
    pub fn follow(&self, path: &ImagePath) -> Result<ImagePath, String> {
        self.links.resolve(path)
    }

    /// Reads a regular file, at most its first `bound` bytes. No link is followed.
    pub fn start(&self, path: &ImagePath, bound: u64) -> anyhow::Result<Vec<u8>> {
        let (file, _) = self.root.open_regular(path)?;
        let mut bytes = Vec::new();
        file.take(bound).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}
