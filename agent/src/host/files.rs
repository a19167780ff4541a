//! Files that are replaced: each is there whole or not at all.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use earmark_scan::Root;
use rustix::{
    fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, ResolveFlags},
    io::Errno,
};

/// Opens a directory beneath the root, through no link.
pub fn open_directory(root: &Root, path: &str) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // A link in the path could lead what root writes anywhere: openat2 ends with ELOOP instead.
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    earmark_scan::openat2(root.as_fd(), path, flags, resolve)
}

/// Reads a whole regular file of a directory, of at most `bound` bytes. No link is followed.
pub fn read(directory: impl AsFd, name: &str, bound: usize) -> io::Result<Vec<u8>> {
    let directory = directory.as_fd();
    let other = || io::Error::other("it is not a regular file");
    let is_file = |mode: u32| FileType::from_raw_mode(mode).is_file();
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    // To open a device is to act on it: what it is is asked first, and again of what was opened.
    if !is_file(rustix::fs::statat(directory, name, flags)?.st_mode) {
        return Err(other());
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, name, flags, Mode::empty())?;
    if !is_file(rustix::fs::fstat(&file)?.st_mode) {
        return Err(other());
    }
    let mut bytes = Vec::new();
    let most = u64::try_from(bound).unwrap_or(u64::MAX);
    File::from(file)
        .take(most.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() > bound {
        let text = format!("it is larger than the limit of {bound} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

/// Waits until nobody else works in a directory, or for a second: everybody who may open it may hold its lock.
/// The turn lasts as long as the directory is open.
pub fn wait_for_turn(directory: impl AsFd) {
    const TURNS: u32 = 50;
    for _ in 0..TURNS {
        match rustix::fs::flock(directory.as_fd(), FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => std::thread::sleep(Duration::from_millis(20)),
            // Any other error, too: a file system without locks must not keep a record from being written.
            _ => return,
        }
    }
}

/// Puts a file in the place of what has its name, and returns when a power cut cannot undo it.
pub fn replace(directory: impl AsFd, name: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
    let directory = directory.as_fd();
    let temporary = format!(".{name}.new");
    // One of a run that was cut short.
    let _ = rustix::fs::unlinkat(directory, &temporary, AtFlags::empty());
    let written = write(directory, &temporary, bytes, mode).and_then(|()| {
        rustix::fs::renameat(directory, &temporary, directory, name)?;
        // The rename is a change of the directory: without this a power cut can bring the old file back.
        rustix::fs::fsync(directory)?;
        Ok(())
    });
    if written.is_err() {
        let _ = rustix::fs::unlinkat(directory, &temporary, AtFlags::empty());
    }
    written
}

fn write(directory: impl AsFd, name: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
    // EXCL: what somebody put there after the unlink is refused, and not written through.
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(mode))?;
    let mut file = File::from(file);
    file.write_all(bytes)?;
    // Before the rename, which can reach the disk first: a power cut would leave an empty file under the name.
    file.sync_all()
}
