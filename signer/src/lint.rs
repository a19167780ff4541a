//! Lint: bake hygiene. What makes an image a pet, leaks a secret or makes a declaration weak, found without any
//! cryptography before an image is measured.
//!
//! ```text
//! survey (the scan's walk) -> keys (as content is read) -> rules (table) -> waive -> report -> text, JSON, SARIF
//!                                                                                      └─ fix, and all again
//! ```

mod finding;
mod fix;
mod image;
mod keys;
mod packaged;
mod rules;
mod sarif;
mod table;
mod waive;

use std::{collections::BTreeMap, fmt};

use anyhow::Context;
use earmark_manifest::{class::RuleSet, declaration::Declaration};
use earmark_scan::{
    Root,
    measure::Plan,
    survey::{Reach, Survey},
};
use serde::{Serialize, Serializer, ser::SerializeSeq};
use serde_json::json;

use finding::Finding;
pub use finding::Level;
pub use fix::Done;
use image::Image;
pub use keys::Keys;
pub use sarif::document as sarif;
pub use table::Listing;
use waive::Waived;
pub use waive::Waivers;

use crate::{
    exit::{Exit, Exits, Failure, Outcome},
    io::{output, progress::Bar},
};

/// Result of lint for a root.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    errors: usize,
    warnings: usize,
    /// Names in the root that were looked at.
    looked_at: usize,
    #[serde(serialize_with = "findings")]
    findings: Vec<Finding>,
    #[serde(serialize_with = "waived")]
    waived: Vec<Waived>,
    /// Notes beside the findings: waivers of nothing.
    notes: Vec<String>,
    /// Notes about what could not be looked at, so that nothing is said of it.
    unknown: Vec<String>,
    /// Repairs that `--fix` made, or left, before this was found.
    fixed: Vec<Done>,
}

/// A declaration, and the bytes that it was read from.
pub type Declared<'a> = Option<(&'a Declaration, &'a [u8])>;

/// Rules that `seal` and `measure` do not ask: what the one puts into the image, and what both refuse by themselves.
const NOT_BEFORE_SEALING: [&str; 2] = ["trust-missing", "user-data-code"];

/// Looks at a root.
pub fn lint(root: &Root, declared: Declared<'_>) -> Outcome<Report> {
    let waivers = match declared {
        None => Waivers::default(),
        Some((declared, bytes)) => waivers(declared, bytes)?,
    };
    let rules = match declared {
        None => RuleSet::resolve(Vec::new()),
        Some((declared, _)) => declared.rule_set(),
    };
    let rules = rules
        .context("failed to resolve the class rules of the declaration")
        .exits(Exit::Usage)?;
    let progress = Bar::new("looking for keys");
    let plan = Plan {
        rules: &rules,
        mounts: declared.map_or(&[], |(declared, _)| &declared.tree.mounts),
        replaced: &BTreeMap::new(),
        progress: &progress,
    };
    let survey = Survey::walk(root, &plan, Reach::Image).exits(Exit::Undecided)?;
    let keys = Keys::default();
    survey.inspect(&keys);
    let declared = declared.map(|(declared, _)| (declared, &rules));
    Ok(report(&Image::new(&survey, declared, keys), &waivers))
}

/// Reads the waivers of a declaration. Its errors are found before a root is looked at, which takes longer.
pub fn waivers<'a>(declared: &'a Declaration, bytes: &[u8]) -> Outcome<Waivers<'a>> {
    Waivers::of(declared, bytes)
        .context("failed to use the declaration's waivers")
        .exits(Exit::Usage)
}

fn report(image: &Image<'_>, waivers: &Waivers<'_>) -> Report {
    let mut drafts = Vec::new();
    for rule in table::rules() {
        let mut sink = rules::Sink::new();
        (rule.look)(image, &mut sink);
        sink.sort_by(|one, other| one.path.cmp(&other.path));
        drafts.extend(sink.into_iter().map(|draft| (rule, draft)));
    }
    let drafts = packaged::sort_out(image, drafts);
    let mut findings: Vec<Finding> = drafts
        .into_iter()
        .map(|(rule, draft)| draft.of(rule))
        .collect();
    findings.sort_by_key(|finding| finding.level);
    let (findings, waived, mut notes) = waivers.apply(findings);
    if image.declared.is_none() {
        let weak = "without --spec: what a declaration makes weak was not looked for";
        notes.push(weak.to_owned());
    }
    notes.extend(image.take_notes());
    let mut unknown = image.doubts();
    // The root itself is one.
    let looked_at = image.all().len();
    if looked_at <= 1 {
        unknown.push("nothing was looked at: the root is empty".to_owned());
    }
    let mut report = Report {
        looked_at,
        findings,
        waived,
        notes,
        unknown,
        ..Report::default()
    };
    report.count();
    report
}

