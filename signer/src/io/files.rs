//! Files of the host on which the signer runs: bounded reads, atomic writes.
//!
//! Nothing in here touches an image's root, whose links and names nobody vouches for: `place.rs` and
//! the scan do, beneath a directory descriptor.
//!
//! A temporary file is locked for as long as its run lives. A run that is killed loses the lock, so that the next
//! one knows its leftover from a file that another run is just writing; process ids would not tell, since two
//! containers with one volume have them twice.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::{
        fd::AsRawFd,
        unix::{
            ffi::OsStrExt,
            fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
        },
    },
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use rustix::{
    fs::{AtFlags, CWD, FlockOperation, Mode, OFlags},
    io::Errno,
};

use crate::{
    exit::{Exit, Exits, Outcome},
    io::output::quote,
};

/// Reads what was named on the command line, which may be a pipe: `--key <(command)`. More than
/// `bound` bytes is an error.
pub fn read(path: &Path, bound: usize, what: &str) -> Outcome<Vec<u8>> {
    let reading = || format!("failed to read the {what} {}", quote(path));
    let file = File::open(path)
        .with_context(reading)
        .exits(Exit::Undecided)?;
    read_bounded(file, bound, Exit::Usage, reading)
}

/// The same of a file that is open already.
pub fn read_open(file: File, path: &Path, bound: usize, what: &str) -> Outcome<Vec<u8>> {
    let reading = || format!("failed to read the {what} {}", quote(path));
    read_bounded(file, bound, Exit::Usage, reading)
}

/// Reads the file `name` of a directory that somebody else may have written; nothing, if there is none.
/// It must be a regular file: a FIFO of that name would be waited for without end.
pub fn read_in(directory: &Path, name: &str, bound: usize, what: &str) -> Outcome<Option<Vec<u8>>> {
    let path = directory.join(name);
    let reading = || format!("failed to read the {what} {}", quote(&path));
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(&path);
    let file = match file {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.with_context(reading).exits(Exit::Undecided)?,
    };
    let metadata = file
        .metadata()
        .with_context(reading)
        .exits(Exit::Undecided)?;
    if !metadata.is_file() {
        return Err(anyhow!("it is not a regular file"))
            .with_context(reading)
            .exits(Exit::Undecided);
    }
    // It is there, and not what a run of earmark wrote.
    read_bounded(file, bound, Exit::NotVerified, reading).map(Some)
}

/// The same, but a file that is not there is an error.
pub fn need_in(directory: &Path, name: &str, bound: usize, what: &str) -> Outcome<Vec<u8>> {
    read_in(directory, name, bound, what)?
        .ok_or_else(|| anyhow!("no such file"))
        .with_context(|| format!("failed to read the {what} {}", quote(&directory.join(name))))
        .exits(Exit::Undecided)
}

fn read_bounded(
    file: File,
    bound: usize,
    over: Exit,
    reading: impl Fn() -> String,
) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(bound).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit)
        .read_to_end(&mut bytes)
        .with_context(&reading)
        .exits(Exit::Undecided)?;
    if bytes.len() > bound {
        return Err(anyhow!("more than {bound} bytes"))
            .with_context(reading)
            .exits(over);
    }
    Ok(bytes)
}

/// The exit code of a failure to write what was named on the command line: another place is chosen by the
/// caller (2), a full or broken disk is not (11).
pub fn unwritable(error: &io::Error) -> Exit {
    use io::ErrorKind as Kind;
    let is_of_the_place = matches!(
        error.kind(),
        Kind::NotFound
            | Kind::NotADirectory
            | Kind::IsADirectory
            | Kind::AlreadyExists
            | Kind::InvalidFilename
            | Kind::PermissionDenied
            | Kind::ReadOnlyFilesystem
    );
    if is_of_the_place {
        Exit::Usage
    } else {
        Exit::Undecided
    }
}

/// Creates a file that must not exist yet: a key is never overwritten. It has its name once it is whole,
/// where the file system can do that (`O_TMPFILE`): a run that is killed leaves nothing.
pub fn create_new(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    match create_unnamed(path, mode, bytes) {
        Ok(Some(())) => sync_directory(parent(path)),
        Ok(None) => create_named(path, mode, bytes),
        Err(error) => Err(error),
    }
}

/// Nothing, if the file system or this host cannot do it.
fn create_unnamed(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<Option<()>> {
    let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
    let file = match rustix::fs::open(parent(path), flags, Mode::from_raw_mode(mode)) {
        // Old kernels take the flags for those of a directory.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => return Ok(None),
        file => File::from(file?),
    };
    let unnamed = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    if !unnamed.exists() {
        return Ok(None);
    }
    (&file).write_all(bytes)?;
    file.sync_all()?;
    match rustix::fs::linkat(CWD, &unnamed, CWD, path, AtFlags::SYMLINK_FOLLOW) {
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::XDEV | Errno::NOENT) => Ok(None),
        linked => Ok(Some(linked?)),
    }
}

