//! Roots that this program reads itself, without the kernel: the file systems in a disk image.

use std::{
    collections::{BTreeMap, HashSet},
    fmt, io,
};

use earmark_manifest::{
    class::PathClass,
    entry::{Xattr, XattrName},
    limits,
    path::ImagePath,
};
use rustix::fs::FileType;

use crate::{
    Doubt, ScanError,
    root::{PIECE, over_bound},
    walk::{Scope, Seen, Stat, Step, Visitor},
};

/// A tree of files that is not a directory of this host.
///
/// Whatever is behind it is hostile until it is verified: each method answers in bounded time and memory, or
/// with an error. An answer for a node is the same each time.
pub trait Source: fmt::Debug + Send + Sync {
    /// The root directory.
    fn root(&self) -> NodeId;
    /// The metadata of a node.
    fn look(&self, node: NodeId) -> io::Result<Metadata>;
    /// The names in a directory, without `.` and `..`, in any order.
    fn list(&self, directory: NodeId) -> io::Result<Vec<(Box<[u8]>, NodeId)>>;
    /// The target of a symbolic link.
    fn target(&self, link: NodeId) -> io::Result<Vec<u8>>;
    /// The extended attributes, as the kernel's `getxattr` returns them, by their full names.
    fn xattrs(&self, node: NodeId) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>>;
    /// Reads content from `offset` on, and returns the number of bytes: 0 at the end of the file only.
    fn read_at(&self, file: NodeId, offset: u64, into: &mut [u8]) -> io::Result<usize>;
}

/// One file of a [`Source`], whatever its names are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId {
    /// The file system, of those that the source has.
    pub volume: u64,
    /// The inode in the file system.
    pub inode: u64,
}

/// Metadata of a node, as `statx` would return it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// Type and permission bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Number of names.
    pub links: u32,
    /// Bytes of content.
    pub size: u64,
    /// Major and minor number, of a device node.
    pub rdev: (u32, u32),
}

impl Metadata {
    /// The type in [`Metadata::mode`].
    pub fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.mode.into())
    }
}

impl Stat {
    /// The node, of a name that [`walk`] met.
    pub(crate) fn node(&self) -> NodeId {
        NodeId {
            volume: self.device,
            inode: self.inode,
        }
    }
}

/// Finds the node at `path`. A link on the way is an error, as it is beneath a directory.
pub fn find(source: &dyn Source, path: &ImagePath) -> io::Result<NodeId> {
    let mut node = source.root();
    if path.is_root() {
        return Ok(node);
    }
    for name in path.as_bytes().split(|byte| *byte == b'/') {
        if source.look(node)?.kind() != FileType::Directory {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let mut found = None;
        for (listed, child) in source.list(node)? {
            // One of two entries of the same name is what another reader takes for the file.
            if *listed == *name && found.replace(child).is_some() {
                return Err(io::Error::other(
                    "two entries of its directory have its name",
                ));
            }
        }
        node = found.ok_or(io::ErrorKind::NotFound)?;
    }
    Ok(node)
}

/// Finds the node at `path`; none, if nothing is there.
pub(crate) fn find_opt(source: &dyn Source, path: &ImagePath) -> io::Result<Option<NodeId>> {
    match find(source, path) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        found => found.map(Some),
    }
}

