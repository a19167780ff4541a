//! Reads one directory: its names, and what each of them is.

use std::{
    ffi::CStr,
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
};

use earmark_manifest::{class::PathClass, path::ImagePath};
use nix::sched::CloneFlags;
use rustix::{
    fs::{AtFlags, FileType, RawDir},
    io::Errno,
};

use super::{Directory, Scope, Seen, Stat, crosses};
use crate::{Doubt, Root, ScanError, root::statx, xattr::XattrReader};

/// Bytes of names read from a directory at a time.
const BUFFER: usize = 32 * 1024;
/// A list that is charged for grows by so many bytes between two questions whether it may.
const STRIDE: usize = 256 * 1024;
/// Buffers for names are given back from this size on.
const NAMES: usize = 128 * 1024;

/// Content of a directory, in the order of the paths.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) directory: Directory,
    pub(super) met: Vec<Met>,
    /// Failures of the directory as a whole: names may be missing.
    pub(super) troubles: Vec<Doubt>,
    /// It holds more than may be kept, and nothing of it was.
    pub(super) is_flood: bool,
    /// About what it takes in memory.
    pub(super) bytes: usize,
    /// Bytes of these that were charged while it was read.
    pub(super) charged: usize,
}

/// A name, or why it could not be looked at.
#[derive(Debug)]
pub(super) enum Met {
    Seen(Seen),
    Doubt(Doubt),
}

impl Met {
    pub(super) fn path(&self) -> &ImagePath {
        match self {
            Self::Seen(seen) => &seen.path,
            Self::Doubt(doubt) => &doubt.path,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let more = match self {
            Self::Seen(seen) => {
                let target = seen.target.as_ref().map_or(0, |target| target.len());
                let xattrs = seen.xattrs.iter().flatten();
                let xattrs = xattrs.map(|xattr| xattr.value.len().saturating_add(32));
                target.saturating_add(xattrs.sum())
            }
            Self::Doubt(doubt) => doubt.problem.len(),
        };
        more.saturating_add(self.path().as_bytes().len())
            .saturating_add(size_of::<Self>())
    }
}

impl Listing {
    fn of(directory: &Directory) -> Self {
        Self {
            directory: directory.clone(),
            met: Vec::new(),
            troubles: Vec::new(),
            is_flood: false,
            bytes: size_of::<Self>(),
            charged: 0,
        }
    }

    /// Forgets what was read of it.
    pub(super) fn into_flood(mut self) -> Self {
        self.met = Vec::new();
        self.is_flood = true;
        self
    }

    /// Grows the list to `bytes`, and returns whether it may.
    fn grow(&mut self, bytes: usize, may_grow: &mut dyn FnMut(usize, usize) -> bool) -> bool {
        self.bytes = bytes;
        // All readers share the bound and its lock, which none of them should take for each name.
        if bytes.saturating_sub(self.charged) < STRIDE {
            return true;
        }
        let more = bytes.saturating_sub(self.charged);
        self.charged = bytes;
        may_grow(more, bytes)
    }
}

/// The names of a directory, one behind the other, each with the NUL that the kernel wants.
#[derive(Debug, Default)]
struct Names {
    bytes: Vec<u8>,
    /// Inode, start and end of each.
    places: Vec<(u64, usize, usize)>,
}

impl Names {
    fn push(&mut self, inode: u64, name: &CStr) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name.to_bytes_with_nul());
        self.places.push((inode, start, self.bytes.len()));
    }

    fn clear(&mut self) {
        // One huge directory must not leave its buffer with each of sixteen threads.
        if self.bytes.capacity() > NAMES {
            *self = Self::default();
        }
        self.bytes.clear();
        self.places.clear();
    }
}

/// Resources of one thread that reads directories.
pub(super) struct Lister<'a> {
    root: &'a Root,
    pub(super) scope: &'a Scope<'a>,
    xattrs: XattrReader,
    names: Names,
    pub(super) buffer: Vec<MaybeUninit<u8>>,
}

impl<'a> Lister<'a> {
    pub(super) fn new(root: &'a Root, scope: &'a Scope<'a>) -> Result<Self, ScanError> {
        // A working directory of this thread's own: attributes of links and devices can only be
        // read by name, and a name is safe to use only in a directory that is held open.
        nix::sched::unshare(CloneFlags::CLONE_FS).map_err(|errno| {
            super::order::whole(
                "set up a separate working directory for the walk of",
                errno.into(),
            )
        })?;
        Ok(Self {
            root,
            scope,
            xattrs: XattrReader::new(),
            names: Names::default(),
            buffer: vec![MaybeUninit::uninit(); BUFFER],
        })
    }

