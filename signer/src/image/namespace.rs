//! Mounts of this process's own.

use std::path::Path;

use anyhow::Context;
use nix::sched::CloneFlags;
use rustix::mount::MountPropagationFlags;

use crate::{
    exit::{Exit, Exits, Next, Outcome},
    io::files::TemporaryDirectory,
};

/// The directory of this program's own mounts; none, until the kernel has to read a file system.
#[derive(Debug, Default)]
pub(super) struct Kernel(Option<TemporaryDirectory>);

impl Kernel {
    /// The directory, made at the first call, in a mount namespace of its own.
    pub(super) fn at(&mut self) -> Outcome<&Path> {
        let directory = if let Some(directory) = self.0.take() {
            directory
        } else {
            enter()?;
            TemporaryDirectory::new_in(&std::env::temp_dir())
                .context("failed to make a directory to mount the image on")?
        };
        Ok(self.0.insert(directory).path())
    }
}

/// From here on, what this thread, and what it starts, mounts is seen by nobody else, and goes with it.
fn enter() -> Outcome<()> {
    nix::sched::unshare(CloneFlags::CLONE_NEWNS)
        .context("failed to get mounts of this program's own")
        .exits(Exit::Undecided)
        .or_next(|| "run it as root: XFS and FAT are read by the kernel of this host; --partition N leaves other partitions alone".to_owned())?;
    let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", flags)
        .context("failed to keep this program's mounts from being seen elsewhere")
        .exits(Exit::Undecided)
}
