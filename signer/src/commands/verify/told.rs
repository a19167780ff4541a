//! A verification as CI is told of it: the agent's report, whose keys were believed, and what was not read.

use std::{fmt, path::PathBuf};

use anyhow::Context;
use earmark_manifest::declaration::Gate;
use earmark_scan::{Report, verify::Verdict};
use serde::Serialize;

use crate::{
    exit::Outcome,
    image::account::Account,
    io::output::{count, quote},
};

/// The source of the keys that were believed.
#[derive(Debug, Serialize)]
#[serde(tag = "source", rename_all = "lowercase")]
pub enum Believed {
    /// The trust file that the caller named.
    File {
        /// As it was named.
        path: PathBuf,
    },
    /// The trust file of the root that was verified.
    Own,
}

/// The agent's own document, with its own schema number, and the fields `trust` and `warnings`; of a disk also
/// `disk`, the account of its bytes.
#[derive(Debug, Serialize)]
pub struct Told {
    #[serde(flatten)]
    report: Report,
    trust: Believed,
    /// Reasons why the verdict says less than it seems to, for people.
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk: Option<Account>,
}

const OWN_TRUST: &str = "the root was believed on its own trust file: anybody could have resealed it \
                         with a key of theirs; --trust FILE names the keys to believe";

impl Told {
    /// Of a report that was made with these keys. The verdict on a disk is not better than what is known of all
    /// its bytes.
    pub fn new(mut report: Report, trust: Believed, disk: Option<Account>) -> Self {
        let mut warnings = Vec::new();
        if matches!(trust, Believed::Own) {
            warnings.push(OWN_TRUST.to_owned());
        }
        warnings.extend(unread(&report).map(|unread| format!("PARTIAL: {unread}")));
        if let Some(disk) = &disk {
            let verdict = disk.verdict(report.verdict);
            if verdict != report.verdict || report.reason.is_none() {
                report.reason = disk.reason().or(report.reason.take());
            }
            report.verdict = verdict;
        }
        Self {
            report,
            trust,
            warnings,
            disk,
        }
    }

    /// The verdict on all that was verified.
    pub fn verdict(&self) -> Verdict {
        self.report.verdict
    }

    /// Tells whether a range of the disk was neither verified, expected, empty nor ignored.
    pub fn is_open(&self) -> bool {
        self.disk.as_ref().is_some_and(|disk| !disk.complete)
    }

    /// Each is said on standard error, too: a log of CI often has nothing else.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// As a program reads it.
    pub fn json(&self) -> Outcome<Vec<u8>> {
        let mut bytes =
            serde_json::to_vec_pretty(self).context("failed to write the report as JSON")?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

/// Names the part that a lesser gate left unread; none, if everything was read.
fn unread(report: &Report) -> Option<String> {
    // A full verification is partial for the rest of its disk alone, which the account lists.
    if report.verdict != Verdict::Partial || report.gate.as_deref() == Some(Gate::Full.name()) {
        return None;
    }
    let what = match report.counts.files_unread {
        0 => "the name and the content of every file".to_owned(),
        files => format!(
            "the content of {}",
            count(files, "sealed file", "sealed files")
        ),
    };
    let gate = report.gate.as_deref().unwrap_or("?");
    Some(format!(
        "{what} was not looked at (gate {gate}); --gate full reads everything"
    ))
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (own, believed) = match &self.trust {
            Believed::Own => (true, "the root's own trust file".to_owned()),
            Believed::File { path } => (false, quote(path)),
        };
        for line in self.report.to_string().split_inclusive('\n') {
            f.write_str(line)?;
            // Beside the verdict, which is what is read first.
            if line.starts_with("  verdict ") {
                writeln!(f, "  trust      {believed}")?;
                if own {
                    writeln!(
                        f,
                        "             ANYBODY could have resealed it: give --trust FILE"
                    )?;
                }
                if let Some(unread) = unread(&self.report) {
                    writeln!(f, "  not read   {unread}")?;
                }
            }
        }
        match &self.disk {
            Some(disk) => disk.fmt(f),
            None => Ok(()),
        }
    }
}
