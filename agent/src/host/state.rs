//! `/run/earmark`: where the agent keeps what it tells, each file whole or not at all. And
//! `/run/earmark-lockdown`, which is root's alone.

use std::{fs::File, io::Write, os::fd::OwnedFd, time::Duration};

use anyhow::{Context, Result};
use earmark_scan::Root;
use rustix::{
    fs::{AtFlags, FlockOperation, Mode, OFlags},
    io::Errno,
};

use crate::host::files;

/// A second in all.
const TURNS: u32 = 50;
const TURN: Duration = Duration::from_millis(20);

/// The directory, open.
#[derive(Debug)]
pub struct StateDirectory {
    directory: OwnedFd,
    path: &'static str,
}

impl StateDirectory {
    /// Opens it beneath the root, and makes it if need be. `/run` itself is not ours to make.
    pub fn open(root: &Root) -> Result<Self> {
        Self::open_or_make(root, "run/earmark", "earmark", 0o755)
    }

    /// The same with what nobody but root may look into.
    pub fn open_private(root: &Root) -> Result<Self> {
        Self::open_or_make(root, "run/earmark-lockdown", "earmark-lockdown", 0o700)
    }

    /// The same for blocks that were found corrupted.
    pub fn open_corruption(root: &Root) -> Result<Self> {
        Self::open_or_make(root, "run/earmark-corruption", "earmark-corruption", 0o700)
    }

    /// The same, if it is there.
    pub fn open_existing(root: &Root) -> Option<Self> {
        const PATH: &str = "run/earmark-lockdown";
        let directory = files::open_directory(root, PATH).ok()?;
        let path = PATH;
        Some(Self { directory, path })
    }

    fn open_or_make(root: &Root, path: &'static str, name: &str, mode: u32) -> Result<Self> {
        let open = |path: &str| files::open_directory(root, path);
        match open(path) {
            Ok(directory) => return Ok(Self { directory, path }),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno).with_context(|| format!("failed to open '/{path}'")),
        }
        let run = open("run").context("failed to open '/run' beneath the root")?;
        match rustix::fs::mkdirat(&run, name, Mode::from_raw_mode(mode)) {
            // Another run was first. A link or a file that has the name fails at the open below.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).with_context(|| format!("failed to make '/{path}'")),
        }
        open(path)
            .map(|directory| Self { directory, path })
            .with_context(|| format!("failed to open '/{path}'"))
    }

    /// Waits until no other run of the agent replaces a record after it has read it. Not for ever:
    /// everybody may open this directory, and so hold its lock.
    pub fn wait_for_turn(&self) {
        for _ in 0..TURNS {
            match rustix::fs::flock(&self.directory, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => std::thread::sleep(TURN),
                _ => return,
            }
        }
    }

    /// The same for as long as systemd lets a unit start that opens and shuts locks.
    pub fn wait_long(&self) {
        for _ in 0..60 {
            match rustix::fs::flock(&self.directory, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => std::thread::sleep(TURN.saturating_mul(25)),
                _ => return,
            }
        }
    }

    /// Leaves a mark: a link to nowhere, which takes no room, so that it can be left where a file
    /// cannot. It is of the boot that its directory is of.
    pub fn mark(&self, name: &str) -> Result<()> {
        match rustix::fs::symlinkat("marked", &self.directory, name) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => {
                Err(errno).with_context(|| format!("failed to make '/{}/{name}'", self.path))
            }
        }
    }

    /// Returns whether such a mark is there.
    pub fn is_marked(&self, name: &str) -> bool {
        rustix::fs::readlinkat(&self.directory, name, Vec::new()).is_ok()
    }

    /// Puts a file in the place of what has its name. There is no `fsync`: this is a tmpfs, and what
    /// it holds does not outlive the boot that it is about.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let Self { directory, path } = self;
        // The number keeps two runs apart: the turn is waited for a second, and then both write.
        let temporary = format!(".{name}.{}", std::process::id());
        // One of a run that was killed, whose number came round again.
        let _ = rustix::fs::unlinkat(directory, &temporary, AtFlags::empty());
        // The service's user may write to /run/earmark: root must not write through a link that it made.
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // For everybody to read. What is root's alone is kept so by its directory's mode, 0700.
        let file = rustix::fs::openat(directory, &temporary, flags, Mode::from_raw_mode(0o644))
            .with_context(|| format!("failed to create a file beside '/{path}/{name}'"))?;
        let written = File::from(file).write_all(bytes).and_then(|()| {
            rustix::fs::renameat(directory, &temporary, directory, name).map_err(Into::into)
        });
        if written.is_err() {
            let _ = rustix::fs::unlinkat(directory, &temporary, AtFlags::empty());
        }
        written.with_context(|| format!("failed to write '/{path}/{name}'"))
    }
}
