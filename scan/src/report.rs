//! A verification, told: one structure for machines (`--json`, `status.json`) and for people.

use std::fmt;

use earmark_manifest::{report::Tier, statement::AgentVersion, verify::VerifiedDeclaration};
use serde::{Deserialize, Serialize};

use crate::{
    Violation,
    verify::{Counts, Stop, Verdict, Verification},
};

/// Report of a verification. Schema 1; fields are only ever added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// 1.
    pub schema: u64,
    /// The version of the program that verified.
    pub agent: String,
    /// Identity of the image, if its seal was believed.
    pub image: Option<Image>,
    /// The manifest's digest, likewise.
    pub manifest: Option<String>,
    /// The trusted keys that signed, likewise.
    pub signers: Vec<String>,
    /// Tier of assurance: earned by what happened in this boot, never declared.
    pub tier: Tier,
    /// Gate that was covered.
    pub gate: Option<String>,
    /// Verdict of the verification.
    pub verdict: Verdict,
    /// Reason why the verdict is not better, in a line.
    pub reason: Option<String>,
    /// In numbers.
    pub counts: Counts,
    /// The first violations, in the order of their paths.
    pub violations: Vec<Finding>,
    /// The first doubts, in the order of their paths.
    pub undecided: Vec<Finding>,
    /// Reaction that the image declares for a host that does not verify.
    pub on_failure: Option<String>,
    /// Policy of a host that does not verify; it is there, too, if no declaration can
    /// be believed; the agent's alone.
    pub policy: Option<String>,
    /// The boot that it was made in (`/proc/sys/kernel/random/boot_id`); the agent's alone.
    pub boot_id: Option<String>,
    /// Time of the verification, in seconds since 1970, if the clock can be believed; the agent's alone.
    pub time: Option<u64>,
}

/// Identity of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its security epoch.
    pub epoch: u64,
    /// Its architecture.
    pub architecture: String,
}

/// A violation or a doubt, as text that is safe to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Path that it is about.
    pub path: String,
    /// The kind of violation, or `undecided`.
    pub kind: String,
    /// Signed value, or nothing for a doubt.
    pub expected: String,
    /// Value that was found, or what went wrong.
    pub found: String,
}

/// Violations and doubts that are listed; the counts tell of the rest.
const LISTED: usize = 100;
/// Violations and doubts that people are shown.
const SHOWN: usize = 20;

impl Report {
    /// Of a verification that could not even be made, and why.
    pub fn undecided(problem: String) -> Self {
        Self::of(&Verification {
            manifest: None,
            gate: None,
            stop: Some(Stop::Unreadable(problem)),
            violations: Vec::new(),
            doubts: Vec::new(),
            dropped: (0, 0),
            counts: Counts::default(),
            by_initrd: false,
        })
    }

    pub(crate) fn of(verification: &Verification) -> Self {
        let manifest = verification.manifest();
        let statement = manifest.map(VerifiedDeclaration::statement);
        let violations = verification
            .violations
            .iter()
            .take(LISTED)
            .map(|violation| Finding {
                path: violation.path.to_string(),
                kind: violation.kind.name().to_owned(),
                expected: violation.expected.clone(),
                found: violation.found.clone(),
            });
        let undecided = verification
            .doubts
            .iter()
            .take(LISTED)
            .map(|doubt| Finding {
                path: doubt.path.to_string(),
                kind: "undecided".to_owned(),
                expected: String::new(),
                found: doubt.problem.clone(),
            });
        Self {
            schema: 1,
            agent: AgentVersion::of_this_program()
                .map(|version| version.to_string())
                .unwrap_or_default(),
            image: statement.map(|statement| Image {
                name: statement.image.name.to_string(),
                version: statement.image.version.to_string(),
                epoch: statement.image.epoch,
                architecture: statement.image.architecture.to_string(),
            }),
            manifest: manifest.map(|manifest| manifest.digest().to_string()),
            signers: manifest.map_or_else(Vec::new, |manifest| {
                manifest.signers().iter().map(ToString::to_string).collect()
            }),
            tier: verification.tier(),
            gate: verification.gate.map(|gate| gate.name().to_owned()),
            verdict: verification.verdict(),
            reason: reason(verification),
            counts: verification.counts,
            violations: violations.collect(),
            undecided: undecided.collect(),
            on_failure: manifest
                .map(|manifest| manifest.declaration().verify.on_failure.name().to_owned()),
            policy: None,
            boot_id: None,
            time: None,
        }
    }
}