/// Reads a whole regular file of at most `bound` bytes, piece by piece.
pub(crate) fn read(
    source: &dyn Source,
    path: &ImagePath,
    bound: usize,
    mut each: impl FnMut(&[u8]),
) -> io::Result<()> {
    let node = find(source, path)?;
    let metadata = source.look(node)?;
    if metadata.kind() != FileType::RegularFile {
        return Err(io::Error::other("it is not a regular file"));
    }
    if usize::try_from(metadata.size).map_or(true, |size| size > bound) {
        return Err(over_bound(bound));
    }
    let (mut offset, mut left, mut buffer) = (0_u64, bound, vec![0; PIECE]);
    loop {
        let count = source.read_at(node, offset, &mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        left = left.checked_sub(count).ok_or_else(|| over_bound(bound))?;
        each(buffer.get(..count).unwrap_or_default());
        offset = offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
}

/// The recorded attributes of a node, as [`crate::xattr`] reads them of a file.
pub(crate) fn xattrs(source: &dyn Source, node: NodeId) -> io::Result<Box<[Xattr]>> {
    let mut xattrs = Vec::new();
    for (name, value) in source.xattrs(node)? {
        let Some(name) = XattrName::from_name(&name).filter(|_| !value.is_empty()) else {
            continue;
        };
        if value.len() > limits::XATTR {
            return Err(io::Error::other(format!(
                "{} has {} bytes, and at most {} are accepted",
                name.name(),
                value.len(),
                limits::XATTR
            )));
        }
        let value = value.into();
        xattrs.push(Xattr { name, value });
    }
    xattrs.sort_by_key(|xattr| xattr.name);
    if xattrs.is_sorted_by(|one, other| one.name < other.name) {
        Ok(xattrs.into())
    } else {
        Err(io::Error::other("it has an attribute twice"))
    }
}

/// Walks a source as [`crate::walk::walk`] walks a directory.
pub(crate) fn walk(
    source: &dyn Source,
    scope: &Scope<'_>,
    visitor: &mut dyn Visitor,
) -> Result<(), ScanError> {
    let mut walk = Walk::begin(source, scope)?;
    while let Some(met) = walk.next() {
        match met {
            Met::Seen(seen, is_beneath_state) => {
                let path = seen.path.clone();
                match visitor.see(seen, is_beneath_state) {
                    Step::Enter => {}
                    Step::Pass => walk.pass(&path),
                    Step::Stop => return Ok(()),
                }
            }
            Met::Doubt(doubt) => visitor.doubt(doubt),
        }
    }
    Ok(())
}

/// What a walk of a source comes to.
pub(crate) enum Met {
    /// A name, and whether it lies beneath a `state` directory.
    Seen(Seen, bool),
    Doubt(Doubt),
}

/// A walk that brings names one after the other, in the order of their paths.
pub(crate) struct Walk<'a> {
    source: &'a dyn Source,
    scope: &'a Scope<'a>,
    /// Names that were listed and not yet come to, and whether they lie beneath a `state` directory. What a
    /// directory has sorts behind its own path.
    waiting: BTreeMap<ImagePath, (NodeId, bool)>,
    /// Bytes of those, see [`WAITING`].
    bytes: usize,
    /// Directories that were met. A directory has one name: one that is met again is a loop, or would be
    /// walked exponentially often.
    entered: HashSet<NodeId>,
    doubts: Vec<Doubt>,
}

/// Bytes of names that wait. A hostile file system has as many as it likes, each as long as a path can be.
const WAITING: usize = 48 * 1024 * 1024;
/// Bytes that a name takes besides those of its path.
const EACH: usize = 64;

impl<'a> Walk<'a> {
    pub(crate) fn begin(source: &'a dyn Source, scope: &'a Scope<'a>) -> Result<Self, ScanError> {
        let top = source.root();
        // Without a root directory there is no walk, and no doubt about a path either.
        let kind = source.look(top).map(|metadata| metadata.kind());
        match kind {
            Ok(FileType::Directory) => {}
            other => {
                let not_one = io::Error::from(io::ErrorKind::NotADirectory);
                return Err(ScanError {
                    what: "look at",
                    place: "/".to_owned(),
                    cause: other.err().unwrap_or(not_one),
                });
            }
        }
        Ok(Self {
            source,
            scope,
            waiting: BTreeMap::from([(ImagePath::root(), (top, false))]),
            bytes: 0,
            entered: HashSet::new(),
            doubts: Vec::new(),
        })
    }

    /// The next name, or a doubt, which comes before anything beneath its path.
    pub(crate) fn next(&mut self) -> Option<Met> {
        loop {
            if let Some(doubt) = self.doubts.pop() {
                return Some(Met::Doubt(doubt));
            }
            let (path, (node, is_beneath_state)) = self.waiting.pop_first()?;
            self.bytes = self.bytes.saturating_sub(cost(&path));
            if let Some(seen) = self.entry(path, node, is_beneath_state) {
                return Some(Met::Seen(seen, is_beneath_state));
            }
        }
    }

    /// Leaves out what is beneath a directory that was listed.
    fn pass(&mut self, directory: &ImagePath) {
        // No name begins with a lesser byte.
        let Ok(first) = directory.join(b"\x01") else {
            return;
        };
        let beneath = self.waiting.range(first..).map(|(path, _)| path);
        let beneath: Vec<ImagePath> = beneath
            .take_while(|path| path.is_beneath(directory))
            .cloned()
            .collect();
        for path in beneath {
            self.waiting.remove(&path);
            self.bytes = self.bytes.saturating_sub(cost(&path));
        }
    }

    fn entry(&mut self, path: ImagePath, node: NodeId, is_beneath_state: bool) -> Option<Seen> {
        let metadata = match self.source.look(node) {
            Ok(metadata) => metadata,
            Err(error) => return self.doubt(&path, "look at it", error),
        };
        let kind = metadata.kind();
        let class = if is_beneath_state {
            PathClass::State
        } else {
            self.scope.rules.class_of(&path)
        };
        let is_state = class == PathClass::State;
        if kind == FileType::Directory && (self.scope.state || !is_state) {
            if !self.entered.insert(node) {
                return self.doubt(&path, "enter the directory", "it has two names");
            }
            self.list(&path, node, is_state);
        }
        let mut seen = Seen {
            path,
            class,
            stat: Stat::of_node(node, &metadata),
            target: None,
            xattrs: None,
        };
        if is_state {
            return Some(seen);
        }
        if kind == FileType::Symlink {
            match self.source.target(node) {
                Ok(target) => seen.target = Some(target.into()),
                Err(error) => return self.doubt(&seen.path, "read the link", error),
            }
        }
        if kind != FileType::RegularFile || !(self.scope.reads)(&seen.path, class) {
            match xattrs(self.source, node) {
                Ok(xattrs) => seen.xattrs = Some(xattrs),
                Err(error) => return self.doubt(&seen.path, "read its attributes", error),
            }
        }
        Some(seen)
    }

    fn list(&mut self, path: &ImagePath, node: NodeId, is_state: bool) {
        let names = match self.source.list(node) {
            Ok(names) => names,
            Err(error) => return self.note(path, "list the directory", error),
        };
        for (name, child) in names {
            match path.join(&name) {
                Ok(child_path) => {
                    self.bytes = self.bytes.saturating_add(cost(&child_path));
                    if self.bytes > WAITING {
                        return self.note(
                            path,
                            "list the directory",
                            "more names wait than can be kept",
                        );
                    }
                    let known = self.waiting.insert(child_path, (child, is_state));
                    if known.is_some() {
                        return self.note(
                            path,
                            "list the directory",
                            "two entries have the same name",
                        );
                    }
                }
                Err(error) => self.note(path, "use a name in the directory", error),
            }
        }
    }

    fn doubt<T>(&mut self, path: &ImagePath, what: &str, cause: impl fmt::Display) -> Option<T> {
        self.note(path, what, cause);
        None
    }

    fn note(&mut self, path: &ImagePath, what: &str, cause: impl fmt::Display) {
        // One for each path and problem: a hostile directory has millions of names that are none.
        let doubt = Doubt::new(path, what, cause);
        if self.doubts.last() != Some(&doubt) {
            self.doubts.push(doubt);
        }
    }
}

fn cost(path: &ImagePath) -> usize {
    path.as_bytes().len().saturating_add(EACH)
}

#[cfg(test)]
mod tests;
