//! Places a seal into a root: all of it, or nothing.
//!
//! Everything is written beside its place and synced first, so that a full disk shows before anything
//! changes. Then names are exchanged one by one, and if one cannot be, those before it are exchanged
//! back. A run that is killed leaves files of known names, all of which the next run removes before it
//! writes, whatever it stages itself; a root that was left between two exchanges does not verify until then.

mod object;
mod transaction;

use std::{ffi::CString, io};

use anyhow::Context;
use earmark_manifest::{
    escape::Escaped,
    layout::{self, DECLARATION_NAME, MANIFEST_NAME, TREE_NAME},
    path::ImagePath,
    verify::SealBytes,
};
use earmark_scan::Root;
use rustix::fs::FileType;

use crate::{
    exit::{Exit, Exits, Failure, Next, Outcome},
    io::beneath,
    seal::os_release::Stamp,
};

use object::Metadata;
use transaction::{Content, TEMPORARY, Transaction, temporary_name};

/// Files that go into the root.
#[derive(Debug)]
pub struct Placement<'a> {
    /// The seal.
    pub seal: &'a SealBytes,
    /// The bytes of the trust file.
    pub trust: &'a [u8],
    /// The bytes of the floor.
    pub floor: &'a [u8],
    /// The `os-release`, if it changes.
    pub stamp: Option<&'a Stamp>,
}

/// Owner of what is placed: root, except in tests that run as somebody else.
#[derive(Debug, Clone, Copy)]
pub struct Ownership {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Ownership {
    /// User and group 0.
    pub const ROOT: Self = Self { uid: 0, gid: 0 };
}

/// Places everything, or leaves the root as it was.
pub fn place(root: &Root, placement: &Placement<'_>) -> Outcome<()> {
    place_as(root, placement, Ownership::ROOT, &|_| Ok(()))
}

/// The directory that holds Earmark's own.
const LIB: &str = "/usr/lib";

/// Refuses roots into which nothing can be placed, before anything long is begun.
pub fn refuse_unplaceable(root: &Root) -> Outcome<()> {
    let look = |path: &str| -> Outcome<Option<FileType>> {
        let path = image_path(path)?;
        beneath::kind(root, &path)
            .with_context(|| format!("failed to look at '{path}'"))
            .exits(Exit::Undecided)
    };
    let refuse = |path: &str, what: &str, next: &str| {
        Err(Failure::new(Exit::Usage, format!("'{path}' of the root is {what}")).next(next))
    };
    if look(LIB)? != Some(FileType::Directory) {
        return refuse(
            LIB,
            "not a directory: the seal is placed below it",
            "is --root the root of an image?",
        );
    }
    for path in [layout::EARMARK_DIR, layout::SEAL_DIR] {
        match look(path)? {
            None | Some(FileType::Directory) => {}
            Some(_) => return refuse(path, "not a directory", "remove it: it must not be a link"),
        }
    }
    for path in [
        layout::TRUST,
        layout::FLOOR,
        layout::MANIFEST,
        layout::DECLARATION,
        layout::TREE,
    ] {
        match look(path)? {
            None | Some(FileType::RegularFile) => {}
            Some(_) => return refuse(path, "not a regular file", "remove it"),
        }
    }
    if look(layout::SEAL_DIR)?.is_some() {
        refuse_strangers(root)?;
    }
    Ok(())
}

/// The directory of the seal is replaced as a whole: what else is in it would be lost. Leftovers of a
/// killed run are no strangers.
fn refuse_strangers(root: &Root) -> Outcome<()> {
    let names = || beneath::names(beneath::directory(root, &path(layout::SEAL_DIR)?)?);
    let names = names()
        .with_context(|| format!("failed to list '{}' of the root", layout::SEAL_DIR))
        .exits(Exit::Undecided)?;
    let stranger = names.iter().map(CString::as_bytes).find(|name| {
        let name = name.strip_prefix(TEMPORARY.as_bytes()).unwrap_or(name);
        SEAL_FILES.iter().all(|own| own.as_bytes() != name)
    });
    match stranger {
        None => Ok(()),
        Some(name) => Err(Failure::new(
            Exit::Usage,
            format!(
                "'{}' is in the directory of the seal, {}",
                Escaped(name),
                layout::SEAL_DIR
            ),
        )
        .next("remove it: that directory is replaced as a whole")),
    }
}

/// Leftover of a killed run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leftover {
    /// One of the names of [`STAGED`]: the next run removes it, so that it is no part of the image.
    Cleared,
    /// A temporary file of another command, such as of `earmark trust --out` into the root. That
    /// command removes it when it is run again; sealing must not make it a part of the image.
    Stray,
}

/// The leftover that `path` is, or lies in.
pub fn leftover(path: &ImagePath) -> Option<Leftover> {
    // Nearly every entry of a tree is asked about, and nearly none has such a name.
    let marked = |name: &[u8]| name.starts_with(TEMPORARY.as_bytes());
    if !path.as_bytes().split(|byte| *byte == b'/').any(marked) {
        return None;
    }
    let cleared = STAGED.iter().any(|(directory, name)| {
        image_path(directory)
            .ok()
            .and_then(|directory| directory.join(temporary_name(name).as_bytes()).ok())
            .is_some_and(|leftover| path.is_beneath(&leftover))
    });
    Some(if cleared {
        Leftover::Cleared
    } else {
        Leftover::Stray
    })
}

