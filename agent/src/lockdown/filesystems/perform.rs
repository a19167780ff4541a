//! Carries out a plan in the mount namespace of this process.
//!
//! A place is opened beneath the root, through no link, and what is done is done to what was opened. The
//! kernel has calls that would set flags before a mount is seen by anybody, but not by way of `rustix`:
//! a new mount has those of the one beneath it for a moment, which is no more than was there before.

use std::{os::fd::AsRawFd, thread, time::Duration};

use earmark_manifest::path::ImagePath;
use earmark_scan::Root;
use rustix::{
    fs::{AtFlags, OFlags, StatxFlags, statx},
    io::Errno,
    mount::{MountFlags, MoveMountFlags, OpenTreeFlags, mount_remount, move_mount, open_tree},
};

use super::{places::open, plan::Operation};
use crate::lockdown::{item::Unseen, look::Look};

/// While a file is open to be written, its mount cannot become read-only. Most are closed soon.
const ATTEMPTS: usize = 15;
const PAUSE: Duration = Duration::from_millis(200);
/// Of those who hold one open, in a message.
const NAMED: usize = 3;

pub(super) fn perform(look: &Look<'_>, operation: &Operation) -> Result<(), String> {
    match operation {
        Operation::Bind(path) => bind(look.root(), path)
            .map_err(|errno| format!("failed to mount '{path}' over itself: {errno}")),
        Operation::Restrict(path, flags) => restrict(look.root(), path, *flags)
            .map_err(|errno| restrict_failed(look, path, *flags, errno)),
    }
}

fn bind(root: &Root, path: &ImagePath) -> Result<(), Errno> {
    let place = open(root, path, OFlags::empty())?;
    // Recursive: the new mount would otherwise hide what is mounted beneath the place.
    let clone = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(&place, c"", clone)?;
    // By descriptors alone: a path would be looked up again, and a service may have put a link there by then.
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(&tree, c"", &place, c"", flags)
}

fn restrict(root: &Root, path: &ImagePath, flags: MountFlags) -> Result<(), Errno> {
    let mut attempt = 0;
    loop {
        // By its descriptor: the kernel refuses it if that is not where a mount begins.
        let place = open(root, path, OFlags::empty())?;
        let name = format!("/proc/self/fd/{}", place.as_raw_fd());
        // MS_BIND changes this mount alone; without it the whole file system would change, wherever it is mounted.
        match mount_remount(name, MountFlags::BIND | flags, c"") {
            Err(Errno::BUSY) if attempt < ATTEMPTS => attempt += 1,
            other => return other,
        }
        thread::sleep(PAUSE);
    }
}

fn restrict_failed(look: &Look<'_>, path: &ImagePath, flags: MountFlags, errno: Errno) -> String {
    let kind = if flags.contains(MountFlags::RDONLY) {
        "read-only"
    } else {
        "nosuid,nodev,noexec"
    };
    let mut problem = format!("failed to make '{path}' {kind}: {errno}");
    if errno == Errno::BUSY {
        let holders = holders(look, path).unwrap_or_default();
        if !holders.is_empty() {
            problem.push_str(&format!("; open to be written: {}", holders.join(", ")));
        }
    }
    problem
}

/// Lists the processes that hold a file of a mount open to be written, as far as that can be seen; `NAMED` at most.
fn holders(look: &Look<'_>, path: &ImagePath) -> Result<Vec<String>, Unseen> {
    let own = open(look.root(), path, OFlags::empty())
        .and_then(|place| statx(place, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID))
        .map_err(|errno| errno.to_string())?;
    // By the number of the mount, as fdinfo has it: an open file may be renamed, deleted, or in another namespace.
    let own = Some(own.stx_mnt_id.to_string());
    let number = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().to_owned())
    };
    let mut found = Vec::new();
    let processes = look.list("/proc")?.unwrap_or_default();
    let is_process = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
    for (process, _) in processes.into_iter().filter(|(name, _)| is_process(name)) {
        // One that went meanwhile holds nothing.
        let files = look.list(&format!("/proc/{process}/fdinfo"));
        for (file, _) in files.ok().flatten().unwrap_or_default() {
            let text = look.text(&format!("/proc/{process}/fdinfo/{file}"));
            let text = text.ok().flatten().unwrap_or_default();
            let flags = number(&text, "flags:").unwrap_or_default();
            // The last digit, of eight: how it was opened.
            let writes = flags.ends_with(['1', '2', '5', '6']);
            if !writes || number(&text, "mnt_id:") != own {
                continue;
            }
            let name = look.text(&format!("/proc/{process}/comm"));
            let name = name.ok().flatten().unwrap_or_default();
            let what = look
                .link(&format!("proc/{process}/fd/{file}"))
                .ok()
                .flatten();
            found.push(format!(
                "'{}' by {name} ({process})",
                what.unwrap_or_default()
            ));
            if found.len() == NAMED {
                return Ok(found);
            }
        }
    }
    Ok(found)
}
