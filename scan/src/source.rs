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
    walk::{Directory, Scope, Seen, Stat, Step, Visitor},
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
    /// The names in a directory, without `.` and `..`, in any order. An error, if they cost more than `room`, each
    /// by [`cost`].
    fn list(&self, directory: NodeId, room: usize) -> io::Result<Vec<(Box<[u8]>, NodeId)>>;
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
        let kind = source.look(node)?.kind();
        // As openat2 has it beneath a directory: what a link hides is not known to be absent.
        if kind == FileType::Symlink {
            return Err(rustix::io::Errno::LOOP.into());
        }
        if kind != FileType::Directory {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let mut found = None;
        for (listed, child) in source.list(node, HELD)? {
            // One of two entries of the same name is what another reader takes for the file.
            if *listed == *name && found.replace(child).is_some() {
                return Err(io::Error::other(
                    "duplicate name: two entries of its directory have this name",
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
    // The size is the disk's word: what comes is counted, too.
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
        // As for a file of this host, where a longer value is ERANGE: never cut, since its rest would go unseen.
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
    // Strictly: which of two values another reader takes is not known.
    if xattrs.is_sorted_by(|one, other| one.name < other.name) {
        Ok(xattrs.into())
    } else {
        Err(io::Error::other("duplicate extended attribute"))
    }
}

/// Walks a source as [`crate::walk::walk`] walks a directory. A directory is listed once its name was seen, and only
/// if the visitor enters it.
pub(crate) fn walk(
    source: &dyn Source,
    scope: &Scope<'_>,
    visitor: &mut dyn Visitor,
) -> Result<(), ScanError> {
    let mut walk = Walk::begin(source, scope)?;
    while let Some((path, (node, is_beneath_state))) = walk.waiting.pop_first() {
        walk.bytes = walk.bytes.saturating_sub(cost(path.as_bytes()));
        let seen = match walk.entry(path, node, is_beneath_state) {
            Ok(seen) => seen,
            Err(doubt) => {
                visitor.doubt(doubt);
                continue;
            }
        };
        let directory = scope.directory(&seen, is_beneath_state);
        match (visitor.see(seen, is_beneath_state), directory) {
            (Step::Stop, _) => return Ok(()),
            (Step::Enter, Some(directory)) => walk.list(&directory, node, visitor),
            (Step::Enter | Step::Pass, _) => {}
        }
    }
    Ok(())
}

/// A walk that meets names one after the other, in the order of their paths.
struct Walk<'a> {
    source: &'a dyn Source,
    scope: &'a Scope<'a>,
    /// Names that were listed and not yet come to, and whether they lie beneath a `state` directory. A
    /// directory's names sort behind its own path.
    waiting: BTreeMap<ImagePath, (NodeId, bool)>,
    /// Bytes of those and of `entered`, see [`HELD`].
    bytes: usize,
    /// Directories that were entered. A directory has one name: one that is met again is a loop, or would be
    /// walked exponentially often.
    entered: HashSet<NodeId>,
}

/// Bytes of names that are held: those that wait, and those of the directory that is listed. A hostile file system
/// has as many as it likes, each as long as a path can be.
const HELD: usize = 64 * 1024 * 1024;
/// Bytes that a name takes besides its own: of an allocation, and of the map that it waits in.
const EACH: usize = 96;
/// Part of [`EACH`] that a listing keeps until its end, for each name that it had.
const SLOT: usize = 32;
/// Bytes of a directory that was entered.
const ENTERED: usize = 48;

impl<'a> Walk<'a> {
    fn begin(source: &'a dyn Source, scope: &'a Scope<'a>) -> Result<Self, ScanError> {
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
        })
    }

    fn entry(&self, path: ImagePath, node: NodeId, is_beneath_state: bool) -> Result<Seen, Doubt> {
        let metadata = self
            .source
            .look(node)
            .map_err(|error| Doubt::new(&path, "look at it", error))?;
        let class = if is_beneath_state {
            PathClass::State
        } else {
            self.scope.rules.class_of(&path)
        };
        let mut seen = Seen {
            path,
            class,
            stat: Stat::of_node(node, &metadata),
            target: None,
            xattrs: None,
        };
        if class == PathClass::State {
            return Ok(seen);
        }
        let kind = metadata.kind();
        if kind == FileType::Symlink {
            let target = self.source.target(node);
            let target = target.map_err(|error| Doubt::new(&seen.path, "read the link", error))?;
            seen.target = Some(target.into());
        }
        if kind != FileType::RegularFile || !(self.scope.reads)(&seen.path, class) {
            let xattrs = xattrs(self.source, node);
            let doubt = |error| Doubt::new(&seen.path, "read its attributes", error);
            seen.xattrs = Some(xattrs.map_err(doubt)?);
        }
        Ok(seen)
    }

    /// Has the names of a directory wait.
    fn list(&mut self, directory: &Directory, node: NodeId, visitor: &mut dyn Visitor) {
        let path = &directory.path;
        let mut doubt = |what, cause: &dyn fmt::Display| {
            visitor.doubt(Doubt::new(path, what, cause));
        };
        if !self.entered.insert(node) {
            return doubt("enter the directory", &"the directory has two names");
        }
        self.bytes = self.bytes.saturating_add(ENTERED);
        let names = match self.source.list(node, HELD.saturating_sub(self.bytes)) {
            Ok(names) => names,
            Err(error) => return doubt("list the directory", &error),
        };
        // The listing is held until the last of its names waits, beside those that wait already.
        let total = names.len().saturating_mul(SLOT);
        let mut listed = names.iter().fold(total, |sum, (name, _)| {
            sum.saturating_add(cost(name)).saturating_sub(SLOT)
        });
        // One doubt for all: a hostile directory has millions of names that are none.
        let mut unusable = None;
        for (name, child) in names {
            listed = listed.saturating_sub(cost(&name).saturating_sub(SLOT));
            let child_path = match path.join(&name) {
                Ok(child_path) => child_path,
                Err(error) => {
                    unusable.get_or_insert(error);
                    continue;
                }
            };
            self.bytes = self.bytes.saturating_add(cost(child_path.as_bytes()));
            if self.bytes.saturating_add(listed) > HELD {
                // Names that are left out are in doubt with their directory, so that none passes for missing.
                doubt(
                    "list the directory",
                    &"too many names: more are pending than fit in memory",
                );
                break;
            }
            let child = (child, directory.is_state);
            // Which of the two a kernel opens is not known here.
            if self.waiting.insert(child_path, child).is_some() {
                doubt("list the directory", &"duplicate name in the directory");
                break;
            }
        }
        if let Some(error) = unusable {
            doubt("use a name in the directory", &error);
        }
    }
}

/// Bytes that a name or a path takes while it is held.
pub fn cost(name: &[u8]) -> usize {
    name.len().saturating_add(EACH)
}

#[cfg(test)]
mod tests;
