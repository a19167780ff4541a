//! Files that hold secrets: private keys, passphrases, PINs. One that others can read or replace is refused,
//! as ssh does: a signature would say no more than that somebody had an account on this host.
//!
//! Protects against another account of the host. Does not protect against root, nor against an account
//! that owns a directory on the way to the file and is not everybody. A pipe or a descriptor is whoever
//! passes it answerable for: it has no mode that would say anything.

use std::{
    ffi::OsStr,
    fs::{File, Metadata},
    io,
    os::{
        fd::AsRawFd,
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::{Path, PathBuf},
};

use anyhow::Context;

use crate::{
    exit::{Exit, Exits, Failure, Outcome},
    io::{files, output::quote},
};

/// Permissions of group and others.
const OTHERS: u32 = 0o077;
const WORLD_WRITABLE: u32 = 0o002;
const GROUP_WRITABLE: u32 = 0o020;
const STICKY: u32 = 0o1000;

/// Opens a file with a secret. `what` is such as "private key".
pub fn open(path: &Path, what: &str) -> Outcome<File> {
    let reading = || format!("failed to read the {what} {}", quote(path));
    let file = File::open(path)
        .with_context(reading)
        .exits(Exit::Undecided)?;
    // Of the open file, which nobody can exchange any more.
    let metadata = file
        .metadata()
        .with_context(reading)
        .exits(Exit::Undecided)?;
    if metadata.is_file() {
        let places = places(path, &file).with_context(reading);
        refuse(path, what, &metadata, &places.exits(Exit::Undecided)?)?;
    }
    Ok(file)
}

/// A directory, as far as it says who can replace what is in it.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    mode: u32,
    uid: u32,
    gid: u32,
}

/// Every directory that leads to the file, and every one that leads to the name that was given, which may be
/// a link.
fn places(path: &Path, file: &File) -> io::Result<Vec<Place>> {
    let named = files::parent(path).canonicalize()?;
    let real = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    let mut places: Vec<Place> = Vec::new();
    for directory in named.ancestors().chain(real.ancestors().skip(1)) {
        // The file system of the descriptor was unmounted, or is another namespace's: it has no way to it.
        if !directory.is_absolute() || places.iter().any(|known| known.path == directory) {
            continue;
        }
        let metadata = std::fs::metadata(directory)?;
        places.push(Place {
            path: directory.to_owned(),
            mode: metadata.mode(),
            uid: metadata.uid(),
            gid: metadata.gid(),
        });
    }
    Ok(places)
}

fn refuse(path: &Path, what: &str, metadata: &Metadata, places: &[Place]) -> Outcome<()> {
    let us = rustix::process::geteuid().as_raw();
    let named = quote(path);
    let refused = |why: String, next: String| {
        Err(Failure::new(Exit::Usage, format!("refused: the {what} {named} {why}")).next(next))
    };
    let word = shell_word(path);
    let own = "chmod 0600";
    let (mode, uid) = (metadata.mode() & 0o7777, metadata.uid());
    if uid != us && uid != 0 {
        return refused(
            format!("belongs to the user id {uid}: expected {us}, who runs this, or root"),
            format!("chown {us} {word} && {own} {word}"),
        );
    }
    if mode & OTHERS != 0 {
        return refused(
            format!("has mode {mode:04o}, which lets others use it: expected 0600"),
            format!("{own} {word}; make a new key if others have accounts on this host"),
        );
    }
    let Some(place) = places.iter().find(|place| is_anybodys(place, us)) else {
        return Ok(());
    };
    let (directory, mode) = (quote(&place.path), place.mode & 0o7777);
    let who = if place.mode & WORLD_WRITABLE != 0 {
        "anybody".to_owned()
    } else {
        format!("the group id {}", place.gid)
    };
    let next = format!("move it to a directory of your own (mode 0700), and {own} it there");
    if place.mode & STICKY == 0 {
        let why = format!(
            "lies beneath {directory}, which has mode {mode:04o}: {who} can replace it; expected a \
             directory that only its owner writes to"
        );
        return refused(why, next);
    }
    let why = format!(
        "lies beneath {directory}, which has mode {mode:04o} and belongs to the user id {}: it can \
         replace what is in it; expected {us} or root",
        place.uid
    );
    refused(why, next)
}

