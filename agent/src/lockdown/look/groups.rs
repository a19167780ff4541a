//! Control groups: the units of the system's service manager that have processes.
//!
//! The service manager has its units in slices, and nothing of its own beneath a unit. What is nested in one is made
//! and named by who runs in it (`Delegate=`): a service manager of a user, a container, whose root is the host's by
//! its id. They may nest as deep and as many as they like. That says nothing about the system's units and is not
//! looked at: nobody in there can make a lock look open by a group named `ssh.service`, nor hold the look up by a
//! tree without end.

use std::{
    collections::BTreeSet,
    ops::ControlFlow::{Break, Continue},
};

use rustix::{
    fs::{AtFlags, FileType, OFlags, ResolveFlags, StatxFlags},
    io::Errno,
};

use super::{
    super::{cause::Probe, item::Unseen},
    BOUND, Look, absolute,
};

const CGROUPS: &str = "sys/fs/cgroup";
/// There in the unified hierarchy alone, which every system has that there is a profile for.
const UNIFIED: &str = "/sys/fs/cgroup/cgroup.controllers";
/// A host with more connections or containers than this, each with a unit of its own, is not looked at to its
/// end.
const MOST: usize = 65_536;
/// The end of the name of a group that holds units.
const SLICE: &str = ".slice";

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
    /// is nested in a unit, or in one that was handed to a user, belongs to that one.
    pub fn groups(&self) -> Result<Vec<String>, Unseen> {
        let Some(owner) = self.owner_of(CGROUPS)? else {
            return Ok(Vec::new());
        };
        let (mut groups, mut todo) = (Vec::new(), vec![CGROUPS.to_owned()]);
        let mut seen = 0_usize;
        while let Some(path) = todo.pop() {
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
                // `populated` counts nested groups as well, so that nothing beneath an empty one is lost.
                if !self.is_populated(&group)? {
                    continue;
                }
                // By its owner: whoever was handed a group may name what is in it `ssh.service`.
                if group.ends_with(SLICE) && self.owner_of(&group)? == Some(owner) {
                    todo.push(group.clone());
                }
                groups.push(group);
            }
        }
        groups.sort_unstable();
        Ok(groups)
    }

    fn is_populated(&self, group: &str) -> Result<bool, Unseen> {
        let path = absolute(&format!("/{group}/cgroup.events"))?;
        match self.root.read_opt(&path, BOUND) {
            Ok(events) => Ok(events.is_some_and(|events| {
                let mut lines = events.split(|byte| *byte == b'\n');
                lines.any(|line| line == b"populated 1")
            })),
            // The group went between the look-up of the file and its reading. A unit for each connection goes
            // whenever somebody far away likes: that is no doubt.
            Err(error) if Errno::from_io_error(&error.cause) == Some(Errno::NODEV) => Ok(false),
            Err(error) => Err(Unseen::io(&error.cause, error.to_string())),
        }
    }

    /// The user that owns what is at a path of the kernel's own file systems.
    fn owner_of(&self, path: &str) -> Result<Option<u32>, Unseen> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let found = earmark_scan::openat2(self.root.as_fd(), path, flags, resolve)
            .and_then(|file| rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::UID));
        match found {
            Ok(stat) => Ok(Some(stat.stx_uid)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(Unseen::errno(
                errno,
                format!("failed to look at '/{path}': {errno}"),
            )),
        }
    }
}
