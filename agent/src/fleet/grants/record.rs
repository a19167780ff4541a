//! The record of the grants that this instance took. It is what a replay is told by, and what taints
//! the instance: nothing is ever taken out of it.
//!
//! It is replaced whole with a digest over it, as the journal of first boot is. Whoever is root can
//! remove it (tier T0); a record that is not as it was written opens nothing, and taints.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use earmark_manifest::{
    crypto,
    grant::{Grant, GrantId, GrantedLock, InstanceName},
    layout,
    name::Reason,
    path::ImagePath,
};
use earmark_scan::{Root, state};
use serde::{Deserialize, Serialize};

use super::clock::Moment;
use crate::host::store;

/// Its name in the agent's state directory.
const NAME: &str = "grants.journal";
/// The name of one that is another instance's.
const OLD: &str = "grants.journal.old";
/// Beginning of the file, before its digest.
const MAGIC: &str = "earmark-grants-1 ";
/// All that may be on record, with the envelopes of those that are open.
const BOUND: usize = 2 * 1024 * 1024;
/// A host that was opened so often is another image's to replace.
pub const MOST: usize = 256;
/// At a time.
pub const MOST_OPEN: usize = 16;

/// The grants of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Whose they are: a copy of the disk is another instance.
    pub instance: InstanceName,
    /// Moment of the last look, if a grant was open then.
    pub clock: Option<Moment>,
    /// In the order in which they were taken.
    pub grants: Vec<Taken>,
}

/// A grant that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taken {
    pub id: GrantId,
    pub locks: BTreeSet<GrantedLock>,
    pub issued: u64,
    pub expires: u64,
    pub reason: Option<Reason>,
    /// The SHA-256 of its envelope.
    pub sha256: String,
    /// The envelope itself, as long as it is open: its signatures are checked at each look, so that
    /// nobody opens a lock by writing a record.
    pub envelope: Option<String>,
    /// Moment at which it was taken.
    pub at: Moment,
    /// Time at which it was closed, in seconds since 1970, and the reason.
    pub closed: Option<(u64, String)>,
}

impl Taken {
    /// A grant that is taken now.
    pub fn new(grant: &Grant, envelope: &str, at: Moment) -> Self {
        Self {
            id: grant.id,
            locks: grant.locks.clone(),
            issued: grant.time.issued(),
            expires: grant.time.expires(),
            reason: grant.reason.clone(),
            sha256: crypto::sha256(envelope.as_bytes()).hex(),
            envelope: Some(envelope.to_owned()),
            at,
            closed: None,
        }
    }

    pub fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    /// It opens nothing any more.
    pub fn close(&mut self, time: u64, why: impl Into<String>) {
        self.closed = Some((time, why.into()));
        // The record has a bound, and an envelope up to 64 KiB: those of closed grants would fill it.
        self.envelope = None;
    }
}

impl Record {
    /// Of an instance that took none.
    pub fn new(instance: InstanceName) -> Self {
        Self {
            instance,
            clock: None,
            grants: Vec::new(),
        }
    }

    /// The record beneath a root, if there is one.
    pub fn read(root: &Root) -> Result<Option<Self>> {
        let path =
            ImagePath::from_absolute(format!("{}/{NAME}", layout::AGENT_STATE[1]).as_bytes())?;
        // Not `Root::read`: a file that others could have written, or that has a second name, is refused.
        let Some(bytes) = state::read(root, &path, BOUND)? else {
            return Ok(None);
        };
        // Not as if there were none: damage would take the taint away, and make used grants new.
        let record = store::parse(MAGIC, &bytes)
            .with_context(|| format!("'{path}' is damaged: no grant is accepted"))?;
        Ok(Some(record))
    }

    /// Puts it on the disk.
    pub fn write(&self, root: &Root) -> Result<()> {
        let bytes = store::to_bytes(MAGIC, self)?;
        // What could not be read again would be a host without a record.
        if bytes.len() > BOUND {
            bail!("too many grants are on record");
        }
        store::replace(root, NAME, &bytes)
    }

    /// Keeps the one on the disk aside.
    pub fn set_aside(root: &Root) -> Result<()> {
        store::rename(root, NAME, OLD)
    }
}
