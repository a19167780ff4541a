//! Files of the host on which the signer runs: bounded reads, atomic writes.
//!
//! Nothing in here touches an image's root, whose links and names nobody vouches for: `place.rs` and
//! the scan do, beneath a directory descriptor.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};

use crate::{
    exit::{Exit, Exits, Outcome},
    output::quote,
};

/// Reads what was named on the command line, which may be a pipe: `--key <(command)`. More than
/// `bound` bytes is an error.
pub fn read(path: &Path, bound: usize, what: &str) -> Outcome<Vec<u8>> {
    let reading = || format!("failed to read the {what} {}", quote(path));
    let file = File::open(path)
        .with_context(reading)
        .exits(Exit::Undecided)?;
    read_bounded(file, bound, reading)
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
    read_bounded(file, bound, reading).map(Some)
}

/// The same, but a file that is not there is an error.
pub fn need_in(directory: &Path, name: &str, bound: usize, what: &str) -> Outcome<Vec<u8>> {
    read_in(directory, name, bound, what)?
        .ok_or_else(|| anyhow!("no such file"))
        .with_context(|| format!("failed to read the {what} {}", quote(&directory.join(name))))
        .exits(Exit::Undecided)
}

fn read_bounded(file: File, bound: usize, reading: impl Fn() -> String) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(bound).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit)
        .read_to_end(&mut bytes)
        .with_context(&reading)
        .exits(Exit::Undecided)?;
    if bytes.len() > bound {
        return Err(anyhow!("more than {bound} bytes"))
            .with_context(reading)
            .exits(Exit::Usage);
    }
    Ok(bytes)
}

/// Creates a file that must not exist yet: a key is never overwritten.
pub fn create_new(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
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
        return Err(anyhow!("what is there is not a regular file"))
            .with_context(writing)
            .exits(Exit::Usage);
    }
    let name = path
        .file_name()
        .ok_or_else(|| anyhow!("not the name of a file"))
        .with_context(writing)
        .exits(Exit::Usage)?;
    let (directory, mut made) = (parent(path), None);
    let written = (|| {
        let temporary = directory.join(create_temporary(directory, name, bytes)?);
        made = Some(temporary.clone());
        fs::rename(&temporary, path)?;
        sync_directory(directory)
    })();
    if let (Err(_), Some(temporary)) = (&written, made) {
        let _ = fs::remove_file(temporary);
    }
    Ok(written.with_context(writing)?)
}

/// A file beside `name` that holds `bytes`. Process ids come again, and what a killed run left may have
/// the name that this one would choose.
fn create_temporary(directory: &Path, name: &OsStr, bytes: &[u8]) -> io::Result<OsString> {
    for number in 0..100u32 {
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}-{number}.tmp", std::process::id()));
        match create_new(&directory.join(&temporary), 0o644, bytes) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => return created.map(|()| temporary),
        }
    }
    Err(io::Error::other("no free name for a temporary file"))
}

/// A private directory that is removed with all in it when this is dropped.
#[derive(Debug)]
pub struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    /// Makes one in `parent`. Fails if the name is taken, so that nobody can prepare it.
    pub fn new_in(parent: &Path) -> io::Result<Self> {
        let pid = std::process::id();
        for number in 0..100u32 {
            let path = parent.join(format!(".earmark-{pid}-{number}.tmp"));
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => return created.map(|()| Self(path)),
            }
        }
        Err(io::Error::other("no free name for a temporary directory"))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        // After a rename it is not there any more, and there is nobody to tell otherwise.
        let _ = fs::remove_dir_all(&self.0);
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
    fn a_file_over_its_bound_is_refused_not_truncated() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        fs::write(&path, b"1234").unwrap();
        assert_eq!(read(&path, 4, "x").unwrap(), b"1234");
        assert_eq!(read(&path, 3, "x").unwrap_err().exit(), Exit::Usage);
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
    fn what_exists_is_replaced_whole_or_not_at_all() {
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
    fn what_is_no_regular_file_is_neither_replaced_nor_written_to() {
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
}
