//! The stage `verity`: has the kernel enforce the content of a root's sealed files (fs-verity).
//!
//! Data flows one way: `plan` (the sealed files of the signed tree, each on its volume) -> `volumes` (can each do it;
//! the feature is turned on where it is not) -> `enforce` (each file once) -> `check` (each file measured again).
//!
//! What can be refused is refused by [`Prepared::of`], before anything is written. What was enabled stays when a run
//! ends early: the next one goes on from there, since a file with the signed digest needs nothing more.

mod enforce;
mod feature;
pub mod kernels;
mod plan;
mod volumes;

use std::{fmt, time::Instant};

use earmark_manifest::{fsverity::ENFORCED_ABOVE, verify::VerifiedManifest};
use earmark_scan::Root;
use serde::Serialize;

use crate::{
    exit::Outcome,
    io::output::{self, plain},
    verity::{plan::Plan, volumes::Volumes},
};

/// Files to be enforced, on a root that can do it.
#[derive(Debug)]
pub struct Prepared<'a> {
    root: &'a Root,
    plan: Plan,
    volumes: Volumes,
}

/// Result of a run that is done: each file was measured, and has the signed digest.
#[derive(Debug, Serialize)]
pub struct Enforced {
    /// Files that this run enabled it on.
    enabled: u64,
    /// Files that had it before.
    already: u64,
    /// Sealed files that are read instead, being too small for it to pay.
    small: u64,
    /// Sealed files on other file systems of the image, which have no fs-verity.
    elsewhere: u64,
    /// Bytes in the files that are enforced.
    bytes: u64,
    /// Devices on whose file system this run turned the feature on.
    features: Vec<String>,
    /// Duration of the run.
    milliseconds: u64,
}

impl<'a> Prepared<'a> {
    /// Plans it, and refuses a root that cannot do it. Changes nothing.
    pub fn of(root: &'a Root, manifest: &VerifiedManifest) -> Outcome<Self> {
        let mounts = &manifest.declaration().tree.mounts;
        let mut volumes = Volumes::of(root, mounts)?;
        let plan = Plan::of(manifest, &mut volumes)?;
        volumes.refuse_unable(root)?;
        Ok(Self {
            root,
            plan,
            volumes,
        })
    }

    /// Enforces it all, and measures each file afterwards.
    pub fn enforce(self) -> Outcome<Enforced> {
        let start = Instant::now();
        let features = self.volumes.turn_on()?;
        let (enabled, already) = enforce::enforce(self.root, &self.plan)?;
        // Before anything is said to be done: what the kernel answers now is from its memory.
        self.volumes.sync()?;
        enforce::check(self.root, &self.plan)?;
        Ok(Enforced {
            enabled,
            already,
            small: self.plan.small,
            elsewhere: self.plan.elsewhere,
            bytes: self.plan.bytes(),
            features,
            milliseconds: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }
}

impl fmt::Display for Enforced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = output::count(self.enabled + self.already, "file", "files");
        write!(
            f,
            "{files} enforced, {} ({} enabled now); {} of at most {} are read instead",
            output::size(self.bytes),
            output::thousands(self.enabled),
            output::thousands(self.small),
            output::size(ENFORCED_ABOVE)
        )?;
        match self.elsewhere {
            0 => {}
            files => write!(
                f,
                ", and {} on file systems without fs-verity",
                output::thousands(files)
            )?,
        }
        for device in &self.features {
            write!(f, "; feature turned on: {}", plain(device))?;
        }
        Ok(())
    }
}