    /// Reads a directory, as long as it `may_grow` by so many bytes to so many.
    pub(super) fn read(
        &mut self,
        directory: &Directory,
        may_grow: &mut dyn FnMut(usize, usize) -> bool,
    ) -> Listing {
        let mut listing = Listing::of(directory);
        let opened = match self.open(directory) {
            Ok(opened) => opened,
            // It is gone, as such things go on a running host: nothing in it is in an image.
            Err(Errno::NOENT) if directory.is_state => return listing,
            Err(errno) => {
                let doubt = Doubt::new(&directory.path, "open the directory", errno);
                listing.troubles.push(doubt);
                return listing;
            }
        };
        self.names.clear();
        let mut names = std::mem::take(&mut self.names);
        let prefix = directory.path.as_bytes().len().saturating_add(1);
        let each = size_of::<Met>().saturating_add(prefix);
        let mut bytes = listing.bytes;
        let listed = list(&opened, &mut self.buffer, |inode, name, _| {
            names.push(inode, name);
            // Charged by its name alone: a `stat` for each of a million names would be work that an attacker decides.
            bytes = bytes
                .saturating_add(each)
                .saturating_add(name.to_bytes().len());
            listing.grow(bytes, may_grow)
        });
        match listed {
            Ok(true) => {}
            Ok(false) => return listing.into_flood(),
            // Names may be missing, and a missing name must not pass for an absent file.
            Err(errno) => {
                let doubt = Doubt::new(&directory.path, "list the directory", errno);
                listing.troubles.push(doubt);
            }
        }
        // The order of the inodes is that of the disk, near enough.
        names.places.sort_unstable();
        listing.met.reserve_exact(names.places.len());
        // What was asked for by the names alone is asked for only once.
        let mut bytes = size_of::<Listing>();
        for (_, start, end) in &names.places {
            let name = names.bytes.get(*start..*end).unwrap_or_default();
            let Ok(name) = CStr::from_bytes_with_nul(name) else {
                continue;
            };
            match directory.path.join(name.to_bytes()) {
                Ok(path) => listing
                    .met
                    .extend(self.look(&opened, name, path, directory.is_state)),
                // Not only bad names: the kernel bounds the path of one call, and not how deep a tree is.
                Err(error) => {
                    let doubt = Doubt::new(&directory.path, "use a name in the directory", error);
                    // One says it for all of them.
                    if listing.troubles.len() < 2 {
                        listing.troubles.push(doubt);
                    }
                }
            }
            bytes = bytes.saturating_add(listing.met.last().map_or(0, Met::bytes));
            if bytes > listing.bytes && !listing.grow(bytes, may_grow) {
                return listing.into_flood();
            }
        }
        self.names = names;
        // The file system lists in any order; the comparison relies on that of the paths.
        listing.met.sort_by(|a, b| a.path().cmp(b.path()));
        let before = listing.met.len();
        listing.met.dedup_by(|a, b| a.path() == b.path());
        if listing.met.len() < before {
            listing.troubles.push(listed_twice(&directory.path));
        }
        listing
    }

    /// Opens a directory, and makes it the one that names of this thread are in.
    pub(super) fn open(&self, directory: &Directory) -> rustix::io::Result<OwnedFd> {
        let path = &directory.path;
        let opened = self
            .root
            .open_directory(path, crosses(self.scope.mounts, path))?;
        // By descriptor: the directory that was resolved beneath the root, whatever its path leads to by now.
        rustix::process::fchdir(&opened)?;
        Ok(opened)
    }

    /// Looks at a name of the directory that was opened last.
    pub(super) fn look(
        &mut self,
        directory: &OwnedFd,
        name: &CStr,
        path: ImagePath,
        is_beneath_state: bool,
    ) -> Option<Met> {
        let mut stat = match statx(directory, name, AtFlags::empty()) {
            Ok(stat) => Stat::of(&stat),
            // Elsewhere a name that goes away meanwhile is a doubt: the signed tree may have it.
            Err(Errno::NOENT) if is_beneath_state => return None,
            Err(errno) => return Some(doubt(&path, "look at it", errno)),
        };
        // A declared mount is a part of the image; any other hides the sealed directory beneath it.
        stat.mount &= !self.scope.mounts.contains(&path);
        let class = if is_beneath_state {
            PathClass::State
        } else {
            self.scope.rules.class_of(&path)
        };
        let file_type = stat.file_type();
        let mut seen = Seen {
            path,
            class,
            stat,
            target: None,
            xattrs: None,
        };
        // What is free to change has neither attributes nor targets that anybody compares.
        if class != PathClass::State {
            if file_type == FileType::Symlink {
                match rustix::fs::readlinkat(directory, name, Vec::new()) {
                    Ok(target) => seen.target = Some(target.into_bytes().into()),
                    Err(errno) => return Some(doubt(&seen.path, "read the link", errno)),
                }
            }
            // Those are asked through the descriptor that is hashed: by name they could be another file's.
            let is_read =
                file_type == FileType::RegularFile && (self.scope.reads)(&seen.path, class);
            if !is_read {
                // By name: getxattrat came with Linux 6.13, and to open a pipe or a device does something to it.
                match self.xattrs.of_name(name) {
                    Ok(xattrs) => seen.xattrs = Some(xattrs),
                    Err(errno) => return Some(doubt(&seen.path, "read its attributes", errno)),
                }
            }
        }
        Some(Met::Seen(seen))
    }
}

/// Calls `each` with inode, name and kind of every name, until it says no; then this does, too.
pub(super) fn list(
    directory: &OwnedFd,
    buffer: &mut [MaybeUninit<u8>],
    mut each: impl FnMut(u64, &CStr, FileType) -> bool,
) -> rustix::io::Result<bool> {
    let mut names = RawDir::new(directory.as_fd(), buffer);
    while let Some(entry) = names.next() {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..")
            && !each(entry.ino(), entry.file_name(), entry.file_type())
        {
            return Ok(false);
        }
    }
    Ok(true)
}

fn doubt(path: &ImagePath, what: &str, errno: Errno) -> Met {
    Met::Doubt(Doubt::new(path, what, errno))
}

/// A name that comes twice was moved meanwhile, and others may have been missed.
pub(super) fn listed_twice(directory: &ImagePath) -> Doubt {
    Doubt::new(
        directory,
        "list the directory",
        "duplicate name: the directory changed while it was read",
    )
}