impl Report {
    /// Adds a violation that no verification found, such as one that the kernel tells of while the host runs. A
    /// second time it changes nothing.
    pub fn add(&mut self, violation: &Violation) {
        let finding = Finding {
            path: violation.path.to_string(),
            kind: violation.kind.name().to_owned(),
            expected: violation.expected.clone(),
            found: violation.found.clone(),
        };
        if self.violations.contains(&finding) {
            return;
        }
        if self.verdict != Verdict::Violated {
            self.verdict = Verdict::Violated;
            self.reason = Some(violation.to_string());
        }
        self.counts.violations = self.counts.violations.saturating_add(1);
        if self.violations.len() < LISTED {
            self.violations.push(finding);
        }
    }
}

/// The gravest thing first, in one line that a console can show.
fn reason(verification: &Verification) -> Option<String> {
    let counts = verification.counts;
    let more = |count: u64| match count {
        0 | 1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    match &verification.stop {
        Some(Stop::Refused(refusal)) => {
            return Some(format!("the seal is not believed: {refusal}"));
        }
        Some(Stop::Tree(problem)) => {
            return Some(format!("the signed tree cannot be used: {problem}"));
        }
        Some(Stop::Unreadable(problem)) => return Some(problem.clone()),
        None => {}
    }
    if let Some(first) = verification.violations.first() {
        return Some(format!("{first}{}", more(counts.violations)));
    }
    verification
        .doubts
        .first()
        .map(|first| format!("{first}{}", more(counts.undecided)))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.image {
            Some(image) => writeln!(
                f,
                "{} {} (epoch {}, {})",
                image.name, image.version, image.epoch, image.architecture
            )?,
            None => writeln!(f, "unknown image")?,
        }
        writeln!(f, "  verdict    {}", self.verdict.name().to_uppercase())?;
        if let Some(reason) = &self.reason {
            writeln!(f, "  reason     {reason}")?;
        }
        writeln!(f, "  covered    {}", self.covered())?;
        if let Some(manifest) = &self.manifest {
            writeln!(f, "  manifest   {manifest}")?;
        }
        for signer in &self.signers {
            writeln!(f, "  signed by  {signer}")?;
        }
        writeln!(f, "  tier       {} ({})", self.tier, self.tier.meaning())?;
        list(f, "violations", &self.violations, self.counts.violations)?;
        list(f, "undecided", &self.undecided, self.counts.undecided)
    }
}

impl Report {
    /// Returns the scope that was covered, in a line for people.
    pub fn covered(&self) -> String {
        let Counts {
            entries,
            files_read,
            bytes_read,
            files_unread,
            files_enforced,
            files_unenforced,
            files_on_host_word,
            milliseconds,
            ..
        } = self.counts;
        let seconds = format!("{}.{:03} s", milliseconds / 1000, milliseconds % 1000);
        match self.gate.as_deref() {
            None => "nothing".to_owned(),
            Some("signature") => format!("the signature alone, in {seconds} (gate signature)"),
            Some(gate) => {
                let unread = match files_unread {
                    0 => String::new(),
                    unread => format!("; content of {unread} files not read"),
                };
                let enforced = match files_enforced {
                    0 => String::new(),
                    files => format!("; {files} files enforced by the kernel (fs-verity)"),
                };
                let unenforced = match files_unenforced {
                    0 => String::new(),
                    1 => "; 1 file lacks the fs-verity that the image declares".to_owned(),
                    files => format!("; {files} files lack the fs-verity that the image declares"),
                };
                let own_word = match files_on_host_word {
                    0 => String::new(),
                    1 => "; 1 file stands on the host's own word".to_owned(),
                    files => format!("; {files} files stand on the host's own word"),
                };
                let mebibytes = bytes_read / (1024 * 1024);
                format!(
                    "{entries} entries, content of {files_read} files ({mebibytes} MiB){enforced}{unenforced}{unread}{own_word}, in {seconds} (gate {gate})"
                )
            }
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, title: &str, findings: &[Finding], count: u64) -> fmt::Result {
    if findings.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{title}: {count}")?;
    for finding in findings.iter().take(SHOWN) {
        match finding.expected.as_str() {
            "" => writeln!(f, "  {}\n    {}", finding.path, finding.found)?,
            expected => writeln!(
                f,
                "  {}  [{}]\n    expected {expected}\n    found    {}",
                finding.path, finding.kind, finding.found
            )?,
        }
    }
    let shown = u64::try_from(findings.len().min(SHOWN)).unwrap_or(u64::MAX);
    match count.saturating_sub(shown) {
        0 => Ok(()),
        more => writeln!(f, "  … and {more} more"),
    }
}
