//! A grant, as it is shown: what it opens, where, and till when.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use earmark_manifest::{
    envelope::{Envelope, KeyId},
    escape::Escaped,
    grant::{Grant, verify_grant},
    limits,
    trust::Trust,
};
use serde::Serialize;

use crate::{
    io::output::{self, quote},
    keys,
};

/// A grant in words.
#[derive(Debug, Serialize)]
pub struct Shown {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    id: String,
    instance: String,
    image: String,
    manifest: Option<String>,
    locks: Vec<&'static str>,
    issued: u64,
    expires: u64,
    reason: Option<String>,
    signatures: Signatures,
}

/// State of the signatures, as far as they were checked.
#[derive(Debug, Serialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum Signatures {
    /// These keys signed just now.
    Made { keys: Vec<String> },
    /// There is nothing to check them with; these are the keys that they claim.
    Unverified { claimed: Vec<String> },
    /// The trust file believes these.
    Trusted { keys: Vec<String>, trust: String },
    /// The trust file does not believe it.
    Refused { reason: String, trust: String },
}

impl Signatures {
    /// By a trust file and its name, if there is one.
    fn of(envelope: &Envelope, trust: Option<&(Trust, String)>) -> Self {
        let Some((trust, name)) = trust else {
            let claimed = keys::claimed_ids(envelope);
            return Self::Unverified { claimed };
        };
        let trust_name = name.clone();
        match verify_grant(&envelope.to_json(), trust) {
            Ok(verified) => Self::Trusted {
                keys: verified.signers().iter().map(KeyId::to_string).collect(),
                trust: trust_name,
            },
            Err(refusal) => Self::Refused {
                reason: refusal.to_string(),
                trust: trust_name,
            },
        }
    }
}

impl Shown {
    /// This grant, in this file if it was written to one.
    pub fn of(grant: &Grant, signatures: Signatures, file: Option<PathBuf>) -> Self {
        Self {
            kind: "grant",
            file,
            id: grant.id.to_string(),
            instance: grant.instance.to_string(),
            image: grant.image.to_string(),
            manifest: grant.manifest.map(|manifest| manifest.to_string()),
            locks: grant.locks.iter().map(|lock| lock.name()).collect(),
            issued: grant.time.issued(),
            expires: grant.time.expires(),
            reason: grant.reason.as_ref().map(ToString::to_string),
            signatures,
        }
    }

    /// The grant in a file, if one is in it.
    pub fn read(path: &Path, trust: Option<&(Trust, String)>) -> Option<Self> {
        let bytes = read_small(path)?;
        let envelope = Envelope::parse(&bytes).ok()?;
        let grant = Grant::parse(envelope.unverified_payload()).ok()?;
        Some(Self::of(&grant, Signatures::of(&envelope, trust), None))
    }
}

/// A regular file that is no longer than an envelope: what is no grant is for others to read.
fn read_small(path: &Path) -> Option<Vec<u8>> {
    let metadata = std::fs::metadata(path).ok()?;
    let is_small = metadata.len() <= u64::try_from(limits::ENVELOPE).unwrap_or(u64::MAX);
    if metadata.is_file() && is_small {
        std::fs::read(path).ok()
    } else {
        None
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "grant of {}", self.locks.join(", "))?;
        writeln!(f, "  on         {}, image {}", self.instance, self.image)?;
        if let Some(manifest) = &self.manifest {
            writeln!(f, "  version    only {manifest}")?;
        }
        writeln!(f, "  from       {}", output::utc(self.issued))?;
        writeln!(f, "  until      {}", output::utc(self.expires))?;
        if let Some(reason) = &self.reason {
            writeln!(f, "  reason     {}", output::plain(reason))?;
        }
        writeln!(f, "  id         {}", self.id)?;
        match &self.signatures {
            Signatures::Made { keys } => {
                for key in keys {
                    writeln!(f, "  signed by  {}", Escaped(key.as_bytes()))?;
                }
            }
            Signatures::Unverified { claimed } => {
                writeln!(f, "  signed     UNVERIFIED: no trust file was given")?;
                for key in claimed {
                    writeln!(f, "             claims key {key}")?;
                }
            }
            Signatures::Trusted { keys, trust } => {
                for key in keys {
                    writeln!(f, "  signed by  {key}")?;
                }
                writeln!(f, "             which {trust} believes")?;
            }
            Signatures::Refused { reason, trust } => {
                writeln!(f, "  signed     NOT BELIEVED by {trust}: {reason}")?;
            }
        }
        if let Some(file) = &self.file {
            writeln!(f, "  in         {}", quote(file))?;
            let to = "/run/earmark/grants/ of that host";
            writeln!(f, "  next       put it into {to}: see docs/lockdown.md")?;
        }
        Ok(())
    }
}
