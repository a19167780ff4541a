//! Roots that this program reads itself, without the kernel: the file systems in a disk image.

use std::{collections::HashSet, fmt, io};

use earmark_manifest::{
    class::PathClass,
    entry::{Xattr, XattrName},
    limits,
    path::ImagePath,
};
use rustix::fs::FileType;

use crate::{
    Doubt, ScanError,
    walk::{Scope, Seen, Stat, Step, Visitor, Walked},
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

/// Names in all of a source. A hostile file system can hold more than any signed tree.
const NAMES: usize = 5_000_000;

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
        let text = format!("it is larger than the {bound} bytes that are accepted");
        return Err(io::Error::other(text));
    }
    let (mut offset, mut buffer) = (0_u64, vec![0; 128 * 1024]);
    loop {
        let count = source.read_at(node, offset, &mut buffer)?;
        if count == 0 {
            return Ok(());
        }
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

/// Walks a source as [`crate::walk::walk`] walks a directory. All names are held until the last is known: a file
/// system is read without its kernel on a machine that has the memory, by the signer alone.
pub(crate) fn walk(
    source: &dyn Source,
    scope: &Scope<'_>,
    visitor: &mut dyn Visitor,
) -> Result<(), ScanError> {
    let walked = collect(source, scope)?;
    let mut doubts = walked.doubts.into_iter().peekable();
    let mut names: Vec<_> = walked.seen.into_iter().map(|seen| (seen, false)).collect();
    names.extend(walked.beneath_state.into_iter().map(|seen| (seen, true)));
    names.sort_by(|(one, _), (other, _)| one.path.cmp(&other.path));
    // Directories that the visitor does not want to look into.
    let mut passed: Option<ImagePath> = None;
    for (seen, is_beneath_state) in names {
        while let Some(doubt) = doubts.next_if(|doubt| doubt.path <= seen.path) {
            visitor.doubt(doubt);
        }
        if passed
            .as_ref()
            .is_some_and(|directory| seen.path.is_beneath(directory))
        {
            continue;
        }
        let path = seen.path.clone();
        match visitor.see(seen, is_beneath_state) {
            Step::Enter => {}
            Step::Pass => passed = Some(path),
            Step::Stop => return Ok(()),
        }
    }
    doubts.for_each(|doubt| visitor.doubt(doubt));
    Ok(())
}

fn collect(source: &dyn Source, scope: &Scope<'_>) -> Result<Walked, ScanError> {
    let failed = |what| {
        move |cause| ScanError {
            what,
            place: "/".to_owned(),
            cause,
        }
    };
    let top = source.root();
    let stat = Stat::of_node(top, &source.look(top).map_err(failed("look at"))?);
    let mut walked = Walked::default();
    walked.seen.push(Seen {
        path: ImagePath::root(),
        class: scope.rules.class_of(&ImagePath::root()),
        stat,
        target: None,
        xattrs: Some(xattrs(source, top).map_err(failed("read attributes of"))?),
    });
    let mut walk = Walk {
        source,
        scope,
        walked,
        // A directory has one name. One that is met again is a loop, or would be walked exponentially often.
        entered: HashSet::from([top]),
        waiting: vec![(ImagePath::root(), top, false)],
    };
    while let Some((path, node, is_state)) = walk.waiting.pop() {
        walk.directory(&path, node, is_state);
        if walk
            .walked
            .seen
            .len()
            .saturating_add(walk.walked.beneath_state.len())
            > NAMES
        {
            let cause = io::Error::other(format!("it has more than {NAMES} names"));
            return Err(failed("walk")(cause));
        }
    }
    let mut walked = walk.walked;
    for seen in [&mut walked.seen, &mut walked.beneath_state] {
        seen.sort_by(|one, other| one.path.cmp(&other.path));
    }
    walked
        .doubts
        .sort_by(|one, other| one.path.cmp(&other.path));
    Ok(walked)
}

struct Walk<'a> {
    source: &'a dyn Source,
    scope: &'a Scope<'a>,
    walked: Walked,
    entered: HashSet<NodeId>,
    waiting: Vec<(ImagePath, NodeId, bool)>,
}

impl Walk<'_> {
    fn directory(&mut self, path: &ImagePath, node: NodeId, is_state: bool) {
        let mut names = match self.source.list(node) {
            Ok(names) => names,
            Err(error) => return self.doubt(path, "list the directory", error),
        };
        names.sort_unstable();
        let twice = names
            .windows(2)
            .any(|pair| matches!(pair, [(one, _), (other, _)] if one == other));
        if twice {
            return self.doubt(path, "list the directory", "two entries have the same name");
        }
        for (name, child) in names {
            match path.join(&name) {
                Ok(path) => self.entry(path, child, is_state),
                Err(error) => self.doubt(path, "use a name in the directory", error),
            }
        }
    }

    fn entry(&mut self, path: ImagePath, node: NodeId, is_beneath_state: bool) {
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
            self.waiting.push((path.clone(), node, is_state));
        }
        let mut seen = Seen {
            path,
            class,
            stat: Stat::of_node(node, &metadata),
            target: None,
            xattrs: None,
        };
        if is_beneath_state {
            return self.walked.beneath_state.push(seen);
        }
        if !is_state {
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
        }
        self.walked.seen.push(seen);
    }

    fn doubt(&mut self, path: &ImagePath, what: &str, cause: impl fmt::Display) {
        self.walked.doubts.push(Doubt::new(path, what, cause));
    }
}

#[cfg(test)]
mod tests;