/// Removes what a killed run may have left, all of it, whatever this run is about to stage: `measure` leaves
/// these names out of the tree, so that one that stays would be an added file to every verification.
fn clear_leftovers(root: &Root) -> io::Result<()> {
    for (directory, name) in STAGED {
        let directory = match beneath::directory(root, &path(directory)?) {
            Ok(directory) => directory,
            // Nothing is staged where there is no directory, nor through a link.
            Err(error) if beneath::is_no_directory(&error) => continue,
            Err(error) => return Err(error),
        };
        if object::remove(&directory, &temporary_name(name))? {
            rustix::fs::fsync(&directory)?;
        }
    }
    Ok(())
}

const SEAL_NAME: &str = "seal";
const TRUST_NAME: &str = "trust.toml";
const FLOOR_NAME: &str = "floor.toml";
const OS_RELEASE_NAME: &str = "os-release";
const SEAL_FILES: [&str; 3] = [MANIFEST_NAME, DECLARATION_NAME, TREE_NAME];

/// Every name that a run may stage, and the directory of the root that it is in.
const STAGED: [(&str, &str); 8] = [
    (layout::EARMARK_DIR, SEAL_NAME),
    (layout::EARMARK_DIR, TRUST_NAME),
    (layout::EARMARK_DIR, FLOOR_NAME),
    (LIB, OS_RELEASE_NAME),
    ("/etc", OS_RELEASE_NAME),
    // Where the directory of the seal cannot be exchanged as a whole.
    (layout::SEAL_DIR, MANIFEST_NAME),
    (layout::SEAL_DIR, DECLARATION_NAME),
    (layout::SEAL_DIR, TREE_NAME),
];

/// `checkpoint` is asked before each step, and makes it fail: how tests break a run anywhere.
fn place_as(
    root: &Root,
    placement: &Placement<'_>,
    owner: Ownership,
    checkpoint: &dyn Fn(&str) -> io::Result<()>,
) -> Outcome<()> {
    refuse_unplaceable(root)?;
    let placing = || format!("failed to place the seal into '{}'", root.path().display());
    let run = || -> io::Result<()> {
        let lib = beneath::directory(root, &path(LIB)?)?;
        transaction::lock(&lib)?;
        checkpoint("remove what a killed run left")?;
        clear_leftovers(root)?;
        let mut transaction = Transaction::new(checkpoint);
        let file = Metadata::new(0o644, owner);
        let directory = Metadata::new(0o755, owner);

        transaction.ensure_directory(&lib, "earmark", &directory)?;
        let earmark = beneath::directory(root, &path(layout::EARMARK_DIR)?)?;
        let stamp = match placement.stamp {
            Some(stamp) => {
                let parent = stamp.path.parent().unwrap_or_default();
                Some((beneath::directory(root, &parent)?, &stamp.content))
            }
            None => None,
        };

        let seal = [
            (MANIFEST_NAME, &placement.seal.envelope),
            (DECLARATION_NAME, &placement.seal.declaration),
            (TREE_NAME, &placement.seal.tree),
        ];
        transaction.stage(&earmark, TRUST_NAME, &Content::File(placement.trust), &file)?;
        transaction.stage(&earmark, FLOOR_NAME, &Content::File(placement.floor), &file)?;
        transaction.stage(
            &earmark,
            SEAL_NAME,
            &Content::Directory(&seal.map(|(name, bytes)| (name, bytes.as_slice())), &file),
            &directory,
        )?;
        if let Some((parent, content)) = &stamp {
            let like = Metadata::of(parent, OS_RELEASE_NAME)?;
            transaction.stage(parent, OS_RELEASE_NAME, &Content::File(content), &like)?;
        }
        transaction.commit()
    };
    match run() {
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Err(error)
            .with_context(placing)
            .exits(Exit::Usage)
            .or_next(|| "mount the root writable".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error)
            .with_context(placing)
            .exits(Exit::Usage)
            .or_next(|| {
                if rustix::process::geteuid().is_root() {
                    let immutable = "a directory on the way is immutable, or a security module forbids it: see lsattr -d \
                                     and chattr -i";
                    immutable.to_owned()
                } else {
                    "run this as root: what is placed belongs to root".to_owned()
                }
            }),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            ) =>
        {
            Err(error)
                .with_context(placing)
                .exits(Exit::Undecided)
                .or_next(|| "make room in the root's file system; it is as it was".to_owned())
        }
        result => result.with_context(placing).exits(Exit::Undecided),
    }
}

fn image_path(text: &str) -> Outcome<ImagePath> {
    Ok(path(text).context("a path of this program")?)
}

fn path(text: &str) -> io::Result<ImagePath> {
    ImagePath::from_absolute(text.as_bytes()).map_err(io::Error::other)
}

#[cfg(test)]
mod tests;
