//! A values file: on hosts without a metadata service, or beside one.

use std::io::{ErrorKind, Read};

use earmark_manifest::path::ImagePath;
use earmark_scan::{Root, ScanError};
use rustix::fs::{Mode, OFlags, ResolveFlags, Stat};

use super::problem::Problem;

/// As for user-data.
const BOUND: usize = 64 * 1024;

/// Result of a look at the path of a values file.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing: it gives no values.
    Nothing,
    /// A file that somebody else could have written.
    Unfit(Problem),
    /// The file.
    Content(Vec<u8>),
}

/// Reads the file, if root alone could have written it.
///
/// Protects against a service's user that writes values of its own into a directory which it may
/// write to. Does not protect against root, who may give values.
pub(super) fn read(root: &Root, path: &ImagePath) -> Result<Found, ScanError> {
    let failed = |what: &'static str, path: &ImagePath, cause: std::io::Error| ScanError {
        what,
        place: path.to_string(),
        cause,
    };
    // Opened first and looked at by its descriptor: what is checked is what is read, whatever takes its place.
    let (file, _) = match root.open_regular(path) {
        Err(error) if error.cause.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        other => other?,
    };
    let look = |stat: rustix::io::Result<Stat>, path: &ImagePath| {
        stat.map_err(|errno| failed("look at", path, errno.into()))
    };
    // A root that is looked at from outside, such as a test's, belongs to whoever made it.
    let owner = if root.is_live() {
        0
    } else {
        look(rustix::fs::fstat(root.as_fd()), &ImagePath::root())?.st_uid
    };
    let problem = |path: &ImagePath, found: &str| {
        Found::Unfit(Problem {
            source: path.to_string(),
            key: None,
            found: found.to_owned(),
            expected: "it to be root's, and writable by nobody else (chown root, chmod go-w)"
                .to_owned(),
        })
    };
    if let Some(found) = unfit(&look(rustix::fs::fstat(&file), path)?, owner) {
        return Ok(problem(path, found));
    }
    let mut directory = path.parent();
    // Who may write to a directory above can move in a file that root made for something else.
    while let Some(path) = directory.filter(|path| !path.is_root()) {
        if let Some(found) = unfit(&look(stat_directory(root, &path), &path)?, owner) {
            return Ok(problem(&path, found));
        }
        directory = path.parent();
    }
    // One byte more than is accepted tells too large from just fitting, also in a file that grows while it is read.
    let most = u64::try_from(BOUND).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    file.take(most)
        .read_to_end(&mut bytes)
        .map_err(|cause| failed("read", path, cause))?;
    if bytes.len() > BOUND {
        let cause = format!("it is larger than the limit of {BOUND} bytes");
        return Err(failed("read", path, std::io::Error::other(cause)));
    }
    Ok(Found::Content(bytes))
}

fn stat_directory(root: &Root, path: &ImagePath) -> rustix::io::Result<Stat> {
    let directory = earmark_scan::openat2(
        root.as_fd(),
        path.as_bytes(),
        // O_PATH asks for no right to read: owner and mode are all that is wanted.
        OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        // Behind a link, the owner of other directories than these would decide what is read.
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )?;
    rustix::fs::fstat(directory)
}

/// Returns why others than root could have put there what is there; `None` if only root could.
fn unfit(stat: &Stat, owner: u32) -> Option<&'static str> {
    if stat.st_uid != 0 && stat.st_uid != owner {
        Some("that it is not root's")
    } else if Mode::from_raw_mode(stat.st_mode).intersects(Mode::WGRP | Mode::WOTH) {
        // Also by an access control list: its mask stands in the bits of the group.
        Some("that others than root may write to it")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_file_owned_by_another_user_is_unfit() {
        let mut stat = rustix::fs::stat("/").unwrap();
        stat.st_mode = 0o100_600;
        for (uid, owner, is_fit) in [(0, 0, true), (0, 7, true), (7, 7, true), (8, 7, false)] {
            stat.st_uid = uid;
            assert_eq!(unfit(&stat, owner).is_none(), is_fit, "{uid} of {owner}");
        }
    }
}
