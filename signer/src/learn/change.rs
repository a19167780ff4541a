//! One path that changed: what differs, and what is there now.

use std::{collections::BTreeMap, fs::File, io::Read};

use earmark_manifest::path::ImagePath;
use earmark_scan::{Doubt, Root, Violation, ViolationKind};
use rustix::{fs::FileType, io::Errno};

use crate::io::{beneath, output::plain};

/// One path, and all that is not as it was signed there.
#[derive(Debug)]
pub struct Change {
    /// Path that changed.
    pub path: ImagePath,
    /// Differences from what was signed.
    pub violations: Vec<Violation>,
    /// Object that is there; none, if it is gone.
    pub now: Option<Now>,
}

/// Object at a path, as it is now.
#[derive(Debug)]
pub struct Now {
    /// Type of the object.
    pub kind: FileType,
    /// Permission bits, set-id and sticky included.
    pub mode: u32,
    /// User and group are those of the root directory.
    pub is_of_root: bool,
    /// It has one name, and neither a capability nor an ACL.
    pub is_plain: bool,
    /// It starts as programs and scripts do.
    pub looks_like_program: bool,
    /// User and group.
    pub owner: (u32, u32),
    /// Size in bytes.
    pub size: u64,
}

impl Change {
    /// One for each path, in their order. What cannot be looked at is `unknown`, and no change: nothing is proposed
    /// for it.
    pub fn group(root: &Root, all: Vec<Violation>, unknown: &mut Vec<Doubt>) -> Vec<Self> {
        let mut paths: BTreeMap<ImagePath, Vec<Violation>> = BTreeMap::new();
        for violation in all {
            let path = violation.path.clone();
            paths.entry(path).or_default().push(violation);
        }
        let mut changes = Vec::new();
        for (path, violations) in paths {
            match look(root, &path) {
                Ok(now) => changes.push(Self {
                    path,
                    violations,
                    now,
                }),
                Err(error) => unknown.push(Doubt {
                    path,
                    problem: format!("failed to look at it: {error}"),
                }),
            }
        }
        changes
    }

    /// Returns whether there is a violation of this kind.
    pub fn has(&self, kind: ViolationKind) -> bool {
        self.violations.iter().any(|one| one.kind == kind)
    }

    /// Returns the violations, one line each, safe to show.
    pub fn evidence(&self) -> Vec<String> {
        let line = |one: &Violation| {
            let (kind, expected, found) = (one.kind.name(), &one.expected, &one.found);
            plain(&format!("{kind}: signed {expected}, found {found}"))
        };
        self.violations.iter().map(line).collect()
    }
}

fn look(root: &Root, path: &ImagePath) -> std::io::Result<Option<Now>> {
    let Some(stat) = beneath::stat(root, path)? else {
        return Ok(None);
    };
    let top = rustix::fs::fstat(root.as_fd())?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let mut now = Now {
        kind,
        mode: stat.st_mode & 0o7777,
        is_of_root: (stat.st_uid, stat.st_gid) == (top.st_uid, top.st_gid),
        is_plain: stat.st_nlink == 1,
        looks_like_program: false,
        owner: (stat.st_uid, stat.st_gid),
        size: u64::try_from(stat.st_size).unwrap_or_default(),
    };
    if kind == FileType::RegularFile {
        let (mut file, _) = root.open_regular(path).map_err(std::io::Error::other)?;
        now.is_plain &= !has_powers(&file)?;
        now.looks_like_program = starts_like_a_program(&mut file)?;
    }
    Ok(Some(now))
}

/// Capabilities and ACLs, which no class but `sealed` and `state` lets a file have.
fn has_powers(file: &File) -> std::io::Result<bool> {
    let mut names = vec![0; 64 * 1024];
    let length = match rustix::fs::flistxattr(file, &mut names[..]) {
        Err(Errno::OPNOTSUPP) => 0,
        length => length?,
    };
    let names = names.get(..length).unwrap_or_default();
    let power =
        |name: &[u8]| name == b"security.capability" || name.starts_with(b"system.posix_acl");
    Ok(names.split(|byte| *byte == 0).any(power))
}

fn starts_like_a_program(file: &mut File) -> std::io::Result<bool> {
    let mut start = Vec::new();
    file.take(4).read_to_end(&mut start)?;
    Ok(start.starts_with(b"#!") || start == b"\x7fELF")
}
