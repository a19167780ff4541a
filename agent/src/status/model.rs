//! Model of `status.json`: plain data, as it is written and read.
//!
//! Nothing here reads a file or asks the host; each stage makes its own part. So every stage may know this, and this
//! knows none.

use std::borrow::Cow;

use earmark_scan::Report;
use serde::{Deserialize, Serialize};

/// The state of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The last verification.
    #[serde(flatten)]
    pub report: Report,
    /// Result of first boot, if the image declares steps and they were come to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_boot: Option<FirstBootStatus>,
    /// The locks, as they were last measured in this boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lockdown: Option<LockdownStatus>,
    /// Standing in the channel that its image names, as of this boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelStatus>,
    /// Name of this instance, if this boot could tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Changes to this instance that its image does not declare, kept for its whole life.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<Taint>,
}

/// Summary of first boot, in the status and in output. Its JSON is schema 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstBootStatus {
    /// 1.
    pub schema: u32,
    /// `nothing declared`, `not begun`, `not finished`, `done`, `failed` or `undecided`.
    pub state: Cow<'static, str>,
    /// The instance that it is of.
    pub instance: Option<String>,
    /// The image that it is of.
    pub manifest: Option<String>,
    /// The instance whose disk this one began with.
    pub cloned_from: Option<String>,
    /// Each declared step.
    pub steps: Vec<StepStatus>,
    /// The step that is next.
    pub next: Option<String>,
    /// Reason for which it did not come to its end in this boot, in lines; empty if there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problem: Vec<String>,
    /// Notes that stopped nothing, such as a value that is another one now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A step, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepStatus {
    /// Name of the step.
    pub name: String,
    /// `to do`, `interrupted`, `done` or `failed`.
    pub state: Cow<'static, str>,
    /// Runs so far.
    pub attempts: u32,
    /// Time of the last run, in seconds since 1970, if the clock told.
    pub time: Option<u64>,
    /// Duration of the last run.
    pub milliseconds: Option<u64>,
    /// Reason of the failure, in a line.
    pub reason: Option<String>,
}

/// The locks in the record of this boot: each with its state, and what of it is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockdownStatus {
    /// True if no policy follows: each lock that is denied is enforced, has nothing that it would shut, is
    /// opened by a grant, or is open only as others than root can bring about; its own state says which.
    pub is_enforced: bool,
    /// Time of the measurement, in seconds since 1970, if the clock told.
    #[serde(default)]
    pub time: Option<u64>,
    /// In the order of the declaration.
    pub locks: Vec<LockStatus>,
}

/// A lock in the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockStatus {
    /// Its name.
    pub lock: String,
    /// Declared state.
    pub declared: DeclaredLock,
    /// Measured state.
    pub state: LockState,
    /// Until when a grant opens it, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted_until: Option<u64>,
    /// The items that are open or unknown by root's doing, and what was found; if the lock is denied. The
    /// policy of the image follows from these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<String>,
    /// The other items that are open or unknown, with who can bring that about. No policy follows from these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<String>,
}

impl LockStatus {
    /// Returns whether the lock is to be shut and is not, and others than root can bring all of that about.
    pub fn is_only_told(&self) -> bool {
        let is_open = match self.state {
            LockState::Unknown | LockState::NotEnforced => true,
            LockState::NotApplicable | LockState::Enforced | LockState::Granted => false,
        };
        is_open
            && self.declared == DeclaredLock::Deny
            && self.open.is_empty()
            && !self.told.is_empty()
    }
}

/// State of a lock or of an item of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LockState {
    /// This host has nothing that it would shut.
    NotApplicable,
    /// Looked at, and shut.
    Enforced,
    /// It could not be looked at. That never counts as shut.
    Unknown,
    /// Looked at, and open.
    NotEnforced,
    /// A grant opens it, whether something was found open or not.
    Granted,
}

impl LockState {
    /// Returns whether nothing is open: shut, or not there.
    pub const fn is_shut(self) -> bool {
        matches!(self, Self::Enforced | Self::NotApplicable)
    }

    /// As reports spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotApplicable => "not-applicable",
            Self::Enforced => "enforced",
            Self::Unknown => "unknown",
            Self::NotEnforced => "not-enforced",
            Self::Granted => "granted",
        }
    }

    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::NotApplicable => "not applicable",
            Self::Enforced => "enforced",
            Self::Unknown => "UNKNOWN",
            Self::NotEnforced => "NOT ENFORCED",
            Self::Granted => "OPEN BY A GRANT",
        }
    }
}

/// Declared state of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeclaredLock {
    /// It is to be shut.
    Deny,
    /// It is left open.
    Allow,
}

impl DeclaredLock {
    /// As a declaration spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Allow => "allow",
        }
    }
}

/// Standing of a host in its channel, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelState {
    /// It runs what it should.
    Current,
    /// Other releases are newer.
    Behind,
    /// No host should run what it runs.
    Revoked,
    /// The channel does not know what it runs.
    Unlisted,
    /// The document that is followed has expired, and no other came.
    Expired,
    /// Nothing is known, or nothing came for long.
    Unreachable,
}

impl ChannelState {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Current,
        Self::Behind,
        Self::Revoked,
        Self::Unlisted,
        Self::Expired,
        Self::Unreachable,
    ];

    /// As reports spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Behind => "behind",
            Self::Revoked => "revoked",
            Self::Unlisted => "unlisted",
            Self::Expired => "expired",
            Self::Unreachable => "unreachable",
        }
    }
}

/// Standing of this host in its channel, as status and reports show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelStatus {
    /// Most severe applicable state. Precedence: revoked, expired, unreachable, then the place in the channel.
    pub state: ChannelState,
    /// By how many releases, if it is behind, whatever `state` says.
    pub behind: Option<usize>,
    /// Since when, in seconds since 1970.
    pub since: Option<u64>,
    /// Reason of the revocation, if it is revoked.
    pub reason: Option<String>,
    /// The version that hosts should run.
    pub latest: Option<String>,
    /// The counter of the document that is followed.
    pub counter: Option<u64>,
    /// Until when that is news.
    pub expires: Option<u64>,
    /// Time at which it was last found where it is published, in seconds since 1970.
    pub fetched: Option<u64>,
    /// Problem of the last look: a document that is not believed or issued in the future, or a reaction that failed.
    pub problem: Option<String>,
    /// Reaction of this host to its standing, if the image declares one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<PendingReaction>,
}

/// Reaction that is to be done, or was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PendingReaction {
    /// State that it reacts to.
    pub state: ChannelState,
    /// As the declaration has it, such as `start drain.service`.
    pub action: String,
    /// Time from which it is due, in seconds since 1970.
    pub at: u64,
    /// Time at which it was done, in seconds since 1970.
    pub done: Option<u64>,
}

/// Something that taints an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taint {
    /// `grant`: locks were opened; or `unknown`: what taints it cannot be read.
    pub kind: String,
    /// Of the grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Locks that were opened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<String>,
    /// Time at which the grant was taken, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Until when it holds, or when it was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Reason that the grant's signer gave; or the error, if the record cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// State of a sink in this boot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkStatus {
    /// Reports that it took.
    pub sent: u64,
    /// Times that it did not.
    pub failed: u64,
    /// Reports that it will never get.
    pub dropped: u64,
    /// Times in a row.
    pub in_a_row: u32,
    /// Time of the next attempt, in seconds since the boot.
    pub next: u64,
    /// Time at which it last took a report, in seconds since 1970.
    pub last: Option<u64>,
    /// Size of the reports that wait for it, in bytes.
    pub spooled: u64,
    /// Cause of the last failure; none after a success.
    pub problem: Option<String>,
}
