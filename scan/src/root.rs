//! [`Root`]: the one way to open anything in an image.

use std::{
    io::{self, Read},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use earmark_manifest::path::ImagePath;
use rustix::{
    fs::{AtFlags, Dir, FileType, MemfdFlags, Mode, OFlags, ResolveFlags, Statx, StatxFlags},
    io::Errno,
};

use crate::source::{self, Source};

/// The size that sysfs says of its files.
const PAGE: usize = 4096;
/// Bytes read at a time where a file is not kept: they stay in the processor's cache.
pub(crate) const PIECE: usize = 128 * 1024;

/// A root directory. All paths are resolved beneath its descriptor, without following symbolic
/// links and without leaving it, whatever happens to the tree meanwhile.
///
/// Protects against links and `..` that lead out of an image, and against a directory that is
/// swapped for a link while it is walked. Does not protect against the directory itself having been
/// the wrong one when it was opened.
#[derive(Debug)]
pub struct Root {
    directory: OwnedFd,
    /// The tree that is read instead of the directory, if this is no directory of this host.
    source: Option<Box<dyn Source>>,
    path: PathBuf,
    /// Device and inode of the directory.
    id: (u64, u64),
}

/// Names of a directory that [`Root::list`] returns at most. Of units, a large server has 600.
const LISTED: usize = 65_536;

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// As the directory has it.
    pub name: Vec<u8>,
    /// Type of the object, as the directory has it.
    pub kind: FileType,
}

/// Failure of an operation in a root, and its cause.
#[derive(Debug, thiserror::Error)]
#[error("failed to {what} '{place}': {cause}")]
pub struct ScanError {
    /// Such as "open".
    pub what: &'static str,
    /// The path, escaped.
    pub place: String,
    /// Cause of the failure.
    pub cause: io::Error,
}

impl ScanError {
    /// Returns whether the file is there and over the bound of the call. Reading it never fails so for the
    /// kernel, whose own error of that kind has a number.
    pub fn is_over_bound(&self) -> bool {
        self.cause.kind() == io::ErrorKind::FileTooLarge && self.cause.raw_os_error().is_none()
    }
}

impl Root {
    /// Opens the directory `path`, which may be reached through links: it is the caller's word.
    pub fn open(path: &Path) -> Result<Self, ScanError> {
        let error = |what| {
            move |errno: Errno| ScanError {
                what,
                place: earmark_manifest::escape::Escaped(path.as_os_str().as_encoded_bytes())
                    .to_string(),
                cause: errno.into(),
            }
        };
        // Not O_PATH: the root's own attributes are read through it, and flistxattr answers EBADF to such a descriptor.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(path, flags, Mode::empty())
            .map_err(error("open the root directory"))?;
        let stat = statx(&directory, c"", AtFlags::EMPTY_PATH).map_err(error("look at"))?;
        Ok(Self {
            directory,
            source: None,
            path: path.to_owned(),
            id: device_and_inode(&stat),
        })
    }

    /// Makes a root of a file system that this program reads itself; `path` is what messages call it.
    ///
    /// It has no directory to open anything beneath: its descriptor is that of an empty file, so that whoever
    /// tries gets `ENOTDIR`, and never something of this host.
    pub fn of_source(source: Box<dyn Source>, path: &Path) -> Result<Self, ScanError> {
        let error = |errno: Errno| ScanError {
            what: "make a root of",
            place: earmark_manifest::escape::Escaped(path.as_os_str().as_encoded_bytes())
                .to_string(),
            cause: errno.into(),
        };
        let flags = MemfdFlags::CLOEXEC;
        let directory = rustix::fs::memfd_create(c"earmark-root", flags).map_err(error)?;
        let stat = statx(&directory, c"", AtFlags::EMPTY_PATH).map_err(error)?;
        Ok(Self {
            directory,
            source: Some(source),
            path: path.to_owned(),
            id: device_and_inode(&stat),
        })
    }

    /// Returns the tree that is read instead of a directory of this host, if there is one.
    pub(crate) fn source(&self) -> Option<&dyn Source> {
        self.source.as_deref()
    }

    /// Device number of the file system of the directory itself, as a walk has those of what it meets.
    pub(crate) fn device(&self) -> u64 {
        self.id.0
    }