fn create_named(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        // The error that is returned says why; a file that is left is half of one.
        let _ = fs::remove_file(path);
    }
    written
}

/// Puts `bytes` in place of the regular file at `path`, if there is anything, all or nothing, also over a crash.
///
/// A link is not followed, since in a directory that comes from elsewhere it may lead anywhere; and neither it nor a
/// device is replaced: root would have no `/dev/stdout` any more.
pub fn replace(path: &Path, bytes: &[u8]) -> Outcome<()> {
    let writing = || format!("failed to write {}", quote(path));
    if fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(anyhow!("it exists and is not a regular file"))
            .with_context(writing)
            .exits(Exit::Usage);
    }
    let name = path
        .file_name()
        .ok_or_else(|| anyhow!("not a file name"))
        .with_context(writing)
        .exits(Exit::Usage)?;
    let written = replace_with_temporary(path, name, bytes);
    let exit = written.as_ref().err().map_or(Exit::Internal, unwritable);
    written.with_context(writing).exits(exit)
}

fn replace_with_temporary(path: &Path, name: &OsStr, bytes: &[u8]) -> io::Result<()> {
    let directory = parent(path);
    remove_leftovers(directory, name);
    let (temporary, mut file) = create_temporary(directory, name)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.and_then(|()| sync_directory(directory))
}

/// Prefix of the names of temporary files and directories. `seal` and `measure` look for it in a root.
pub const TEMPORARY: &str = ".earmark-new.";

/// The name beside `name` of the `number`th try of this process.
fn temporary_name(name: &OsStr, number: u32) -> OsString {
    let mut temporary = OsString::from(TEMPORARY);
    temporary.push(name);
    temporary.push(format!(".{}-{number}", std::process::id()));
    temporary
}

/// An empty file for `name`, locked. Process ids come again, and another run may have the name that this
/// one would choose.
fn create_temporary(directory: &Path, name: &OsStr) -> io::Result<(PathBuf, File)> {
    for number in 0..100u32 {
        let path = directory.join(temporary_name(name, number));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(&path);
        match file {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Ok(file) if !keep(&file)? => {}
            file => return Ok((path, file?)),
        }
    }
    Err(io::Error::other(
        "failed to find a free name for a temporary file",
    ))
}

/// Locks what was just made. False, if another run took it for a leftover before it was locked.
fn keep(made: &File) -> io::Result<bool> {
    let locked = rustix::fs::flock(made, FlockOperation::NonBlockingLockExclusive);
    if locked == Err(Errno::WOULDBLOCK) {
        return Ok(false);
    }
    // A file system without locks has none for a run that looks for leftovers either, which then stay.
    Ok(made.metadata()?.nlink() > 0)
}

/// Removes what killed runs left in a directory for any of `names`, whichever of them this run writes.
pub fn remove_leftovers_of(directory: &Path, names: &[&str]) {
    for name in names {
        remove_leftovers(directory, OsStr::new(name));
    }
}

/// Removes the temporary directories that killed runs left in `parent`.
pub fn remove_leftover_directories(parent: &Path) {
    remove_leftovers(parent, OsStr::new(DIRECTORY));
}

/// Removes the files and directories that killed runs left for `name`: those of this user that nobody has
/// locked. What cannot be removed stays, as it would without this.
fn remove_leftovers(directory: &Path, name: &OsStr) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        if is_temporary_of(&entry.file_name(), name) {
            let _ = remove_leftover(&entry.path());
        }
    }
}

fn is_temporary_of(found: &OsStr, name: &OsStr) -> bool {
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let rest = found.as_bytes().strip_prefix(TEMPORARY.as_bytes());
    let rest = rest.and_then(|rest| rest.strip_prefix(name.as_bytes()));
    let rest = rest.and_then(|rest| rest.strip_prefix(b"."));
    rest.is_some_and(|rest| {
        let mut parts = rest.split(|byte| *byte == b'-');
        let (pid, number) = (parts.next(), parts.next());
        pid.is_some_and(digits) && number.is_some_and(digits) && parts.next().is_none()
    })
}

fn remove_leftover(path: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let found = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = found.metadata()?;
    // Somebody else's, of the same name in a directory such as /tmp.
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    rustix::fs::flock(&found, FlockOperation::NonBlockingLockExclusive)?;
    if metadata.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}