/// Tells whether somebody else can replace a name in a directory. In a sticky one only the owner of the name can, and
/// that of the directory.
fn is_anybodys(place: &Place, us: u32) -> bool {
    let sticky = place.mode & STICKY != 0 && (place.uid == us || place.uid == 0);
    // A group of our own is that of one account on most systems, and root's has root alone in it.
    let ours = [0, rustix::process::getegid().as_raw()].contains(&place.gid);
    let is_shared = place.mode & GROUP_WRITABLE != 0 && !ours;
    (place.mode & WORLD_WRITABLE != 0 || is_shared) && !sticky
}

/// A path as a shell takes it.
fn shell_word(path: &Path) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+:@%".contains(byte);
    let text: &OsStr = path.as_os_str();
    if text.as_bytes().iter().all(plain) {
        return text.to_string_lossy().into_owned();
    }
    quote(path)
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, symlink},
    };

    use super::*;

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn said(path: &Path) -> String {
        let failure = open(path, "private key").unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage, "{failure}");
        failure.to_string()
    }

    #[test]
    fn key_that_others_can_use_is_refused_with_mode_and_next_step() {
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("release.key");
        fs::write(&key, "x").unwrap();
        for good in [0o600, 0o400, 0o700] {
            chmod(&key, good);
            assert!(open(&key, "private key").is_ok(), "{good:o}");
        }
        for bad in [0o644, 0o640, 0o604, 0o620, 0o602, 0o610, 0o4601] {
            chmod(&key, bad);
            let said = said(&key);
            for part in [
                &format!("'{}'", key.display()),
                &format!("mode {bad:04o}"),
                "expected 0600",
                "chmod 0600",
            ] {
                assert!(said.contains(part), "{said}");
            }
        }
    }

    #[test]
    fn key_beneath_a_world_writable_directory_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (outer, inner) = (
            directory.path().join("outer"),
            directory.path().join("outer/inner"),
        );
        fs::create_dir_all(&inner).unwrap();
        let key = inner.join("release.key");
        fs::write(&key, "x").unwrap();
        chmod(&key, 0o600);
        for (place, mode) in [(&inner, 0o777), (&outer, 0o777), (&outer, 0o703)] {
            assert!(open(&key, "private key").is_ok());
            chmod(place, mode);
            let said = said(&key);
            let place_named = format!("'{}', which has mode {mode:04o}", place.display());
            assert!(
                said.contains(&place_named) && said.contains("chmod 0600"),
                "{said}"
            );
            // Sticky, and of ours: as /tmp is.
            chmod(place, mode | 0o1000);
            assert!(open(&key, "private key").is_ok());
            chmod(place, 0o755);
        }
        // A link there can be made to lead to another key.
        let (link, open_to_all) = (
            directory.path().join("all/link"),
            directory.path().join("all"),
        );
        fs::create_dir(&open_to_all).unwrap();
        symlink(&key, &link).unwrap();
        assert!(open(&link, "private key").is_ok());
        chmod(&open_to_all, 0o777);
        assert!(said(&link).contains("anybody can replace it"));
    }

    #[test]
    fn sticky_directory_is_trusted_only_if_owned_by_root_or_user() {
        let place = |mode, uid| Place {
            path: PathBuf::from("/x"),
            mode,
            uid,
            gid: 0,
        };
        for (good, mode, uid) in [
            (true, 0o1777, 0),
            (true, 0o1777, 1000),
            (false, 0o1777, 1001),
            (false, 0o777, 0),
            (false, 0o777, 1000),
            (true, 0o775, 1001),
            (true, 0o755, 0),
        ] {
            assert_eq!(
                !is_anybodys(&place(mode, uid), 1000),
                good,
                "{mode:o} {uid}"
            );
        }
    }

    #[test]
    fn directory_that_a_foreign_group_writes_is_anybodys() {
        let own = rustix::process::getegid().as_raw();
        for (good, mode, gid) in [
            (true, 0o770, own),
            (true, 0o775, 0),
            (true, 0o750, own + 1),
            (true, 0o1770, own + 1),
            (false, 0o770, own + 1),
        ] {
            let place = Place {
                path: PathBuf::from("/x"),
                mode,
                uid: 0,
                gid,
            };
            assert_eq!(!is_anybodys(&place, 1000), good, "{mode:o} {gid}");
        }
    }

    #[test]
    fn key_from_pipe_is_accepted_without_mode_check() {
        let (reader, _writer) = io::pipe().unwrap();
        let path = PathBuf::from(format!("/proc/self/fd/{}", reader.as_raw_fd()));
        assert!(open(&path, "private key").is_ok());
    }
}
