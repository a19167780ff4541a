//! Files of the agent's own state, `/var/lib/earmark`: believed only where nobody but root can have
//! written them.
//!
//! Protects against an account that was given, or took, a way to write there. Does not protect against
//! root, who can write anything (tier T0): nothing in these files may make a verdict better.

use std::os::unix::fs::MetadataExt;

use earmark_manifest::{layout, path::ImagePath};
use rustix::{
    fs::{AtFlags, FileType},
    io::Errno,
};

use crate::{Root, ScanError, root::statx};

/// Reads a whole file of the agent's state of at most `bound` bytes; nothing, if it is not there. The file
/// and the agent's directories above it must belong to root and be writable by nobody else. Root is
/// whoever owns the root directory, so that a root in a directory of a test is one, too.
pub fn read(root: &Root, path: &ImagePath, bound: usize) -> Result<Option<Vec<u8>>, ScanError> {
    let own = own_directory();
    if path.is_beneath(&own) && !must_be_roots(root)? {
        return Ok(None);
    }
    let Some(bytes) = root.read_opt(path, bound)? else {
        return Ok(None);
    };
    // The directory admits nobody else, so that this is the file that was read or another one of root's.
    let owner = owner(root)?;
    let (file, _) = root.open_regular(path)?;
    let metadata = file.metadata().map_err(|cause| refused(path, cause))?;
    if let Some(problem) = problem(metadata.uid(), metadata.mode(), owner) {
        return Err(refused(path, problem));
    }
    if metadata.nlink() != 1 {
        let many = format!(
            "it has {} names, and one is expected; next: find out who linked it, and replace the host",
            metadata.nlink()
        );
        return Err(refused(path, std::io::Error::other(many)));
    }
    Ok(Some(bytes))
}

/// Whether the agent's state directory is there; an error, if anybody but root may write to it.
pub fn must_be_roots(root: &Root) -> Result<bool, ScanError> {
    let directory = own_directory();
    let opened = match root.open_directory(&directory, true) {
        Ok(opened) => opened,
        Err(Errno::NOENT) => return Ok(false),
        Err(errno) => return Err(refused(&directory, errno.into())),
    };
    let stat = statx(&opened, c"", AtFlags::EMPTY_PATH)
        .map_err(|errno| refused(&directory, errno.into()))?;
    match problem(stat.stx_uid, stat.stx_mode.into(), owner(root)?) {
        Some(problem) => Err(refused(&directory, problem)),
        None => Ok(true),
    }
}

/// What is wrong with the owners and modes of the agent's state: of its directory, and of each file of
/// [`layout::STATE_FILES`] that is there.
pub(crate) fn problems(root: &Root) -> Vec<ScanError> {
    match must_be_roots(root) {
        Ok(false) => return Vec::new(),
        Ok(true) => {}
        Err(error) => return vec![error],
    }
    let problem = |name: &&str| {
        let path = own_directory().join(name.as_bytes()).ok()?;
        let looked = owner(root).and_then(|owner| {
            let directory = root
                .open_directory(&own_directory(), true)
                .map_err(|errno| refused(&path, errno.into()))?;
            let name = std::ffi::CString::new(*name).unwrap_or_default();
            match statx(&directory, &name, AtFlags::empty()) {
                Err(Errno::NOENT) => Ok(None),
                Err(errno) => Err(refused(&path, errno.into())),
                Ok(stat) => {
                    let mode = u32::from(stat.stx_mode);
                    if !FileType::from_raw_mode(mode).is_file() {
                        let text = "it is not a regular file; next: find out who made it, and replace \
                                    the host";
                        return Ok(Some(std::io::Error::other(text)));
                    }
                    Ok(self::problem(stat.stx_uid, mode, owner))
                }
            }
        });
        match looked {
            Ok(problem) => Some(refused(&path, problem?)),
            Err(error) => Some(error),
        }
    };
    layout::STATE_FILES.iter().filter_map(problem).collect()
}

fn own_directory() -> ImagePath {
    ImagePath::from_absolute(layout::AGENT_STATE[1].as_bytes()).unwrap_or_default()
}

fn owner(root: &Root) -> Result<u32, ScanError> {
    let stat = statx(root.as_fd(), c"", AtFlags::EMPTY_PATH)
        .map_err(|errno| refused(&ImagePath::root(), errno.into()))?;
    Ok(stat.stx_uid)
}

fn refused(place: &ImagePath, cause: std::io::Error) -> ScanError {
    ScanError {
        what: "believe the state in",
        place: place.to_string(),
        cause,
    }
}

/// Why somebody else can have written it, if so.
fn problem(uid: u32, mode: u32, owner: u32) -> Option<std::io::Error> {
    let next = "next: find out who changed it, and replace the host";
    let kind = if FileType::from_raw_mode(mode).is_dir() {
        "directory"
    } else {
        "file"
    };
    if uid != owner {
        let text = format!("the {kind} belongs to user {uid}, and {owner} is expected; {next}");
        return Some(std::io::Error::other(text));
    }
    (mode & 0o022 != 0).then(|| {
        let mode = mode & 0o7777;
        std::io::Error::other(format!(
            "others may write to the {kind}, which has mode {mode:04o}; {next}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, symlink},
    };

    use super::*;

    #[test]
    fn state_that_others_could_write_is_not_believed() {
        let directory = tempfile::tempdir().unwrap();
        let own = directory.path().join("var/lib/earmark");
        let root = Root::open(directory.path()).unwrap();
        let path = ImagePath::from_absolute(b"/var/lib/earmark/x").unwrap();
        let read = || read(&root, &path, 16);
        assert!(read().unwrap().is_none());
        fs::create_dir_all(&own).unwrap();
        assert!(read().unwrap().is_none());
        fs::write(own.join("x"), "x").unwrap();
        assert_eq!(read().unwrap().as_deref(), Some(&b"x"[..]));
        let set = |name: &str, mode| {
            fs::set_permissions(own.join(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        for (name, good, bad) in [
            (".", 0o711, 0o713),
            (".", 0o711, 0o731),
            ("x", 0o600, 0o620),
        ] {
            set(name, bad);
            let error = read().unwrap_err().to_string();
            assert!(error.contains("others may write"), "{error}");
            set(name, good);
            assert!(read().unwrap().is_some());
        }
        fs::hard_link(own.join("x"), own.join("y")).unwrap();
        assert!(read().unwrap_err().to_string().contains("2 names"));
        fs::remove_file(own.join("x")).unwrap();
        symlink("y", own.join("x")).unwrap();
        assert!(read().is_err());
        fs::remove_file(own.join("x")).unwrap();
        fs::write(own.join("x"), vec![b'x'; 17]).unwrap();
        assert!(read().is_err());
    }

    #[test]
    fn the_owner_of_state_is_the_owner_of_the_root() {
        let text = |uid, mode, owner| problem(uid, mode, owner).map(|error| error.to_string());
        assert_eq!(text(0, 0o100_600, 0), None);
        assert!(text(33, 0o100_600, 0).unwrap().contains("user 33"));
        assert!(text(0, 0o040_777, 0).unwrap().contains("directory"));
    }
}