/// A private directory that is removed with all in it when this is dropped.
#[derive(Debug)]
pub struct TemporaryDirectory {
    path: PathBuf,
    _locked: File,
}

/// Names directories apart from the files that wait for a name.
const DIRECTORY: &str = "directory";

impl TemporaryDirectory {
    /// Makes one in `parent`. Fails if the name is taken, so that nobody can prepare it.
    pub fn new_in(parent: &Path) -> io::Result<Self> {
        remove_leftover_directories(parent);
        let name = OsStr::new(DIRECTORY);
        for number in 0..100u32 {
            let path = parent.join(temporary_name(name, number));
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                created => created?,
            }
            match File::open(&path) {
                // Another run took it for a leftover before it was locked.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Ok(locked) if !keep(&locked)? => {}
                locked => {
                    return Ok(Self {
                        path,
                        _locked: locked?,
                    });
                }
            }
        }
        Err(io::Error::other("no free name for a temporary directory"))
    }

    /// Returns the path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        // After a rename it is not there any more, and there is nobody to tell otherwise.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The directory that holds `path`.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes renames in a directory last.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oversized_or_irregular_file_is_refused_not_truncated() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        fs::write(&path, b"1234").unwrap();
        assert_eq!(read(&path, 4, "x").unwrap(), b"1234");
        assert_eq!(read(&path, 3, "x").unwrap_err().exit(), Exit::Usage);
        let over = read_in(directory.path(), "x", 3, "x").unwrap_err();
        assert_eq!(over.exit(), Exit::NotVerified);
        assert_eq!(read_in(directory.path(), "y", 4, "x").unwrap(), None);
        let fifo = directory.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        let pipe = read_in(directory.path(), "fifo", 4, "x").unwrap_err();
        assert_eq!(pipe.exit(), Exit::Undecided);
        let missing = read(&directory.path().join("y"), 4, "x").unwrap_err();
        assert_eq!(missing.exit(), Exit::Undecided);
    }

    #[test]
    fn replace_leaves_no_temporary_file_and_create_new_refuses_existing_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        assert!(create_new(&path, 0o600, b"old").is_ok());
        assert!(create_new(&path, 0o600, b"new").is_err());
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        let under_a_file = path.join("y");
        assert!(replace(&under_a_file, b"new").is_err());
    }

    #[test]
    fn replace_refuses_links_pipes_and_directories() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("file"), b"old").unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        std::os::unix::fs::symlink("nowhere", at("dangling")).unwrap();
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
        rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), kind, mode, 0).unwrap();
        fs::create_dir(at("directory")).unwrap();
        for name in ["link", "dangling", "fifo", "directory"] {
            let before = fs::symlink_metadata(at(name)).unwrap().file_type();
            let refused = replace(&at(name), b"new").unwrap_err();
            assert_eq!(refused.exit(), Exit::Usage, "{name}");
            let after = fs::symlink_metadata(at(name)).unwrap().file_type();
            assert_eq!(before, after, "{name}");
        }
        assert_eq!(fs::read(at("file")).unwrap(), b"old");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 5);
    }

    #[test]
    fn leftovers_of_dead_runs_are_removed_and_those_of_living_ones_stay() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let dead = ["x.1-0", "x.4000000-99"].map(|name| at(&format!("{TEMPORARY}{name}")));
        for path in &dead {
            fs::write(path, b"half").unwrap();
        }
        let (living, locked) = create_temporary(directory.path(), OsStr::new("x")).unwrap();
        let others = ["y.1-0", "x.1", "x.1-0-0", "x.a-0", "x.1-"];
        let others = others.map(|name| at(&format!("{TEMPORARY}{name}")));
        for path in &others {
            fs::write(path, b"mine").unwrap();
        }
        replace(&at("x"), b"new").unwrap();
        assert!(dead.iter().all(|path| !path.exists()));
        assert!(living.exists() && others.iter().all(|path| path.exists()));
        drop(locked);
        replace(&at("x"), b"new").unwrap();
        assert!(!living.exists());
    }

    #[test]
    fn temporary_directories_of_dead_runs_are_removed_with_their_content() {
        let directory = tempfile::tempdir().unwrap();
        let left = directory.path().join(format!("{TEMPORARY}{DIRECTORY}.1-0"));
        fs::create_dir(&left).unwrap();
        fs::write(left.join("tree.zst"), b"half").unwrap();
        let first = TemporaryDirectory::new_in(directory.path()).unwrap();
        assert!(!left.exists());
        let second = TemporaryDirectory::new_in(directory.path()).unwrap();
        assert!(first.path().exists() && second.path().exists());
        drop((first, second));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
