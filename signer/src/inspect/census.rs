//! A tree in numbers, and the entries in it that a reviewer looks for first.

use std::{collections::BTreeMap, fmt};

use earmark_manifest::{
    class::{PathClass, RuleKind},
    entry::{Entry, Node, XattrName},
};
use serde::Serialize;

use crate::{
    inspect::{capability, source::Tree},
    io::output::{size, thousands},
};

/// Summary statistics of a tree: counts by class and directory, set-id files, file capabilities.
#[derive(Debug, Serialize)]
pub struct Census {
    entries: u64,
    bytes: u64,
    classes: BTreeMap<&'static str, Counts>,
    directories: Vec<TopDirectory>,
    set_id: Vec<SetId>,
    capabilities: Vec<Capability>,
    rules: BTreeMap<&'static str, u64>,
}

/// Entries by type, and the bytes of files.
#[derive(Debug, Default, Serialize)]
struct Counts {
    entries: u64,
    files: u64,
    directories: u64,
    links: u64,
    other: u64,
    bytes: u64,
}

#[derive(Debug, Default, Serialize)]
struct TopDirectory {
    path: String,
    entries: u64,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct SetId {
    path: String,
    mode: String,
    uid: u32,
    gid: u32,
}

#[derive(Debug, Serialize)]
struct Capability {
    path: String,
    capabilities: String,
}

/// Top-level directories that people are shown.
const DIRECTORIES: usize = 8;
/// Set-id files and files with capabilities that people are shown.
const LISTED: usize = 40;

impl Census {
    /// Of this tree.
    pub fn of(tree: &Tree) -> Self {
        let mut census = Self {
            entries: tree.summary.entries,
            bytes: tree.summary.bytes,
            classes: BTreeMap::new(),
            directories: Vec::new(),
            set_id: Vec::new(),
            capabilities: Vec::new(),
            rules: BTreeMap::new(),
        };
        let mut directories: BTreeMap<&[u8], TopDirectory> = BTreeMap::new();
        for entry in &tree.entries {
            let bytes = content_bytes(entry);
            census
                .classes
                .entry(entry.class.name())
                .or_default()
                .add(entry, bytes);
            let path = entry.path.as_bytes();
            if let Some(top) = path
                .split(|byte| *byte == b'/')
                .next()
                .filter(|top| !top.is_empty())
            {
                // A file in the root itself is no directory; one entry of its own shows nothing.
                if path.len() > top.len() || matches!(entry.node, Node::Directory) {
                    let directory = directories.entry(top).or_default();
                    directory.entries += 1;
                    directory.bytes = directory.bytes.saturating_add(bytes);
                }
            }
            census.look_closer(entry);
        }
        for (name, mut directory) in directories {
            directory.path = format!("/{}", earmark_manifest::escape::Escaped(name));
            census.directories.push(directory);
        }
        census
            .directories
            .sort_by_key(|directory| std::cmp::Reverse((directory.bytes, directory.entries)));
        for rule in tree.rules.rules() {
            if rule.kind != RuleKind::Class(PathClass::Seal) {
                *census.rules.entry(rule.kind.name()).or_default() += 1;
            }
        }
        census
    }

    /// The programs that give whoever runs them more than they have.
    fn look_closer(&mut self, entry: &Entry) {
        let Node::Regular(_) = entry.node else {
            return;
        };
        if let Some(owner) = entry.owner.filter(|owner| owner.mode & 0o6000 != 0) {
            self.set_id.push(SetId {
                path: entry.path.to_string(),
                mode: format!("{:04o}", owner.mode),
                uid: owner.uid,
                gid: owner.gid,
            });
        }
        for xattr in &entry.xattrs {
            if xattr.name == XattrName::Capability {
                self.capabilities.push(Capability {
                    path: entry.path.to_string(),
                    capabilities: capability::describe(&xattr.value),
                });
            }
        }
    }
}

impl Counts {
    fn add(&mut self, entry: &Entry, bytes: u64) {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        match entry.node {
            Node::Regular(_) => self.files += 1,
            Node::Directory => self.directories += 1,
            Node::Symlink(_) => self.links += 1,
            Node::CharDevice(_) | Node::BlockDevice(_) | Node::Fifo | Node::Socket => {
                self.other += 1;
            }
        }
    }
}

fn content_bytes(entry: &Entry) -> u64 {
    let Node::Regular(Some(content)) = &entry.node else {
        return 0;
    };
    content.size
}

impl fmt::Display for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Tree: {} entries, {} in files",
            thousands(self.entries),
            size(self.bytes)
        )?;
        writeln!(
            f,
            "  {:<9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>11}",
            "class", "entries", "files", "dirs", "links", "other", "bytes"
        )?;
        for (class, counts) in &self.classes {
            writeln!(
                f,
                "  {class:<9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>11}",
                thousands(counts.entries),
                thousands(counts.files),
                thousands(counts.directories),
                thousands(counts.links),
                thousands(counts.other),
                size(counts.bytes)
            )?;
        }
        writeln!(f, "\nLargest directories")?;
        for directory in self.directories.iter().take(DIRECTORIES) {
            writeln!(
                f,
                "  {:>11}  {:>9} entries  {}",
                size(directory.bytes),
                thousands(directory.entries),
                directory.path
            )?;
        }
        let lines = self
            .set_id
            .iter()
            .map(|file| format!("{} {}:{}  {}", file.mode, file.uid, file.gid, file.path));
        list(f, "Set-id files", lines)?;
        let lines = self
            .capabilities
            .iter()
            .map(|file| format!("{}  {}", file.path, file.capabilities));
        list(f, "Files with capabilities", lines)?;
        let rules: Vec<String> = self
            .rules
            .iter()
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        writeln!(f, "\nClass rules: {}", rules.join(", "))
    }
}

fn list(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    lines: impl ExactSizeIterator<Item = String>,
) -> fmt::Result {
    let count = lines.len();
    if count == 0 {
        return writeln!(f, "\n{title}: none");
    }
    writeln!(f, "\n{title}: {count}")?;
    for line in lines.take(LISTED) {
        writeln!(f, "  {line}")?;
    }
    match count.saturating_sub(LISTED) {
        0 => Ok(()),
        more => writeln!(f, "  … and {more} more (--json has all)"),
    }
}
