//! Opens and looks at what lies beneath a root's descriptor, never through a link in it.

use std::{
    ffi::CString,
    io,
    os::fd::{AsFd, OwnedFd},
};

use earmark_manifest::path::ImagePath;
use earmark_scan::Root;
use rustix::{
    fs::{FileType, OFlags, ResolveFlags, Stat},
    io::Errno,
};

/// A directory of the root, to change names in it.
///
/// Protects against an image whose links lead a signer that runs as root out of it: a link anywhere
/// on the way is an error. File systems mounted beneath the root are entered, since `/usr` may be one.
pub fn directory(root: &Root, path: &ImagePath) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    Ok(open(root, path, flags)?)
}

/// Returns the type of the object at `path`; none, if nothing is there.
pub fn kind(root: &Root, path: &ImagePath) -> io::Result<Option<FileType>> {
    Ok(stat(root, path)?.map(|stat| FileType::from_raw_mode(stat.st_mode)))
}

/// The metadata of what is at `path`, of a link itself; nothing, if nothing is there or if the way
/// to it leads through something that is not a directory.
pub fn stat(root: &Root, path: &ImagePath) -> io::Result<Option<Stat>> {
    match open(root, path, OFlags::PATH) {
        Ok(object) => Ok(Some(rustix::fs::fstat(object)?)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Tells whether an error of [`directory`] means that there is no such directory: nothing, a file or a link is on
/// the way.
pub fn is_no_directory(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP))
}

/// The names in a directory, without itself and its parent.
pub fn names(directory: impl AsFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

fn open(root: &Root, path: &ImagePath, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let bytes = if path.is_root() {
        b"."
    } else {
        path.as_bytes()
    };
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    earmark_scan::openat2(root.as_fd(), bytes, flags, resolve)
}