    /// The path that it was opened by, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether this is the root of the running host itself.
    pub fn is_live(&self) -> bool {
        let live = rustix::fs::open(
            "/",
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .and_then(|live| statx(&live, c"", AtFlags::EMPTY_PATH));
        // If that cannot be told, it is treated as live: the careful answer.
        // Not by path: `/proc/self/root` and a bind mount of `/` are the live root, too.
        live.map_or(true, |live| device_and_inode(&live) == self.id)
    }

    /// Reads a whole regular file of at most `bound` bytes. It may lie on another file system: `/usr`
    /// and `/var` often do, and whether they may is for the walk to say.
    pub fn read(&self, path: &ImagePath, bound: usize) -> Result<Vec<u8>, ScanError> {
        if let Some(source) = self.source() {
            let mut bytes = Vec::new();
            let read = source::read(source, path, bound, |piece| bytes.extend_from_slice(piece));
            return read
                .map(|()| bytes)
                .map_err(|cause| failed("read", path, cause));
        }
        let (file, size) = self.open_regular(path)?;
        refuse_by_size(path, size, bound)?;
        // The size is the file system's word, and a file may grow: one byte more than the bound tells a longer one.
        let most = u64::try_from(bound).unwrap_or(u64::MAX).saturating_add(1);
        // A buffer that grows as it is read would be copied and faulted in again and again.
        let expected = usize::try_from(size).unwrap_or(bound).min(bound);
        let mut bytes = Vec::with_capacity(expected.saturating_add(1));
        file.take(most)
            .read_to_end(&mut bytes)
            .map_err(|cause| failed("read", path, cause))?;
        if bytes.len() > bound {
            return Err(too_large(path, bound));
        }
        Ok(bytes)
    }

    /// Reads a file as [`Root::read`] does, and hands it on piece by piece.
    pub(crate) fn read_in_pieces(
        &self,
        path: &ImagePath,
        bound: usize,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), ScanError> {
        if let Some(source) = self.source() {
            let read = source::read(source, path, bound, each);
            return read.map_err(|cause| failed("read", path, cause));
        }
        let (mut file, size) = self.open_regular(path)?;
        refuse_by_size(path, size, bound)?;
        let mut buffer = vec![0; PIECE];
        // By what comes and not by the size: FUSE can say 0 of a file that has no end.
        let mut left = bound;
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    left = left
                        .checked_sub(count)
                        .ok_or_else(|| too_large(path, bound))?;
                    each(buffer.get(..count).unwrap_or_default());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(failed("read", path, cause)),
            }
        }
    }

    /// The bytes that a regular file is said to have.
    pub fn size_of_regular(&self, path: &ImagePath) -> Result<u64, ScanError> {
        let Some(source) = self.source() else {
            return self.open_regular(path).map(|(_, size)| size);
        };
        let metadata = source::find(source, path)
            .and_then(|node| source.look(node))
            .map_err(|cause| failed("look at", path, cause))?;
        if metadata.kind() != FileType::RegularFile {
            let cause = io::Error::other("it is not a regular file");
            return Err(failed("read", path, cause));
        }
        Ok(metadata.size)
    }

    /// Opens a regular file to be read, as [`Root::read`] does, with the bytes that it is said to have.
    pub fn open_regular(&self, path: &ImagePath) -> Result<(std::fs::File, u64), ScanError> {
        let open = |errno: Errno| failed("open", path, errno.into());
        let regular = |file: &OwnedFd| {
            let stat = statx(file, c"", AtFlags::EMPTY_PATH)
                .map_err(|errno| failed("look at", path, errno.into()))?;
            if FileType::from_raw_mode(stat.stx_mode.into()).is_file() {
                return Ok(stat.stx_size);
            }
            let cause = io::Error::other("it is not a regular file");
            Err(failed("read", path, cause))
        };
        // To open a device is to act on it (a watchdog starts, a tape winds back): its name is looked at first.
        let name = self.open_beneath(path, OFlags::PATH, true).map_err(open)?;
        regular(&name)?;
        let file = self.open_file(path, true).map_err(open)?;
        // And again, of what was opened: a name could be swapped for a pipe between the look and the open.
        let size = regular(&file)?;
        Ok((file.into(), size))
    }

    /// Like [`Root::read`]; nothing if there is no such file.
    pub fn read_opt(&self, path: &ImagePath, bound: usize) -> Result<Option<Vec<u8>>, ScanError> {
        match self.read(path, bound) {
            // A link or a file where a directory belongs is an error and no absence.
            Err(error) if error.cause.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    /// Returns whether something of this name is there, whatever it is. A link is there, wherever it leads.
    pub fn exists(&self, path: &ImagePath) -> Result<bool, ScanError> {
        if let Some(source) = self.source() {
            return source::find_opt(source, path)
                .map(|node| node.is_some())
                .map_err(|cause| failed("look at", path, cause));
        }
        // O_PATH with O_NOFOLLOW opens a trailing link itself, even under RESOLVE_NO_SYMLINKS (openat2(2)).
        match self.open_beneath(path, OFlags::PATH, true) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
            Err(errno) => Err(failed("look at", path, errno.into())),
        }
    }

    /// The names in a directory and what each is, without `.` and `..`, sorted; nothing if there is no
    /// such directory. The path is relative, and links on the way are followed, but not out of the root.
    /// A directory with more than 65,536 names is `EOVERFLOW`.
    pub fn list(&self, path: &str) -> rustix::io::Result<Option<Vec<Listed>>> {
        // An absent directory would be an answer, and nobody looked.
        if self.source.is_some() {
            return Err(Errno::OPNOTSUPP);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // IN_ROOT rebases absolute links. It implies NO_MAGICLINKS today, and openat2(2) says that this may change.
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let opened = crate::openat2(&self.directory, path, flags, resolve);
        let directory = match opened {
            Ok(directory) => directory,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let mut names = Vec::new();
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                // It is all kept: a hostile root has as many names as it likes.
                if names.len() >= LISTED {
                    return Err(Errno::OVERFLOW);
                }
                names.push(Listed {
                    name: name.to_vec(),
                    kind: entry.file_type(),
                });
            }
        }
        names.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(Some(names))
    }

    /// The descriptor of the root directory, for what a caller opens beneath it.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Opens a directory to be listed.
    pub(crate) fn open_directory(
        &self,
        path: &ImagePath,
        crossing: bool,
    ) -> rustix::io::Result<OwnedFd> {
        self.open_beneath(path, OFlags::RDONLY | OFlags::DIRECTORY, crossing)
    }

    /// Opens a file to be read. Should a pipe have taken its place, this does not wait for a writer.
    pub(crate) fn open_file(
        &self,
        path: &ImagePath,
        crossing: bool,
    ) -> rustix::io::Result<OwnedFd> {
        self.open_beneath(
            path,
            // NOCTTY: a terminal in the file's place must not become that of a service without one.
            OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY,
            crossing,
        )
    }

    fn open_beneath(
        &self,
        path: &ImagePath,
        flags: OFlags,
        crossing: bool,
    ) -> rustix::io::Result<OwnedFd> {
        // BENEATH and not IN_ROOT: an image path has neither links nor `..`, so what leads out is refused, not rebased.
        let mut resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        if !crossing {
            // What was mounted on the way since the walk saw it answers EXDEV, which is a doubt.
            resolve |= ResolveFlags::NO_XDEV;
        }
        // openat2 answers ENOENT to the empty path.
        let bytes = if path.is_root() {
            b"."
        } else {
            path.as_bytes()
        };
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        crate::openat2(&self.directory, bytes, flags, resolve)
    }
}

