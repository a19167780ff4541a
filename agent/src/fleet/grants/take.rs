//! Grants that were brought to this host: where they are looked for, and which of them are taken.
//!
//! A grant counts by its signature, instance, image and time, not by who brought it. The places are looked
//! into and not believed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use earmark_manifest::{
    crypto,
    digest::ManifestDigest,
    grant::{Grant, GrantId, InstanceName, verify_grant},
    limits,
    name::ImageName,
    path::ImagePath,
    trust::Trust,
};
use earmark_scan::Root;
use rustix::{
    fs::{AtFlags, Dir, OFlags, ResolveFlags},
    io::Errno,
};

use super::record::{MOST, MOST_OPEN, Record};
use crate::host::files;

/// Directory into which a person or a tool puts grants, as root: files that end in `.json`.
const DROPPED: &str = "run/earmark/grants";
/// Path of the grant that was fetched for this host.
const FETCHED: &str = "/run/earmark-fetch/grant.json";
const ENDING: &str = ".json";
/// Files that are looked at.
const MOST_FILES: usize = 16;
/// Most seconds by which the signer's clock may be ahead of this host's.
const AHEAD: u64 = 300;

/// A file that was found.
#[derive(Debug)]
pub struct Found {
    /// Path of the file.
    pub path: ImagePath,
    /// Its bytes, or why there are none.
    pub bytes: Result<Vec<u8>, String>,
    /// Its name, if it lies where it is removed once it was decided upon.
    dropped: Option<String>,
}

/// Values of this host that a grant is checked against.
#[derive(Debug)]
pub struct Host<'a> {
    pub trust: &'a Trust,
    pub instance: &'a InstanceName,
    pub image: &'a ImageName,
    pub manifest: ManifestDigest,
    /// In seconds since 1970.
    pub time: u64,
}

/// Refusal of a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub why: String,
    /// Id of the grant, if its signatures are good.
    pub id: Option<GrantId>,
    /// Nothing that comes later changes it.
    pub is_final: bool,
    /// It is one that was taken before.
    pub is_replay: bool,
}

/// Looks into the places. The second part is what could not be looked at.
pub fn find(root: &Root) -> (Vec<Found>, Vec<String>) {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    match dropped(root) {
        Ok(None) => {}
        Ok(Some((directory, names))) => {
            if names.len() > MOST_FILES {
                problems.push(format!(
                    "'/{DROPPED}' has {} grants, and {MOST_FILES} are looked at: remove some",
                    names.len()
                ));
            }
            // A directory that is full of grants must not keep the look from shutting what is over.
            for name in names.into_iter().take(MOST_FILES) {
                let path = ImagePath::from_absolute(format!("/{DROPPED}/{name}").as_bytes());
                match path {
                    Ok(path) => {
                        // From the directory that was found to be root's, whatever has its name by now.
                        let bytes = files::read(&directory, &name, limits::ENVELOPE);
                        found.push(Found {
                            bytes: bytes
                                .map_err(|error| format!("failed to read '{path}': {error}")),
                            path,
                            dropped: Some(name),
                        });
                    }
                    Err(error) => problems.push(format!("'/{DROPPED}': {error}")),
                }
            }
        }
        Err(problem) => problems.push(problem),
    }
    if let Ok(path) = ImagePath::from_absolute(FETCHED.as_bytes())
        // What cannot be looked at is read all the same, so that its error is told.
        && !matches!(root.exists(&path), Ok(false))
    {
        let bytes = root.read(&path, limits::ENVELOPE);
        found.push(Found {
            path,
            bytes: bytes.map_err(|error| error.to_string()),
            dropped: None,
        });
    }
    (found, problems)
}

