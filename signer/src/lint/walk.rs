//! The walk of lint: all of a root, `state` included, since what lies there is baked into the image too.
//!
//! Nothing is followed, and nothing that is mounted is entered unless the declaration says that it belongs to the
//! image: on a running host `/proc` is no part of one.

use std::{ffi::CStr, os::fd::OwnedFd};

use earmark_manifest::{
    class::{PathClass, RuleSet},
    declaration::Declaration,
    limits,
    path::ImagePath,
};
use earmark_scan::Root;
use rustix::{
    fs::{AtFlags, FileType, StatxAttributes, StatxFlags},
    io::Errno,
};

use super::image::Seen;
use crate::beneath;

struct Walk<'a> {
    declared: Option<&'a (&'a Declaration, RuleSet)>,
    waiting: Vec<(ImagePath, PathClass)>,
    seen: Vec<Seen>,
    doubts: Vec<String>,
}

/// Every name of the root, sorted, and what could not be looked at.
pub fn walk(root: &Root, declared: Option<&(&Declaration, RuleSet)>) -> (Vec<Seen>, Vec<String>) {
    let mut walk = Walk {
        declared,
        waiting: vec![(ImagePath::root(), PathClass::Sealed)],
        seen: Vec::new(),
        doubts: Vec::new(),
    };
    let bound = usize::try_from(limits::ENTRIES).unwrap_or(usize::MAX);
    while let Some((path, class)) = walk.waiting.pop() {
        if walk.seen.len() > bound {
            let text = format!("there are more than {bound} names: the rest was not looked at");
            walk.doubts.push(text);
            break;
        }
        walk.directory(root, &path, class);
    }
    walk.seen.sort_by(|one, other| one.path.cmp(&other.path));
    (walk.seen, walk.doubts)
}

impl Walk<'_> {
    fn directory(&mut self, root: &Root, path: &ImagePath, class: PathClass) {
        let listed = beneath::directory(root, path)
            .and_then(|directory| Ok((beneath::names(&directory)?, directory)));
        let (names, directory) = match listed {
            Ok(listed) => listed,
            // It was removed meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(error) => {
                let text = format!("failed to list '{path}': {error}");
                return self.doubts.push(text);
            }
        };
        for name in names {
            let child = match path.join(name.to_bytes()) {
                Ok(child) => child,
                Err(error) => {
                    let text = format!("failed to use a name in '{path}': {error}");
                    self.doubts.push(text);
                    continue;
                }
            };
            match self.entry(&directory, &name, &child, class) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => {
                    let text = format!("failed to look at '{child}': {error}");
                    self.doubts.push(text);
                }
            }
        }
    }

    fn entry(
        &mut self,
        directory: &OwnedFd,
        name: &CStr,
        path: &ImagePath,
        above: PathClass,
    ) -> rustix::io::Result<()> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let stat = rustix::fs::statx(directory, name, flags, StatxFlags::BASIC_STATS)?;
        let kind = FileType::from_raw_mode(stat.stx_mode.into());
        let class = match (above, self.declared) {
            (PathClass::State, _) => PathClass::State,
            (_, Some((_, rules))) => rules.class_of(path),
            (_, None) => PathClass::Sealed,
        };
        let target = match kind {
            FileType::Symlink => {
                Some(rustix::fs::readlinkat(directory, name, Vec::new())?.into_bytes())
            }
            _ => None,
        };
        let is_mounted = stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
        let belongs = || {
            self.declared
                .is_some_and(|(declared, _)| declared.tree.mounts.contains(path))
        };
        if kind == FileType::Directory && (!is_mounted || belongs()) {
            self.waiting.push((path.clone(), class));
        }
        self.seen.push(Seen {
            path: path.clone(),
            kind,
            mode: u32::from(stat.stx_mode) & 0o7777,
            size: stat.stx_size,
            target,
            class,
        });
        Ok(())
    }
}
