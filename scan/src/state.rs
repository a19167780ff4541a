//! Files of the agent's own state, `/var/lib/earmark`: believed only where nobody but root can have
//! written them.
//!
//! Protects against an account that was given, or took, a way to write there. Does not protect against
//! root, who can write anything (tier T0): nothing in these files may make a verdict better.

use earmark_manifest::{layout, path::ImagePath};
use rustix::{
    fs::{AtFlags, FileType},
    io::Errno,
};

use crate::{Root, ScanError, root::statx, source};

/// Reads a whole file of the agent's state of at most `bound` bytes; nothing, if it is not there. The file
/// and the agent's directories above it must belong to root and be writable by nobody else. Root is
/// whoever owns the root directory, so that a root in a directory of a test is one, too.
pub fn read(root: &Root, path: &ImagePath, bound: usize) -> Result<Option<Vec<u8>>, ScanError> {
    let own = own_directory();
    // The directory first: who may write to it can swap the file at any time.
    if path.is_beneath(&own) && !must_be_roots(root)? {
        return Ok(None);
    }
    let Some(bytes) = root.read_opt(path, bound)? else {
        return Ok(None);
    };
    // The directory admits nobody else, so that this is the file that was read or another one of root's.
    let Some(found) = look(root, path)? else {
        return Err(refused(path, Errno::NOENT.into()));
    };
    if let Some(problem) = problem(found.uid, found.mode, owner(root)?) {
        return Err(refused(path, problem));
    }
    if found.links != 1 {
        let many = format!(
            "it has {} hard links: expected 1; next: find out who linked it, and replace the host",
            found.links
        );
        return Err(refused(path, std::io::Error::other(many)));
    }
    Ok(Some(bytes))
}

/// Returns whether the agent's state directory is there; an error, if anybody but root may write to it.
pub fn must_be_roots(root: &Root) -> Result<bool, ScanError> {
    let directory = own_directory();
    let Some(found) = look(root, &directory)? else {
        return Ok(false);
    };
    if !FileType::from_raw_mode(found.mode).is_dir() {
        return Err(refused(&directory, Errno::NOTDIR.into()));
    }
    match problem(found.uid, found.mode, owner(root)?) {
        Some(problem) => Err(refused(&directory, problem)),
        None => Ok(true),
    }
}

/// Returns the faults in the owners and modes of the agent's state: of its directory, and of each file of
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
            let Some(found) = look(root, &path)? else {
                return Ok(None);
            };
            if !FileType::from_raw_mode(found.mode).is_file() {
                let text =
                    "it is not a regular file; next: find out who made it, and replace the host";
                return Ok(Some(std::io::Error::other(text)));
            }
            Ok(self::problem(found.uid, found.mode, owner))
        });
        match looked {
            Ok(problem) => Some(refused(&path, problem?)),
            Err(error) => Some(error),
        }
    };
    layout::STATE_FILES.iter().filter_map(problem).collect()
}

/// Metadata that tells who can have written something.
struct Found {
    uid: u32,
    mode: u32,
    links: u32,
}

/// Looks at a path, itself and not what it leads to; nothing, if it is not there.
fn look(root: &Root, path: &ImagePath) -> Result<Option<Found>, ScanError> {
    if let Some(source) = root.source() {
        let metadata = source::find(source, path).and_then(|node| source.look(node));
        return match metadata {
            Ok(found) => Ok(Some(Found {
                uid: found.uid,
                mode: found.mode.into(),
                links: found.links,
            })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(refused(path, cause)),
        };
    }
    let parent = match root.open_directory(&path.parent().unwrap_or_default(), true) {
        Ok(parent) => parent,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(refused(path, errno.into())),
    };
    let name = path.as_bytes().rsplit(|byte| *byte == b'/').next();
    let name = std::ffi::CString::new(name.unwrap_or_default()).unwrap_or_default();
    // Not opened: a pipe or a device in a file's place is told, and not touched.
    match statx(&parent, &name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(Found {
            uid: stat.stx_uid,
            mode: stat.stx_mode.into(),
            links: stat.stx_nlink,
        })),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(refused(path, errno.into())),
    }
}

fn own_directory() -> ImagePath {
    ImagePath::from_absolute(layout::AGENT_STATE[1].as_bytes()).unwrap_or_default()
}

fn owner(root: &Root) -> Result<u32, ScanError> {
    let refused = |cause| refused(&ImagePath::root(), cause);
    if let Some(source) = root.source() {
        let top = source.look(source.root()).map_err(refused)?;
        return Ok(top.uid);
    }
    let stat = statx(root.as_fd(), c"", AtFlags::EMPTY_PATH)
        .map_err(|errno| refused(std::io::Error::from(errno)))?;
    Ok(stat.stx_uid)
}

fn refused(place: &ImagePath, cause: std::io::Error) -> ScanError {
    ScanError {
        what: "trust the state in",
        place: place.to_string(),
        cause,
    }
}

/// Returns the reason why somebody else than `owner` can have written it, if there is one.
fn problem(uid: u32, mode: u32, owner: u32) -> Option<std::io::Error> {
    let next = "next: find out who changed it, and replace the host";
    let kind = if FileType::from_raw_mode(mode).is_dir() {
        "directory"
    } else {
        "file"
    };
    // Its owner may widen the mode and narrow it again: the mode alone says nothing.
    if uid != owner {
        let text = format!("the {kind} belongs to user {uid}: expected {owner}; {next}");
        return Some(std::io::Error::other(text));
    }
    (mode & 0o022 != 0).then(|| {
        let mode = mode & 0o7777;
        std::io::Error::other(format!(
            "the {kind} has mode {mode:04o}, which lets others write to it; {next}"
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
    fn state_file_writable_by_others_linked_or_oversized_is_refused() {
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
            assert!(error.contains("which lets others write"), "{error}");
            set(name, good);
            assert!(read().unwrap().is_some());
        }
        fs::hard_link(own.join("x"), own.join("y")).unwrap();
        assert!(read().unwrap_err().to_string().contains("2 hard links"));
        fs::remove_file(own.join("x")).unwrap();
        symlink("y", own.join("x")).unwrap();
        assert!(read().is_err());
        fs::remove_file(own.join("x")).unwrap();
        fs::write(own.join("x"), vec![b'x'; 17]).unwrap();
        assert!(read().is_err());
    }

    #[test]
    fn state_of_another_owner_or_world_writable_is_refused() {
        let text = |uid, mode, owner| problem(uid, mode, owner).map(|error| error.to_string());
        assert_eq!(text(0, 0o100_600, 0), None);
        assert!(text(33, 0o100_600, 0).unwrap().contains("user 33"));
        assert!(text(0, 0o040_777, 0).unwrap().contains("directory"));
    }
}
