//! Mounts of this process's own.

use anyhow::Context;
use nix::sched::CloneFlags;
use rustix::mount::MountPropagationFlags;

use crate::exit::{Exit, Exits, Next, Outcome};

/// From here on, what this thread, and what it starts, mounts is seen by nobody else, and goes with it.
pub fn enter() -> Outcome<()> {
    nix::sched::unshare(CloneFlags::CLONE_NEWNS)
        .context("failed to get mounts of this program's own")
        .exits(Exit::Undecided)
        .or_next(|| "run it as root: XFS and FAT are read by the kernel of this host; --partition N leaves other partitions alone".to_owned())?;
    let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", flags)
        .context("failed to keep this program's mounts from being seen elsewhere")
        .exits(Exit::Undecided)
}
