//! Control groups: which units of the system's service manager have processes.
//!
//! A service manager of a user, or a container, may make and name groups in the one that was handed to it
//! (`Delegate=`), as deep and as many as it likes. Such a group is owned by who it was handed to. What is in it
//! says nothing about the system's units and is not looked at: a user cannot make a lock look open by a group
//! named `ssh.service`, nor hold the look up by a tree without end.

use std::{
    collections::BTreeSet,
    ops::ControlFlow::{Break, Continue},
};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, StatxFlags};

use super::{
    super::{cause::Probe, item::Unseen},
    Look,
};

const CGROUPS: &str = "sys/fs/cgroup";
/// There in the unified hierarchy alone, which every system has that there is a profile for.
const UNIFIED: &str = "/sys/fs/cgroup/cgroup.controllers";
/// A host with more connections or containers than this, each with a unit of its own, is not looked at to its
/// end.
const MOST: usize = 65_536;
/// Nested deeper than this are no units of the system's service manager. What is still deeper is root's own, and
/// not looked at.
const DEEPEST: usize = 64;

impl Look<'_> {
    /// The units that have processes, by the control groups that they are in: what runs, whatever
    /// anybody's records say. A process that was started from another unit is in that one's group.
    pub fn running(&self) -> Result<&BTreeSet<String>, Unseen> {
        let running = self.running.get_or_init(|| {
            // Of another hierarchy nothing could be told by this: that is not to be taken for "none".
            if !self.exists(UNIFIED)? {
                return Err(Unseen::from(format!(
                    "'{UNIFIED}' is not there: control groups are not unified"
                )));
            }
            let name = |path: String| path.rsplit('/').next().unwrap_or_default().to_owned();
            Ok(self.groups()?.into_iter().map(name).collect())
        });
        running.as_ref().map_err(Clone::clone)
    }

    /// The control groups of the system's service manager that have processes, as paths beneath the root. What
    /// is nested in one that was handed to a user belongs to that one.
    pub fn groups(&self) -> Result<Vec<String>, Unseen> {
        let Some(owner) = self.owner_of(CGROUPS)? else {
            return Ok(Vec::new());
        };
        let (mut groups, mut todo) = (Vec::new(), vec![(CGROUPS.to_owned(), 0_usize)]);
        let mut seen = 0_usize;
        while let Some((path, depth)) = todo.pop() {
            let mut inner = Vec::new();
            let end = self.each_name(&path, &mut |name, kind| {
                seen = seen.saturating_add(1);
                if kind == FileType::Directory {
                    inner.push(format!("{path}/{name}"));
                }
                // Each group has some dozens of files.
                if seen > MOST.saturating_mul(64) || inner.len() > MOST {
                    Break(())
                } else {
                    Continue(())
                }
            })?;
            if end == Some(Break(())) || groups.len().saturating_add(inner.len()) > MOST {
                let text =
                    format!("more than {MOST} control groups, of which some were not looked at");
                return Err(Unseen::Unfit(Probe::GroupsFit, text));
            }
            for group in inner {
                // One that went meanwhile has no processes.
                if !self.is_populated(&group)? {
                    continue;
                }
                if self.owner_of(&group)? == Some(owner) && depth < DEEPEST {
                    todo.push((group.clone(), depth.saturating_add(1)));
                }
                groups.push(group);
            }
        }
        groups.sort_unstable();
        Ok(groups)
    }

    fn is_populated(&self, group: &str) -> Result<bool, Unseen> {
        let events = self.text(&format!("/{group}/cgroup.events"))?;
        Ok(events.is_some_and(|events| events.lines().any(|line| line == "populated 1")))
    }

    /// The user that owns what is at a path of the kernel's own file systems.
    fn owner_of(&self, path: &str) -> Result<Option<u32>, Unseen> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let found = rustix::fs::openat2(self.root.as_fd(), path, flags, Mode::empty(), resolve)
            .and_then(|file| rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::UID));
        match found {
            Ok(stat) => Ok(Some(stat.stx_uid)),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(Unseen::errno(
                errno,
                format!("failed to look at '/{path}': {errno}"),
            )),
        }
    }
}
