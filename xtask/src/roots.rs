//! Real Debian roots to demonstrate, test and measure on, made once and kept under the target directory.

mod arm64;
mod boot;
mod cloud;
mod debian13;
mod graded;
mod server;
mod small;
mod tidy;

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::files::remove_tree;
use crate::run::is_root;

/// The same time in every root and initrd, so that building twice gives the same bytes where
/// Debian's tools can: 2025-01-01T00:00:00Z.
pub const SOURCE_DATE_EPOCH: &str = "1735689600";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Debian's minimal system with systemd and sshd: for demonstrations and tampering.
    Small,
    /// A server with a kernel and some 600 packages: for whole-size tests and measurements.
    Server,
    /// A small host with a kernel of its own and few units: for boots under emulation.
    Boot,
    /// The same with cloud-init.
    Cloud,
    /// A Debian 13 server with its stock units and cloud-init: for the order of boot.
    #[value(name = "debian-13")]
    Debian13,
    /// The same as `boot`, with graders of hardening.
    Graded,
    /// A small host with a kernel of its own for aarch64.
    Arm64,
}

/// The directory of the root, built first if there is none of this recipe yet.
pub fn root(kind: Kind) -> Result<PathBuf> {
    let dir = crate::state_dir()?.join("roots");
    fs::create_dir_all(&dir).with_context(|| format!("failed to make \"{}\"", dir.display()))?;
    let ready = dir.join(format!("{}.{:016x}", kind.name(), kind.key()));
    // Two tests that want the same root at once: the second waits for the first one's.
    let lock = fs::File::create(dir.join(format!("{}.lock", kind.name())))?;
    lock.lock().context("failed to lock the cache of roots")?;
    if ready.is_dir() {
        return Ok(ready);
    }
    if !is_root() {
        bail!(
            "making a Debian root needs root: it makes device nodes and files of other owners.\n\
             Run the same command as root."
        );
    }
    let partial = dir.join(format!("{}.partial", kind.name()));
    for entry in fs::read_dir(&dir)? {
        // What older recipes made, and what a run that was interrupted left.
        let path = entry?.path();
        let of_this_kind = path.file_stem().is_some_and(|stem| stem == kind.name());
        if of_this_kind && path.is_dir() {
            remove_tree(&path)?;
        }
    }
    let (make, _) = kind.recipe();
    make(&partial)?;
    fs::rename(&partial, &ready)
        .with_context(|| format!("failed to move the root to \"{}\"", ready.display()))?;
    Ok(ready)
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Server => "server",
            Self::Boot => "boot",
            Self::Cloud => "cloud",
            Self::Debian13 => "debian-13",
            Self::Graded => "graded",
            Self::Arm64 => "arm64",
        }
    }

    /// Returns the function that makes the root, and the source text of its recipe.
    fn recipe(self) -> (fn(&Path) -> Result<()>, &'static str) {
        match self {
            Self::Small => (small::make, include_str!("roots/small.rs")),
            Self::Server => (server::make, include_str!("roots/server.rs")),
            Self::Boot => (boot::make, include_str!("roots/boot.rs")),
            Self::Cloud => (
                cloud::make,
                concat!(
                    include_str!("roots/boot.rs"),
                    include_str!("roots/cloud.rs")
                ),
            ),
            Self::Debian13 => (debian13::make, include_str!("roots/debian13.rs")),
            Self::Arm64 => (arm64::make, include_str!("roots/arm64.rs")),
            Self::Graded => (
                graded::make,
                concat!(
                    include_str!("roots/boot.rs"),
                    include_str!("roots/graded.rs")
                ),
            ),
        }
    }

    /// Returns a hash of what the root is made from. A change of its recipe makes a new root, and of no other kind.
    fn key(self) -> u64 {
        let (_, recipe) = self.recipe();
        let mut hasher = DefaultHasher::new();
        (self.name(), recipe, include_str!("roots/tidy.rs")).hash(&mut hasher);
        hasher.finish()
    }
}
