//! Makes a file that the image lacks, whole or not at all.

use std::{
    fs::File,
    io::{self, Read, Write as _},
    os::fd::AsFd,
};

use earmark_scan::Root;
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, RenameFlags},
    io::Errno,
};

use super::{beneath, place};
use crate::lint::finding::NewFile;

/// Name until it is whole. Nothing that reads a directory of settings takes it.
const PARTIAL: &str = ".earmark-lint.partial";

/// Writes the file. Returns whether it was not there.
///
/// # Errors
///
/// Something else is in its place, or its directory cannot be made.
pub(super) fn write(root: &Root, file: &NewFile) -> io::Result<bool> {
    let Some(found) = place(root, &file.path)? else {
        make_directory(root, file)?;
        return write(root, file);
    };
    let (directory, name) = found;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::openat(&directory, &name, flags, Mode::empty()) {
        Ok(there) => {
            let stat = rustix::fs::fstat(&there)?;
            let bound = u64::try_from(file.text.len()).unwrap_or(u64::MAX);
            let mut text = Vec::new();
            if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
                let there = File::from(there);
                there.take(bound.saturating_add(1)).read_to_end(&mut text)?;
                if text == file.text.as_bytes() {
                    return Ok(false);
                }
            }
            return Err(io::Error::other("another file is in its place"));
        }
        Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    // What a run that was killed left.
    match rustix::fs::unlinkat(&directory, PARTIAL, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(file.mode.into());
    let partial = rustix::fs::openat(&directory, PARTIAL, flags, mode)?;
    let wrote = fill(partial.into(), file, mode).and_then(|()| {
        let flags = RenameFlags::NOREPLACE;
        rustix::fs::renameat_with(&directory, PARTIAL, &directory, &name, flags)?;
        Ok(rustix::fs::fsync(&directory)?)
    });
    if wrote.is_err() {
        let _ = rustix::fs::unlinkat(&directory, PARTIAL, AtFlags::empty());
    }
    wrote.map(|()| true)
}

fn fill(mut partial: File, file: &NewFile, mode: Mode) -> io::Result<()> {
    partial.write_all(file.text.as_bytes())?;
    rustix::fs::fchmod(partial.as_fd(), mode)?;
    partial.sync_all()
}

/// Makes the directory of the file, in one that is there: for a file of its owner alone, one of its owner alone.
fn make_directory(root: &Root, file: &NewFile) -> io::Result<()> {
    let lacks = || io::Error::other("its directory is not there");
    let parent = file.path.parent().ok_or_else(lacks)?;
    let (above, name) = place(root, &parent)?.ok_or_else(lacks)?;
    let mode = match file.mode & 0o077 {
        0 => 0o700,
        _ => 0o755,
    };
    let mode = Mode::from_raw_mode(mode);
    rustix::fs::mkdirat(&above, &name, mode)?;
    // Less the umask of whoever runs this, until here.
    let directory = beneath::directory(root, &parent)?;
    Ok(rustix::fs::fchmod(&directory, mode)?)
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, symlink},
    };

    use earmark_manifest::path::ImagePath;

    use super::*;

    fn file(path: &str) -> NewFile {
        let path = ImagePath::from_absolute(path.as_bytes()).unwrap();
        NewFile::new(&path, "a: b\n".to_owned(), 0o600)
    }

    #[test]
    fn new_file_is_written_once_with_its_mode_and_directory() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path()).unwrap();
        fs::create_dir(directory.path().join("root")).unwrap();
        let new = file("/root/.ssh/x");
        assert!(write(&root, &new).unwrap());
        assert!(!write(&root, &new).unwrap());
        let at = directory.path().join("root/.ssh");
        let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(at.clone()), 0o700);
        assert_eq!(mode(at.join("x")), 0o600);
        assert_eq!(fs::read_to_string(at.join("x")).unwrap(), "a: b\n");
        assert_eq!(fs::read_dir(at).unwrap().count(), 1);
    }

    #[test]
    fn new_file_replaces_nothing_and_follows_no_link() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path()).unwrap();
        let at = |name: &str| directory.path().join(name);
        for name in ["file", "outside"] {
            fs::write(at(name), "other").unwrap();
        }
        symlink("outside", at("link")).unwrap();
        fs::create_dir(at("directory")).unwrap();
        symlink("directory", at("way")).unwrap();
        for path in ["/file", "/link", "/directory", "/way/x", "/none/none/x"] {
            assert!(write(&root, &file(path)).is_err(), "{path}");
        }
        assert_eq!(fs::read_to_string(at("outside")).unwrap(), "other");
        assert_eq!(fs::read_dir(at("directory")).unwrap().count(), 0);
    }
}
