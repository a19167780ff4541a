//! The same tree for tools that others wrote.

mod fapolicyd;
mod mtree;
mod sha256sums;

use crate::inspect::source::Tree;

/// A format of another tool.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Format {
    /// A specification for `NetBSD`'s mtree
    Mtree,
    /// A list for `sha256sum --check`
    Sha256sums,
    /// A trust file for fapolicyd
    Fapolicyd,
}

/// An exported tree.
#[derive(Debug)]
pub struct Exported {
    /// The file's bytes.
    pub bytes: Vec<u8>,
    /// Notes about what the format cannot express, for people.
    pub notes: Vec<String>,
}

/// `tree` in this format.
pub fn export(tree: &Tree, format: Format) -> Exported {
    match format {
        Format::Mtree => mtree::export(tree),
        Format::Sha256sums => sha256sums::export(tree),
        Format::Fapolicyd => fapolicyd::export(tree),
    }
}

#[cfg(test)]
mod tests {
    use earmark_manifest::{
        class::{PathClass, Pattern, Rule, RuleKind, RuleSet},
        crypto::sha256,
        digest::VerityDigest,
        entry::{Content, Entry, Node, Owner},
        path::ImagePath,
        tree::TreeSummary,
    };

    use crate::inspect::source::Tree;

    fn entry(path: ImagePath, node: Node, mode: u32) -> Entry {
        Entry {
            path,
            class: PathClass::Sealed,
            node,
            owner: Some(Owner {
                mode,
                uid: 0,
                gid: 0,
            }),
            xattrs: Vec::new(),
        }
    }

    /// A file that holds an `x`.
    pub fn file(path: &[u8]) -> Entry {
        let content = Content {
            size: 1,
            sha256: sha256(b"x"),
            verity: VerityDigest::new([0; 32]),
            links: None,
        };
        let path = ImagePath::from_relative(path).unwrap();
        entry(path, Node::Regular(Some(content)), 0o644)
    }

    pub fn directory(path: &[u8]) -> Entry {
        let path = ImagePath::from_relative(path).unwrap();
        entry(path, Node::Directory, 0o755)
    }

    pub fn with_mode(mut entry: Entry, mode: u32) -> Entry {
        entry.owner.as_mut().unwrap().mode = mode;
        entry
    }

    /// Such as `mutable /etc/x`.
    pub fn rule(text: &str) -> Rule {
        let (class, pattern) = text.split_once(' ').unwrap();
        let class = match class {
            "state" => PathClass::State,
            "mutable" => PathClass::Mutable,
            "generated" => PathClass::Generated,
            other => panic!("{other}"),
        };
        let pattern = Pattern::parse(pattern.as_bytes()).unwrap();
        Rule::new(RuleKind::Class(class), pattern)
    }

    pub fn tree_with(mut entries: Vec<Entry>, rules: Vec<Rule>) -> Tree {
        entries.insert(0, entry(ImagePath::root(), Node::Directory, 0o755));
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Tree {
            rules: RuleSet::resolve(rules).unwrap(),
            summary: TreeSummary {
                entries: entries.len().try_into().unwrap(),
                bytes: 0,
            },
            entries,
        }
    }

    pub fn tree(entries: Vec<Entry>) -> Tree {
        tree_with(entries, Vec::new())
    }
}
