//! The journal of first boot: which steps began and ended, on this instance, of this image.
//!
//! It is small, and replaced whole with a digest over it, so that a power cut leaves the one before
//! or the one after, and anything else is found: a journal that was cut short or changed is no
//! reason to run a step twice, nor to skip one. Does not protect against somebody who can write it
//! as root, and with it the digest (tier T0).

use anyhow::{Context, Result};
use earmark_manifest::{digest::ManifestDigest, layout, name::StepName, path::ImagePath};
use earmark_scan::{Root, state};
use serde::{Deserialize, Serialize};

use super::kept::KeptValues;
use crate::host::store;

/// Its name in the agent's state directory.
const NAME: &str = "first-boot.journal";
/// The name of one that is another instance's or another image's.
const OLD: &str = "first-boot.journal.old";
/// Start of the file, before its digest.
const MAGIC: &str = "earmark-first-boot-1 ";
/// 64 steps with their results, and room to spare.
const BOUND: usize = 512 * 1024;

/// A journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// The instance that it is of: an EC2 instance id, or a machine id.
    pub instance: String,
    /// The machine's id by its firmware, which tells a later boot from a clone's first without a network.
    pub machine: Option<String>,
    /// The image that it is of.
    pub manifest: String,
    /// The instance whose disk this one began with, if that had a first boot.
    pub cloned_from: Option<String>,
    /// The values that the steps have.
    pub values: Option<KeptValues>,
    /// Steps that began, in their order.
    pub steps: Vec<StepRecord>,
    /// True if all steps are done.
    pub is_complete: bool,
    /// Notes of the last run that stopped nothing, such as a value that is another one now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Record of a step that began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepRecord {
    /// Name of the step.
    pub name: StepName,
    /// Progress of the step.
    pub state: StepState,
    /// Number of times that the step began.
    pub attempts: u32,
    /// Time at which it last began, in seconds since 1970, if the clock was set.
    pub time: Option<u64>,
    /// Duration, if it has ended.
    pub milliseconds: Option<u64>,
    /// Reason of the failure, if it failed.
    pub reason: Option<String>,
}

/// Progress of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    /// It began. If nothing is running now, a crash cut it short.
    Started,
    /// It brought about what it declares.
    Done,
    /// It ended, and did not.
    Failed,
}

impl Journal {
    /// With no step begun.
    pub fn new(instance: &str, manifest: ManifestDigest) -> Self {
        Self {
            instance: instance.to_owned(),
            machine: None,
            manifest: manifest.to_string(),
            cloned_from: None,
            values: None,
            steps: Vec::new(),
            is_complete: false,
            notes: Vec::new(),
        }
    }

    /// The journal beneath a root, if there is one.
    pub fn read(root: &Root) -> Result<Option<Self>> {
        let path =
            ImagePath::from_absolute(format!("{}/{NAME}", layout::AGENT_STATE[1]).as_bytes())?;
        // `state` refuses a file that another account than root's can have written.
        let Some(bytes) = state::read(root, &path, BOUND)? else {
            return Ok(None);
        };
        let journal = store::parse(MAGIC, &bytes).with_context(|| {
            format!("'{path}' is damaged: the steps that first boot finished are unknown")
        })?;
        Ok(Some(journal))
    }

    /// Puts it on the disk.
    pub fn write(&self, root: &Root) -> Result<()> {
        store::replace(root, NAME, &store::to_bytes(MAGIC, self)?)
    }

    /// Puts it on the disk as what another instance or image left.
    pub fn keep_aside(&self, root: &Root) -> Result<()> {
        store::replace(root, OLD, &store::to_bytes(MAGIC, self)?)
    }

    /// Returns the record of a step, if it began.
    pub fn step(&self, name: &StepName) -> Option<&StepRecord> {
        self.steps.iter().find(|step| step.name == *name)
    }

    /// Notes that a step begins.
    pub fn begin(&mut self, name: &StepName, time: Option<u64>) {
        let attempts = self.step(name).map_or(0, |step| step.attempts);
        self.put(StepRecord {
            name: name.clone(),
            state: StepState::Started,
            attempts: attempts.saturating_add(1),
            time,
            milliseconds: None,
            reason: None,
        });
    }

    /// Notes how a step that began has ended; `reason` is why it failed.
    pub fn end(&mut self, name: &StepName, milliseconds: Option<u64>, reason: Option<String>) {
        let Some(began) = self.step(name).cloned() else {
            return;
        };
        let state = match reason {
            None => StepState::Done,
            Some(_) => StepState::Failed,
        };
        self.put(StepRecord {
            state,
            milliseconds,
            reason,
            ..began
        });
    }

    fn put(&mut self, record: StepRecord) {
        match self.steps.iter_mut().find(|step| step.name == record.name) {
            Some(step) => *step = record,
            None => self.steps.push(record),
        }
    }
}
