//! Record that the initrd of this boot leaves of its verification, and that the running agent takes over.
//!
//! It lies in `/run`, written before the switch to the root. Protects against whoever wrote to the root before this
//! boot: nothing of that root had run when the record was made. Does not protect against who is root in the running
//! system and writes a record of his own (a tier is its host's word), nor against another initrd in `/boot`.

use earmark_manifest::{
    declaration::Gate, digest::ManifestDigest, escape, path::ImagePath, report::Verdict,
};
use rustix::fs::{AtFlags, StatxFlags};
use serde::{Deserialize, Serialize};

use crate::{
    Doubt, Report, Root, ScanError, Violation, ViolationKind, kernel, mounted, report::Finding,
    verify::Counts,
};

/// Directory of the record. It is moved to the root with the rest of `/run`.
pub const DIRECTORY: &str = "/run/earmark-initrd";
/// The record.
pub const RECORD: &str = "/run/earmark-initrd/record.json";
/// A report with a hundred violations and doubts, each with two paths of the longest.
const BOUND: usize = 4 * 1024 * 1024;

/// Record of a verification by the initrd of this boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// 1.
    pub schema: u64,
    /// File systems besides the root's that were mounted while the root was verified.
    pub mounts: Vec<Mounted>,
    /// Verdict, with what it covers. Its boot id is that of the kernel which runs on.
    pub report: Report,
}

/// A file system that was mounted while the root was verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mounted {
    /// Mount point, escaped.
    pub path: String,
    /// Number of the file system's device, as `/proc/self/mountinfo` has it: `259:2`.
    pub device: String,
}

/// Scope and findings of the verification by the initrd of this boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covered {
    /// Manifest of the root that was judged.
    pub manifest: ManifestDigest,
    /// Gate that was covered.
    pub gate: Gate,
    /// Verdict.
    pub verdict: Verdict,
    /// The verification in numbers.
    pub counts: Counts,
    /// Violations that the record lists.
    pub violations: Vec<Violation>,
    /// Doubts that the record lists.
    pub doubts: Vec<Doubt>,
    /// Mount points besides the root, and the devices of their file systems.
    pub mounts: Vec<(ImagePath, String)>,
    /// Version of the program that judged.
    pub program: String,
}

impl Record {
    /// Makes the record of a report.
    pub fn new(report: Report, mounts: Vec<Mounted>) -> Self {
        Self {
            schema: 1,
            mounts,
            report,
        }
    }
}

/// Reads what the initrd of this boot covered; `None` if no initrd of this boot left a record.
///
/// # Errors
///
/// A doubt, if there is a record that root did not write, that is of another boot or that cannot be read.
pub fn covered(root: &Root) -> Result<Option<Covered>, Doubt> {
    let path = place(RECORD);
    let doubt = |cause: String| Doubt::new(&path, "use the record of the initrd", cause);
    let read = read(root, &path).map_err(|error| doubt(error.cause.to_string()))?;
    let Some(bytes) = read else {
        return Ok(None);
    };
    let record: Record =
        serde_json::from_slice(&bytes).map_err(|error| doubt(error.to_string()))?;
    if record.schema != 1 {
        return Err(doubt(format!(
            "unknown format {}: this version reads 1; next: build the initrd with the agent of this image",
            record.schema
        )));
    }
    let boot = kernel::boot_id();
    if boot.is_none() || record.report.boot_id != boot {
        return Err(doubt("it is of another boot".to_owned()));
    }
    Covered::of(&record)
        .map(Some)
        .ok_or_else(|| doubt("it names no manifest, or has a finding that is not one".to_owned()))
}

/// Reads the record, if root alone can have written it.
fn read(root: &Root, path: &ImagePath) -> Result<Option<Vec<u8>>, ScanError> {
    let error = |cause: std::io::Error| ScanError {
        what: "read",
        place: path.to_string(),
        cause,
    };
    let Some(bytes) = root.read_opt(path, BOUND)? else {
        return Ok(None);
    };
    for at in [DIRECTORY, RECORD] {
        let name = at.trim_start_matches('/');
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let found = rustix::fs::statx(root.as_fd(), name, flags, StatxFlags::BASIC_STATS)
            .map_err(|errno| error(errno.into()))?;
        if found.stx_uid != 0 || found.stx_mode & 0o022 != 0 {
            let cause = format!("others than root may write '{at}'");
            return Err(error(std::io::Error::other(cause)));
        }
    }
    Ok(Some(bytes))
}

impl Covered {
    fn of(record: &Record) -> Option<Self> {
        let report = &record.report;
        let violation = |finding: &Finding| {
            Some(Violation {
                path: path(&finding.path)?,
                kind: ViolationKind::from_name(&finding.kind)?,
                expected: finding.expected.clone(),
                found: finding.found.clone(),
            })
        };
        let doubt = |finding: &Finding| {
            Some(Doubt {
                path: path(&finding.path)?,
                problem: finding.found.clone(),
            })
        };
        let mounts = record.mounts.iter();
        Some(Self {
            manifest: ManifestDigest::from_prefixed(report.manifest.as_deref()?).ok()?,
            gate: report.gate.as_deref()?.parse().ok()?,
            verdict: report.verdict,
            counts: report.counts,
            violations: report
                .violations
                .iter()
                .map(violation)
                .collect::<Option<_>>()?,
            doubts: report.undecided.iter().map(doubt).collect::<Option<_>>()?,
            mounts: mounts
                .map(|mount| Some((path(&mount.path)?, mount.device.clone())))
                .collect::<Option<_>>()?,
            program: report.agent.clone(),
        })
    }

    /// Returns why what was covered cannot be taken over: a file system that was judged is not where it was.
    pub fn moved(&self, root: &Root) -> Option<String> {
        if self.mounts.is_empty() {
            return None;
        }
        match mounted::table(root) {
            Ok(table) => mounted::moved(&self.mounts, &table),
            Err(doubt) => Some(doubt.to_string()),
        }
    }
}

/// Reads a path as reports spell it: absolute and escaped.
fn path(text: &str) -> Option<ImagePath> {
    let bytes = escape::decode(text.as_bytes()).ok()?;
    // The root itself is spelled "/".
    match &*bytes {
        b"/" => Some(ImagePath::root()),
        bytes => ImagePath::from_absolute(bytes).ok(),
    }
}

fn place(path: &str) -> ImagePath {
    ImagePath::from_absolute(path.as_bytes()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
