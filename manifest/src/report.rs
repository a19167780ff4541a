//! Report of a host about itself: one line of JSON, which others can query as it is.
//!
//! A report is its host's word. Only the identity document in it, which EC2 signed, attests the instance that it
//! names, and only to a reader who checks the signature. Does not protect against an attacker who is root on a
//! host and lies in its name, nor against one who has seen its identity document.
//!
//! Unknown fields pass, so that a reader of reports need not be as new as all of the hosts.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    grant::InstanceName,
    limits,
    name::{ImageName, ImageVersion},
};

/// A report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// 1.
    pub schema: u64,
    /// Time of the report, in seconds since 1970.
    pub time: u64,
    /// Instance that made the report; absent if it cannot tell.
    pub instance: Option<InstanceName>,
    /// The boot that it is of (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: BootId,
    /// Start of that boot, in seconds since 1970.
    pub booted: Option<u64>,
    /// The version of the agent.
    pub agent: String,
    /// The image, if its seal was believed.
    pub image: Option<Image>,
    /// The digest of the manifest, likewise.
    pub manifest: Option<String>,
    /// Tier of assurance, by the host's own word.
    pub tier: Tier,
    /// Verdict of the last verification.
    pub verdict: Verdict,
    /// Gate that the last verification covered: `signature`, `critical` or `full`.
    pub gate: Option<String>,
    /// Reason why the verdict is not better, in a line.
    pub reason: Option<String>,
    /// Time of the last verification, in seconds since 1970.
    pub verified_at: Option<u64>,
    /// Number of violations found.
    pub violations: u64,
    /// Number of doubts: findings that could not be decided.
    pub undecided: u64,
    /// Policy of this host if it does not verify.
    pub policy: Option<String>,
    /// State of first boot, such as `done` or `failed`, if the image declares steps.
    pub first_boot: Option<String>,
    /// The instance whose disk this one began with.
    pub cloned_from: Option<String>,
    /// Each lock that the image denies, and how it is.
    pub locks: BTreeMap<String, String>,
    /// Names of locks among these that are open or unknown only by what takes no root: no policy of the image follows.
    /// None in the reports of older agents.
    #[serde(default)]
    pub locks_told: BTreeSet<String>,
    /// Taints: changes to this instance that its image does not declare; the last ones.
    pub taints: Vec<Taint>,
    /// Number of further taints, which are not listed.
    pub taints_more: u64,
    /// State of the host in its channel, by its own word, if it follows one.
    pub channel: Option<ChannelState>,
    /// Reports of this boot that were dropped, since no place took them for too long.
    pub dropped: u64,
    /// EC2's word for which instance this is.
    pub ec2: Option<Ec2>,
}

/// The id of a boot: 36 hex digits and dashes, as the kernel writes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct BootId(String);

/// Identity of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its name.
    pub name: ImageName,
    /// Its version.
    pub version: ImageVersion,
    /// Its security epoch.
    pub epoch: u64,
    /// Its architecture.
    pub architecture: String,
}

/// Verdict of a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All of the host is the image that was signed.
    Verified,
    /// All that the gate covers is as signed; content beyond it was not read.
    Partial,
    /// Something is not as signed.
    Violated,
    /// It could not be decided.
    Undecided,
}

/// Tier of assurance: what a verdict is anchored in.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub enum Tier {
    /// The initrd of this boot judged the root with its own trust file, before any program of the root ran.
    T1,
    /// A program on the root disk checked that disk.
    // A tier that this version does not know says no more to it than the lowest one.
    #[default]
    #[serde(other)]
    T0,
}

impl Tier {
    /// Returns the name, as reports spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::T0 => "T0",
            Self::T1 => "T1",
        }
    }

    /// Returns what the verdict is anchored in, for people.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::T0 => "checked from the root disk by a program on that disk",
            Self::T1 => "judged by the initrd of this boot, before any program of the root ran",
        }
    }
}

impl std::fmt::Display for Tier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// Something that taints an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taint {
    /// `grant` or `unknown`.
    pub kind: String,
    /// Of the grant.
    pub id: Option<String>,
    /// Locks that were opened.
    pub locks: Vec<String>,
    /// From when on, in seconds since 1970.
    pub from: Option<u64>,
    /// Until when.
    pub until: Option<u64>,
}

/// State of a host in its channel, by its own word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelState {
    /// `current`, `behind`, `revoked`, `unlisted`, `expired` or `unreachable`.
    pub state: String,
    /// By how many releases it is behind.
    pub behind: Option<u64>,
    /// Since when.
    pub since: Option<u64>,
    /// Reason why no host should run the release, if it is revoked.
    pub reason: Option<String>,
    /// The version that hosts should run.
    pub latest: Option<String>,
    /// Of the document that it follows.
    pub counter: Option<u64>,
    /// Until when that is news.
    pub expires: Option<u64>,
    /// Time at which the document was last found where it is published, in seconds since 1970.
    pub fetched: Option<u64>,
    /// Reason why the document found last is not believed, or could not be fetched.
    pub problem: Option<String>,
}

/// The instance identity document, and what it says, for those who cannot read it in a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ec2 {
    /// Its region, as the document has it.
    pub region: Option<String>,
    /// The account, likewise.
    pub account: Option<String>,
    /// The AMI, likewise.
    pub ami: Option<String>,
    /// The document, byte for byte.
    pub document: String,
    /// EC2's signature: PKCS#7 with RSA-2048, in base64 of one line.
    pub signature: Option<String>,
}

