//! State of the sinks in this boot.

use std::{collections::BTreeMap, io::Read, os::fd::OwnedFd};

use anyhow::{Context, Result};
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::{host::files, status::model::SinkStatus};

const NAME: &str = "state.json";
const BOUND: u64 = 256 * 1024;

/// All of them, and the last report.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// The digest of what the last report said.
    pub said: Option<String>,
    /// Time at which it was made, in seconds since the boot.
    pub made: Option<u64>,
    /// By their URLs.
    pub sinks: BTreeMap<String, SinkStatus>,
}

impl State {
    /// Reads the state. One that cannot be read counts as empty: at worst a sink is asked too early.
    pub fn read(directory: &OwnedFd) -> Self {
        // Root's `status` reads it in a directory of the service's user: no pipe may hang it, no link lead it away.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(file) = rustix::fs::openat(directory, NAME, flags, Mode::empty()) else {
            return Self::default();
        };
        let mut bytes = Vec::new();
        let read = std::fs::File::from(file)
            .take(BOUND)
            .read_to_end(&mut bytes);
        read.ok()
            .and_then(|_| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    pub fn write(&self, directory: &OwnedFd) -> Result<()> {
        let bytes = serde_json::to_vec(self).context("failed to write the state of the sinks")?;
        files::replace(directory, NAME, &bytes, 0o644)
            .with_context(|| format!("failed to write '{NAME}' in the run-time directory"))
    }
}