/// In their order, without those that somebody is still writing under another name; and their directory, as long as
/// there is one.
fn dropped(root: &Root) -> Result<Option<(OwnedFd, Vec<String>)>, String> {
    let failed = |errno: Errno| format!("failed to list '/{DROPPED}': {errno}");
    let directory = match open_dropped(root) {
        Err(Errno::NOENT) => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    must_be_roots(root, &directory).map_err(|problem| format!("'/{DROPPED}': {problem}"))?;
    let mut names = Vec::new();
    for entry in Dir::read_from(&directory).map_err(failed)? {
        let name = entry.map_err(failed)?;
        let name = name.file_name().to_string_lossy();
        if name.ends_with(ENDING) && !name.starts_with('.') {
            names.push(name.into_owned());
        }
    }
    names.sort_unstable();
    Ok(Some((directory, names)))
}

/// Checks that root alone can write to the directory. The one above it is writable for the user of the background
/// service, which could put another in its place.
fn must_be_roots(root: &Root, directory: impl AsFd) -> Result<(), String> {
    let stat = |file: BorrowedFd<'_>| rustix::fs::fstat(file).map_err(|errno| errno.to_string());
    let (above, found) = (stat(root.as_fd())?, stat(directory.as_fd())?);
    let owner = if root.is_live() { 0 } else { above.st_uid };
    // An access control list that lets others write shows here, too: its mask stands in the bits of the group.
    if found.st_uid != owner || found.st_mode & 0o022 != 0 {
        return Err(format!(
            "it belongs to user id {} with mode {:o}, and grants are taken from a directory that root alone \
             may write: remove it, and make it anew",
            found.st_uid,
            found.st_mode & 0o7777
        ));
    }
    Ok(())
}

fn open_dropped(root: &Root) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // /run/earmark is writable for the background service's user, who could put a link there.
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    earmark_scan::openat2(root.as_fd(), DROPPED, flags, resolve)
}

impl Found {
    /// Removes a file that was decided upon, if it lies where people put it. One that cannot be removed is
    /// recognised when it is met again.
    pub fn remove(&self, root: &Root) {
        if let (Some(name), Ok(directory)) = (&self.dropped, open_dropped(root)) {
            let _ = rustix::fs::unlinkat(directory, name.as_str(), AtFlags::empty());
        }
    }

    /// Returns whether the file is one that stays (the fetched one), and is met at each look.
    pub fn stays(&self) -> bool {
        self.dropped.is_none()
    }
}

/// The grant in an envelope, if it is to be taken now; nothing, if it was taken and is open.
pub fn judge(envelope: &[u8], host: &Host<'_>, record: &Record) -> Result<Option<Grant>, Refused> {
    // First of all: what a file says of itself without a good signature decides nothing.
    let verified = verify_grant(envelope, host.trust).map_err(|refusal| Refused {
        why: refusal.to_string(),
        id: None,
        // Somebody may still be writing it.
        is_final: false,
        is_replay: false,
    })?;
    let grant = verified.grant();
    let refused = |why: String| Refused {
        why,
        id: Some(grant.id),
        is_final: true,
        is_replay: false,
    };
    // Before any clock is asked: a used grant is a replay, whatever time it is here.
    if let Some(known) = record.grants.iter().find(|known| known.id == grant.id) {
        if known.is_open() {
            return Ok(None);
        }
        return Err(Refused {
            is_replay: true,
            ..refused("duplicate: it was accepted before, and a grant opens once".to_owned())
        });
    }
    if grant.instance != *host.instance {
        let found = &grant.instance;
        return Err(refused(format!(
            "it is for {found}, and this is {}",
            host.instance
        )));
    }
    if grant.image != *host.image {
        let found = &grant.image;
        return Err(refused(format!(
            "it is for the image '{found}', and this is '{}'",
            host.image
        )));
    }
    if grant
        .manifest
        .is_some_and(|manifest| manifest != host.manifest)
    {
        return Err(refused("it is for another version of the image".to_owned()));
    }
    let (issued, expires) = (grant.time.issued(), grant.time.expires());
    if expires <= host.time {
        return Err(refused(format!(
            "it expired at {}",
            crate::host::utc(expires)
        )));
    }
    // Not final, so the file stays: once the clock is right, or another grant is over, it is good.
    let later = |why: String| Refused {
        is_final: false,
        ..refused(why)
    };
    if issued > host.time.saturating_add(AHEAD) {
        // Not what time it is here: that is another text each minute, and would be told each time.
        return Err(later(format!(
            "it was issued at {}, which is in the future: one of the clocks is wrong",
            crate::host::utc(issued)
        )));
    }
    if record.grants.len() >= MOST {
        return Err(refused(format!(
            "limit reached: {MOST} grants were accepted before; next: replace this host"
        )));
    }
    if record.grants.iter().filter(|known| known.is_open()).count() >= MOST_OPEN {
        return Err(later(format!("limit reached: {MOST_OPEN} grants are open")));
    }
    Ok(Some(grant.clone()))
}

/// Returns the digest of file, path and reason, in hex, by which a refusal is recognised: each is told once a boot.
pub fn mark(found: &Found, why: &str) -> String {
    let bytes = found.bytes.as_deref().unwrap_or_default();
    let digest = crypto::sha256(bytes).hex();
    crypto::sha256(format!("{digest} {} {why}", found.path).as_bytes()).hex()
}
