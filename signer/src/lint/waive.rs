//! Waivers: what the image's owner has looked at and accepts.

use earmark_manifest::declaration::{Declaration, DeclarationError, Waiver};

use super::{finding::Finding, table};

/// A finding that is accepted, and the owner's reason.
#[derive(Debug)]
pub struct Waived {
    /// Finding that is accepted.
    pub finding: Finding,
    /// Reason why it is accepted.
    pub reason: String,
}

/// The waivers of a declaration, each of a rule that there is.
#[derive(Debug, Default)]
pub struct Waivers<'a>(&'a [Waiver]);

impl<'a> Waivers<'a> {
    /// Of the declaration in `bytes`. A misspelt rule would be waived by nobody, and an image refused for a
    /// finding that its owner believes to have accepted.
    pub fn of(declared: &'a Declaration, bytes: &[u8]) -> Result<Self, DeclarationError> {
        for waiver in &declared.lint {
            if table::find(&waiver.rule).is_none() {
                let problem = format!(
                    "unknown rule '{}': 'earmark lint --list' prints all rules",
                    waiver.rule
                );
                return Err(Declaration::error_at(bytes, waiver.at, &problem));
            }
        }
        Ok(Self(&declared.lint))
    }

    /// Splits findings into those that are left and those that are waived, with a note for each waiver of nothing.
    pub fn apply(&self, findings: Vec<Finding>) -> (Vec<Finding>, Vec<Waived>, Vec<String>) {
        let mut used = vec![false; self.0.len()];
        let (mut left, mut waived) = (Vec::new(), Vec::new());
        for finding in findings {
            let mut first = None;
            for (one, used) in self.0.iter().zip(&mut used) {
                if matches(one, &finding) {
                    *used = true;
                    first = first.or(Some(one));
                }
            }
            match first {
                None => left.push(finding),
                Some(accepting) => waived.push(Waived {
                    finding,
                    reason: accepting.reason.clone(),
                }),
            }
        }
        let unused = self.0.iter().zip(used).filter(|(_, used)| !used);
        let notes = unused.map(|(waiver, _)| note(waiver)).collect();
        (left, waived, notes)
    }
}

fn matches(waiver: &Waiver, finding: &Finding) -> bool {
    let path = waiver.path.as_ref();
    waiver.rule == finding.rule.id && path.is_none_or(|pattern| pattern.matches(&finding.path))
}

fn note(waiver: &Waiver) -> String {
    let at = waiver
        .path
        .as_ref()
        .map_or_else(String::new, |path| format!(" at {path}"));
    format!(
        "the waiver of '{}'{at} matches nothing: remove it",
        waiver.rule
    )
}
