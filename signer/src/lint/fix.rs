//! `--fix`: removes, empties or makes what is safe to, beneath the root's descriptor.
//!
//! Protects against an image whose links lead a program that runs as root out of it: nothing is reached
//! through a link, and a link is removed, never what it leads to. Nothing that is mounted is entered. A file
//! with several names is not emptied, since another name of it may be one that is meant to stay.

mod write;

use std::{
    ffi::CStr,
    io,
    os::fd::{AsFd, OwnedFd},
};

use earmark_manifest::{
    class::{PathClass, RuleError, RuleKind, RuleSet},
    declaration::Declaration,
    path::ImagePath,
};
use earmark_scan::Root;
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, StatxAttributes, StatxFlags},
    io::Errno,
};
use serde::Serialize;

use super::finding::{Finding, Repair};
use crate::io::beneath;

/// One thing that was done, or was not.
#[derive(Debug, Serialize)]
pub struct Done {
    rule: &'static str,
    path: String,
    /// `removed`, `emptied`, `written` or `left`.
    action: &'static str,
    /// Reason why it was left; none for the other actions.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({})", self.action, self.path, self.rule)?;
        match &self.reason {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

/// Repairs what the findings say can be, and tells each thing that it did.
pub fn fix(root: &Root, declared: Option<&Declaration>, findings: &[Finding]) -> Vec<Done> {
    let own = Own::of(declared);
    let mut done = Vec::new();
    for finding in findings {
        let Some(repair) = &finding.repair else {
            continue;
        };
        for (path, action, outcome) in outcomes(root, &own, repair) {
            let (action, reason) = match outcome {
                Ok(true) => (action, None),
                // An earlier repair did it.
                Ok(false) => continue,
                Err(error) => ("left", Some(error.to_string())),
            };
            done.push(Done {
                rule: finding.rule.id,
                path: path.to_string(),
                action,
                reason,
            });
        }
    }
    done
}

/// A path, what is done there, and whether something was.
type Outcome<'a> = (&'a ImagePath, &'static str, io::Result<bool>);

fn outcomes<'a>(root: &Root, own: &Own, repair: &'a Repair) -> Vec<Outcome<'a>> {
    let free = |path| own.refuse_data(path);
    match repair {
        Repair::Remove(paths) => {
            let remove = |path| free(path).and_then(|()| remove(root, own, path));
            let paths = paths.iter();
            paths.map(|path| (path, "removed", remove(path))).collect()
        }
        Repair::Empty(path) => {
            let outcome = free(path).and_then(|()| empty(root, path));
            vec![(path, "emptied", outcome)]
        }
        Repair::Write(files) => {
            let files = files.iter();
            files
                .map(|file| {
                    let outcome = free(&file.path).and_then(|()| write::write(root, file));
                    (&file.path, "written", outcome)
                })
                .collect()
        }
    }
}

/// The paths that the image's owner, not the profile, declared as `state`.
struct Own(Option<Result<RuleSet, RuleError>>);

impl Own {
    fn of(declared: Option<&Declaration>) -> Self {
        let rules = declared.map(|declared| {
            let own = declared.own_rules().iter();
            let state = own.filter(|rule| rule.rule.kind == RuleKind::Class(PathClass::State));
            state.map(|rule| rule.rule.clone()).collect()
        });
        Self(rules.map(RuleSet::resolve))
    }

    fn refuse_data(&self, path: &ImagePath) -> io::Result<()> {
        let rules = match &self.0 {
            None => return Ok(()),
            Some(Ok(rules)) => rules,
            // They resolved once, among others. What is not known to be free is left.
            Some(Err(error)) => return Err(io::Error::other(error.to_string())),
        };
        let mut at = Some(path.clone());
        while let Some(path) = at {
            if rules.class_of(&path) == PathClass::State {
                let text = format!("the declaration's own 'state' covers {path}: it is data");
                return Err(io::Error::other(text));
            }
            at = path.parent();
        }
        Ok(())
    }
}

/// Removes the object at `path`. Returns whether there was something to remove.
fn remove(root: &Root, own: &Own, path: &ImagePath) -> io::Result<bool> {
    let Some((parent, name)) = place(root, path)? else {
        return Ok(false);
    };
    remove_at(own, &parent, &name, path, DEPTH)
}

/// Deeper trees are not leftovers.
const DEPTH: usize = 64;

fn remove_at(
    own: &Own,
    directory: &OwnedFd,
    name: &CStr,
    path: &ImagePath,
    depth: usize,
) -> io::Result<bool> {
    own.refuse_data(path)?;
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) => return Ok(true),
        Err(Errno::NOENT) => return Ok(false),
        Err(Errno::ISDIR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let depth = depth
        .checked_sub(1)
        .ok_or_else(|| io::Error::other("it is too deep to be removed"))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inner = rustix::fs::openat(directory, name, flags, Mode::empty())?;
    if is_mounted(&inner)? {
        return Err(io::Error::other("something is mounted there"));
    }
    for name in beneath::names(&inner)? {
        let path = path.join(name.to_bytes()).map_err(io::Error::other)?;
        remove_at(own, &inner, &name, &path, depth)?;
    }
    rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR)?;
    Ok(true)
}

fn is_mounted(directory: impl AsFd) -> io::Result<bool> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT;
    let stat = rustix::fs::statx(directory, c"", flags, StatxFlags::BASIC_STATS)?;
    Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Empties the file at `path`. Returns whether there was something in it.
fn empty(root: &Root, path: &ImagePath) -> io::Result<bool> {
    let Some((parent, name)) = place(root, path)? else {
        return Ok(false);
    };
    // Looked at before it is opened: a device is not.
    let stat = rustix::fs::statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW)?;
    refuse_all_but_plain(&stat)?;
    let flags =
        OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&parent, &name, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&file)?;
    refuse_all_but_plain(&stat)?;
    rustix::fs::ftruncate(&file, 0)?;
    Ok(stat.st_size > 0)
}

fn refuse_all_but_plain(stat: &rustix::fs::Stat) -> io::Result<()> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("it is not a regular file"));
    }
    if stat.st_nlink > 1 {
        return Err(io::Error::other("it has several names: empty it by hand"));
    }
    Ok(())
}

/// The directory of a path, held open, and the name in it. Nothing, if the directory is gone.
fn place(root: &Root, path: &ImagePath) -> io::Result<Option<(OwnedFd, std::ffi::CString)>> {
    let (Some(parent), Some(name)) = (
        path.parent(),
        path.as_bytes().rsplit(|byte| *byte == b'/').next(),
    ) else {
        return Err(io::Error::other("it is the root itself"));
    };
    let name = std::ffi::CString::new(name).map_err(io::Error::other)?;
    match beneath::directory(root, &parent) {
        Ok(directory) => Ok(Some((directory, name))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