/// Bytes that are no report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// Over [`limits::REPORT`].
    #[error("the report is larger than the limit of {} bytes", limits::REPORT)]
    Long,
    /// It cannot be read as one.
    #[error("{0}")]
    Json(String),
    /// Of a version that this program does not read.
    #[error("unknown schema {0}: this version reads schema 1")]
    Schema(u64),
}

impl Report {
    /// Parses a report, with or without the newline that ends it.
    ///
    /// # Errors
    ///
    /// [`ReportError`] beyond [`limits::REPORT`] bytes, for another schema than 1, and for JSON that is no report.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReportError> {
        // Before the parser: any host, and whoever can write to a sink, chooses the size.
        if bytes.len() > limits::REPORT {
            return Err(ReportError::Long);
        }
        let json = |error: serde_json::Error| ReportError::Json(error.to_string());
        // Not by `json`, which refuses unknown fields. The error quotes input as it is, such as a verdict that is
        // none: who shows it has to escape it.
        let report: Self = serde_json::from_slice(bytes).map_err(json)?;
        // An array of its fields is an object to the parser, and to no other reader of reports.
        let given = serde_json::from_slice(bytes).map_err(json)?;
        if !has_shape_of(&given, &serde_json::to_value(&report).map_err(json)?) {
            return Err(ReportError::Json(
                "expected an object, found an array".to_owned(),
            ));
        }
        match report.schema {
            1 => Ok(report),
            other => Err(ReportError::Schema(other)),
        }
    }

    /// The line, with its newline. What is too long for it is cut: the texts that only explain, the older
    /// taints, and at last the identity document, without which the report still says how the host is.
    ///
    /// # Errors
    ///
    /// [`ReportError::Long`] if the line has more than [`limits::REPORT`] bytes after all that.
    pub fn to_line(mut self) -> Result<Vec<u8>, ReportError> {
        let explained = self.channel.as_mut();
        let explained = explained.map(|channel| [&mut channel.reason, &mut channel.problem]);
        let explained = explained.into_iter().flatten();
        for text in explained.chain([&mut self.reason]).flatten() {
            cut(text, TEXT);
        }
        // Twice: without the taints the identity document is likely to fit.
        for most in [MOST_TAINTS, 0] {
            let excess = self.taints.len().saturating_sub(most);
            self.taints.drain(..excess);
            let excess = u64::try_from(excess).unwrap_or(u64::MAX);
            self.taints_more = self.taints_more.saturating_add(excess);
            if let Some(line) = self.line()? {
                return Ok(line);
            }
        }
        self.ec2 = None;
        self.line()?.ok_or(ReportError::Long)
    }

    fn line(&self) -> Result<Option<Vec<u8>>, ReportError> {
        let line = serde_json::to_vec(self);
        let mut line = line.map_err(|error| ReportError::Json(error.to_string()))?;
        line.push(b'\n');
        Ok((line.len() <= limits::REPORT).then_some(line))
    }

    /// Returns the file name of the report at a sink: a host replaces its own report as long as it is up, and no
    /// other host's that claims to be the same instance.
    pub fn name(&self) -> String {
        let instance = self.instance.as_ref();
        let instance = instance.map_or("unknown", InstanceName::as_str);
        // Neither part can hold a slash or a dot: both are parsed types, whoever sent the report.
        format!("{instance}.{}.json", self.boot_id.0)
    }
}

/// The bytes that a text which only explains may have.
const TEXT: usize = 300;
/// A host that was opened more often than this is one to look at, not one to list.
const MOST_TAINTS: usize = 4;

/// Tells whether each object of `parsed` is one in `given`, too, whose further fields are ignored.
fn has_shape_of(given: &Value, parsed: &Value) -> bool {
    match (given, parsed) {
        (Value::Object(given), Value::Object(parsed)) => parsed.iter().all(|(name, parsed)| {
            // A field that is not given has its default, which is no object of another's.
            let given = given.get(name);
            given.is_none_or(|given| has_shape_of(given, parsed))
        }),
        (Value::Array(given), Value::Array(parsed)) => {
            let pairs = given.iter().zip(parsed);
            { pairs }.all(|(given, parsed)| has_shape_of(given, parsed))
        }
        (_, Value::Object(_)) => false,
        _ => true,
    }
}

fn cut(text: &mut String, most: usize) {
    if text.len() <= most {
        return;
    }
    // `truncate` panics inside a character, and these texts have paths and words of others in them.
    let end = (0..=most).rev().find(|end| text.is_char_boundary(*end));
    text.truncate(end.unwrap_or_default());
    text.push('…');
}

impl BootId {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for BootId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        // Part of a file name at sinks, from hosts that may lie: no dots and no slashes.
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
        if text.len() == 36 && text.bytes().all(digit) {
            Ok(Self(text))
        } else {
            Err("expected the id of a boot, 36 hex digits and dashes")
        }
    }
}

impl Verdict {
    /// As reports spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Partial => "partial",
            Self::Violated => "violated",
            Self::Undecided => "undecided",
        }
    }
}

#[cfg(test)]
mod tests;
