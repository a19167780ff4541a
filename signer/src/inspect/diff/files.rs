//! The files of two trees: which were added, removed, changed, and how.

use std::collections::{BTreeMap, HashMap};

use earmark_manifest::{
    entry::{Content, Device, Entry, LinkGroup, Node, XattrName},
    escape::Escaped,
    path::ImagePath,
};
use serde::Serialize;

use super::Change;
use crate::{
    inspect::{capability, packages::Packages},
    io::output::thousands,
};

/// Kind of change of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is another.
    Changed,
}

/// A file that is not as it was.
#[derive(Debug, Clone, Serialize)]
pub struct FileChange {
    /// Path; escaped, when serialized.
    #[serde(serialize_with = "as_text")]
    pub path: ImagePath,
    /// Kind of the change.
    pub kind: Kind,
    /// Fields of the entry that changed.
    pub fields: Vec<Change>,
    /// True, if it is a program that gives away rights, and was not the same before.
    #[serde(skip)]
    pub notable: bool,
}

/// Files of one package.
#[derive(Debug, Serialize)]
pub struct Group {
    /// Name of the package; none for files that no package claims.
    pub package: Option<String>,
    /// Number of files that were added.
    pub added: usize,
    /// Number of files that were removed.
    pub removed: usize,
    /// Number of files that were changed.
    pub changed: usize,
    /// In the order of their paths.
    pub files: Vec<FileChange>,
}

/// Compares two trees, both in the order of their paths.
pub fn compare(old: &[Entry], new: &[Entry]) -> Vec<FileChange> {
    let (old_links, new_links) = (first_names(old), first_names(new));
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    let mut changes = Vec::new();
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return changes,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(old), Some(new)) => old.path.cmp(&new.path),
        };
        let before = order.is_le().then(|| old.next()).flatten();
        let after = order.is_ge().then(|| new.next()).flatten();
        match (before, after) {
            (Some(entry), None) => changes.push(FileChange {
                path: entry.path.clone(),
                kind: Kind::Removed,
                fields: Vec::new(),
                notable: false,
            }),
            (None, Some(entry)) => changes.push(FileChange {
                path: entry.path.clone(),
                kind: Kind::Added,
                fields: powers(entry),
                notable: !powers(entry).is_empty(),
            }),
            (Some(before), Some(after)) => {
                let old_fields = fields(before, &old_links);
                let new_fields = fields(after, &new_links);
                let fields = different(&old_fields, &new_fields);
                if !fields.is_empty() {
                    changes.push(FileChange {
                        path: after.path.clone(),
                        kind: Kind::Changed,
                        fields,
                        notable: !powers(after).is_empty() && powers(after) != powers(before),
                    });
                }
            }
            (None, None) => {}
        }
    }
}

/// Added, removed, changed.
pub fn count(files: &[FileChange]) -> (usize, usize, usize) {
    let of = |kind: Kind| files.iter().filter(|file| file.kind == kind).count();
    (of(Kind::Added), of(Kind::Removed), of(Kind::Changed))
}

/// By package, those of none first: these are the ones that no package change explains.
pub fn group(files: Vec<FileChange>, old: Option<&Packages>, new: Option<&Packages>) -> Vec<Group> {
    let mut groups: BTreeMap<Option<String>, Vec<FileChange>> = BTreeMap::new();
    for file in files {
        let owner = |packages: Option<&Packages>| {
            packages.and_then(|packages| packages.owner(&file.path).map(str::to_owned))
        };
        let package = owner(new).or_else(|| owner(old));
        groups.entry(package).or_default().push(file);
    }
    groups
        .into_iter()
        .map(|(package, files)| {
            let (added, removed, changed) = count(&files);
            Group {
                package,
                added,
                removed,
                changed,
                files,
            }
        })
        .collect()
}

/// Each hard-link group by its first name: numbers shift when another group comes before.
fn first_names(entries: &[Entry]) -> HashMap<LinkGroup, &ImagePath> {
    let mut names = HashMap::new();
    for entry in entries {
        if let Node::Regular(Some(Content {
            links: Some(group), ..
        })) = &entry.node
        {
            names.entry(*group).or_insert(&entry.path);
        }
    }
    names
}

/// Returns the recorded fields of an entry: name, and value in words.
fn fields(entry: &Entry, links: &HashMap<LinkGroup, &ImagePath>) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("type", entry.node.kind().to_owned()),
        ("class", entry.class.name().to_owned()),
    ];
    if let Some(owner) = &entry.owner {
        fields.push(("mode", format!("{:04o}", owner.mode)));
        fields.push(("user", owner.uid.to_string()));
        fields.push(("group", owner.gid.to_string()));
    }
    match &entry.node {
        Node::Regular(Some(content)) => {
            let size = thousands(content.size);
            let digest = content.sha256.hex();
            let short = digest.get(..12).unwrap_or_default();
            fields.push(("content", format!("{size} bytes ({short}…)")));
            if let Some(first) = content.links.and_then(|group| links.get(&group)) {
                fields.push(("hard links", format!("shares {first}")));
            }
        }
        Node::Symlink(Some(target)) => fields.push(("target", Escaped(target).to_string())),
        Node::CharDevice(Some(Device { major, minor }))
        | Node::BlockDevice(Some(Device { major, minor })) => {
            fields.push(("device", format!("{major}:{minor}")));
        }
        Node::Regular(None)
        | Node::Symlink(None)
        | Node::CharDevice(None)
        | Node::BlockDevice(None)
        | Node::Directory
        | Node::Fifo
        | Node::Socket => {}
    }
    for xattr in &entry.xattrs {
        let text = match xattr.name {
            XattrName::Capability => capability::describe(&xattr.value),
            XattrName::Selinux | XattrName::AclAccess | XattrName::AclDefault => {
                Escaped(&xattr.value).to_string()
            }
        };
        fields.push((xattr.name.name(), text));
    }
    fields
}

fn different(old: &[(&'static str, String)], new: &[(&'static str, String)]) -> Vec<Change> {
    let find = |fields: &[(&str, String)], name: &str| {
        let found = fields.iter().find(|(known, _)| *known == name);
        found.map(|(_, text)| text.clone())
    };
    let mut names: Vec<&'static str> = old.iter().chain(new).map(|(name, _)| *name).collect();
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(*name));
    names
        .into_iter()
        .map(|name| Change {
            name: name.to_owned(),
            old: find(old, name),
            new: find(new, name),
        })
        .filter(|change| change.old != change.new)
        .collect()
}

/// Returns the powers that a program gives to whoever runs it: set-id bits and capabilities.
fn powers(entry: &Entry) -> Vec<Change> {
    let mut powers = Vec::new();
    let mut power = |name: &str, text: String| {
        powers.push(Change {
            name: name.to_owned(),
            old: None,
            new: Some(text),
        });
    };
    if !matches!(entry.node, Node::Regular(_)) {
        return powers;
    }
    if let Some(owner) = entry.owner.filter(|owner| owner.mode & 0o6000 != 0) {
        power(
            "mode",
            format!("{:04o} {}:{}", owner.mode, owner.uid, owner.gid),
        );
    }
    for xattr in &entry.xattrs {
        if xattr.name == XattrName::Capability {
            power(xattr.name.name(), capability::describe(&xattr.value));
        }
    }
    powers
}

fn as_text<S: serde::Serializer>(path: &ImagePath, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(path)
}