/// Looks at a root, repairs what is safe to, and looks again.
pub fn lint_and_fix(root: &Root, declared: Declared<'_>) -> Outcome<Report> {
    let before = lint(root, declared)?;
    let fixed = fix::fix(
        root,
        declared.map(|(declared, _)| declared),
        &before.findings,
    );
    let mut report = lint(root, declared)?;
    report.fixed = fixed;
    Ok(report)
}

/// Refuses a root that is not fit to be sealed, and says what is only warned of.
pub fn gate(
    survey: &Survey<'_>,
    declared: (&Declaration, &RuleSet),
    waivers: &Waivers<'_>,
    keys: Keys,
) -> Outcome<()> {
    const SHOWN: usize = 20;
    let mut report = report(&Image::new(survey, Some(declared), keys), waivers);
    report
        .findings
        .retain(|finding| !NOT_BEFORE_SEALING.contains(&finding.rule.id));
    report.count();
    for note in &report.notes {
        output::note(note);
    }
    let (errors, warnings): (Vec<_>, Vec<_>) = report
        .findings
        .iter()
        .partition(|finding| finding.level == Level::Error);
    for warning in warnings.iter().take(SHOWN) {
        output::note(&format!("lint: {warning}"));
    }
    if warnings.len() > SHOWN {
        let more = warnings.len() - SHOWN;
        output::note(&format!("lint: … and {more} more warnings: earmark lint"));
    }
    if errors.is_empty() {
        return refuse_unknown(&report.unknown);
    }
    let count = output::count(errors.len(), "finding", "findings");
    let mut text = format!("the root is not fit to be sealed: {count}");
    for error in errors.iter().take(SHOWN) {
        text.push_str(&format!("\n  {error}"));
    }
    if errors.len() > SHOWN {
        text.push_str(&format!("\n  … and {} more", errors.len() - SHOWN));
    }
    Err(Failure::new(Exit::Lint, text).next(
        "earmark lint --fix does what is safe; mend the rest, or accept it in earmark.toml: [[lint.allow]]",
    ))
}

/// Refuses a root with something that could not be looked at: it may have anything in it.
fn refuse_unknown(unknown: &[String]) -> Outcome<()> {
    let Some(first) = unknown.first() else {
        return Ok(());
    };
    let more = match unknown.len() - 1 {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let text = format!("cannot say whether the root is fit to be sealed: {first}{more}");
    let next = "run as root, and mend what 'earmark lint' calls unknown";
    Err(Failure::new(Exit::Undecided, text).next(next))
}

impl Report {
    fn count(&mut self) {
        let of = |level| {
            self.findings
                .iter()
                .filter(|one| one.level == level)
                .count()
        };
        (self.errors, self.warnings) = (of(Level::Error), of(Level::Warn));
    }

    /// Returns the exit status: findings first, then what could not be looked at.
    pub fn exit(&self, denied: Level) -> Exit {
        let denied_warnings = denied == Level::Warn && self.warnings > 0;
        if self.errors > 0 || denied_warnings {
            Exit::Lint
        } else if self.unknown.is_empty() {
            Exit::Done
        } else {
            Exit::Undecided
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for done in &self.fixed {
            writeln!(f, "{done}")?;
        }
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
            let fixes = if finding.repair.is_some() {
                " (or: earmark lint --fix)"
            } else {
                ""
            };
            writeln!(f, "  fix: {}{fixes}", finding.rule.fix)?;
        }
        for waived in &self.waived {
            let (rule, path) = (waived.finding.rule.id, &waived.finding.path);
            writeln!(f, "waived {rule} {path}: {}", output::plain(&waived.reason))?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        for unknown in &self.unknown {
            writeln!(f, "unknown: {unknown}")?;
        }
        writeln!(
            f,
            "{}, {}, {} waived; looked at {}",
            output::count(self.errors, "error", "errors"),
            output::count(self.warnings, "warning", "warnings"),
            self.waived.len(),
            output::count(self.looked_at, "name", "names")
        )
    }
}

fn findings<S: Serializer>(findings: &[Finding], serializer: S) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(Some(findings.len()))?;
    for finding in findings {
        list.serialize_element(&value(finding))?;
    }
    list.end()
}

fn waived<S: Serializer>(waived: &[Waived], serializer: S) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(Some(waived.len()))?;
    for waived in waived {
        let mut value = value(&waived.finding);
        value["reason"] = json!(waived.reason);
        list.serialize_element(&value)?;
    }
    list.end()
}

fn value(finding: &Finding) -> serde_json::Value {
    json!({
        "rule": finding.rule.id,
        "level": finding.level,
        "path": finding.path.to_string(),
        "found": finding.found,
        "why": finding.rule.why,
        "fix": finding.rule.fix,
        "fixable": finding.repair.is_some(),
    })
}

#[cfg(test)]
mod tests;