fn failed(what: &'static str, path: &ImagePath, cause: io::Error) -> ScanError {
    ScanError {
        what,
        place: path.to_string(),
        cause,
    }
}

/// Refuses a file before a byte of it is read. sysfs says a page of each of its files, however short.
fn refuse_by_size(path: &ImagePath, size: u64, bound: usize) -> Result<(), ScanError> {
    match usize::try_from(size) {
        Ok(size) if size <= bound.max(PAGE) => Ok(()),
        _ => Err(too_large(path, bound)),
    }
}

fn too_large(path: &ImagePath, bound: usize) -> ScanError {
    failed("read", path, over_bound(bound))
}

/// The error that [`ScanError::is_over_bound`] recognizes.
pub(crate) fn over_bound(bound: usize) -> io::Error {
    let text = format!("it is larger than the limit of {bound} bytes");
    io::Error::new(io::ErrorKind::FileTooLarge, text)
}

/// Metadata without waiting for a network file system to agree and without mounting anything.
pub(crate) fn statx(
    directory: impl AsFd,
    name: &std::ffi::CStr,
    flags: AtFlags,
) -> rustix::io::Result<Statx> {
    let flags =
        flags | AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    // The kernel fills in the attributes (verity, mount root) whatever is asked for.
    rustix::fs::statx(directory, name, flags, StatxFlags::BASIC_STATS)
}

fn device_and_inode(stat: &Statx) -> (u64, u64) {
    (
        u64::from(stat.stx_dev_major) << 32 | u64::from(stat.stx_dev_minor),
        stat.stx_ino,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_file_of_sysfs_is_read_within_a_small_bound() {
        let root = Root::open(Path::new("/")).unwrap();
        let path = ImagePath::from_absolute(b"/sys/devices/system/cpu/online").unwrap();
        let size = root.size_of_regular(&path).unwrap();
        assert_eq!(usize::try_from(size).unwrap(), PAGE);
        assert!(!root.read(&path, 256).unwrap().is_empty());
        // The control: what is longer than the bound is refused when it is read.
        assert!(root.read(&path, 1).unwrap_err().is_over_bound());
    }
}
