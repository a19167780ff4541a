//! The table of the rules. `earmark lint --list` and `docs/lint.md` say the same.

use std::fmt;

use serde::Serialize;

use super::{finding::Level, image::Image, rules::Sink};

pub mod known;
mod rows;
pub use rows::rules;

/// One rule.
#[derive(Debug, Serialize)]
pub struct Rule {
    /// Name that a waiver uses; it never changes.
    pub id: &'static str,
    /// Severity of its findings; a single finding may be less.
    pub level: Level,
    /// Description of what it finds.
    pub what: &'static str,
    /// Reason why that is bad.
    pub why: &'static str,
    /// Advice on what a person does about it.
    pub fix: &'static str,
    /// True, if `--fix` does something about it.
    pub fixable: bool,
    /// Function that looks for it, and adds findings to the sink.
    #[serde(skip)]
    pub look: fn(&Image<'_>, &mut Sink),
}

/// All rules, printed as text or JSON.
#[derive(Debug, Serialize)]
pub struct Listing {
    rules: Vec<&'static Rule>,
    /// Identities and secrets that rules know by their paths, with their sources.
    known: Vec<&'static known::Known>,
}

impl Listing {
    /// Of the whole table.
    pub fn all() -> Self {
        Self {
            rules: rules().collect(),
            known: known::all().collect(),
        }
    }
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for rule in &self.rules {
            let fixed = if rule.fixable { "  (--fix)" } else { "" };
            writeln!(f, "{}  {}{fixed}", rule.id, rule.level)?;
            writeln!(f, "  what  {}", rule.what)?;
            writeln!(f, "  why   {}", rule.why)?;
            writeln!(f, "  fix   {}", rule.fix)?;
        }
        Ok(())
    }
}

/// The rule of this name.
pub fn find(id: &str) -> Option<&'static Rule> {
    rules().find(|rule| rule.id == id)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    /// A rule as a row of `docs/lint.md`.
    fn row(rule: &Rule) -> String {
        let fixed = if rule.fixable { "yes" } else { "" };
        let (id, level, what) = (rule.id, rule.level, rule.what);
        format!(
            "| `{id}` | {level} | {what} | {} | {} | {fixed} |",
            rule.why, rule.fix
        )
    }

    #[test]
    fn every_lint_rule_has_unique_id_description_reason_and_fix() {
        assert!(rules().count() >= 25);
        let ids: BTreeSet<&str> = rules().map(|rule| rule.id).collect();
        assert_eq!(ids.len(), rules().count());
        for rule in rules() {
            let word = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
            assert!(rule.id.bytes().all(word), "{}", rule.id);
            assert!(rule.why.ends_with('.'), "{}", rule.id);
            assert!(!rule.what.is_empty() && !rule.fix.is_empty(), "{}", rule.id);
            assert_eq!(find(rule.id).unwrap().id, rule.id);
        }
        assert!(find("no-such-rule").is_none());
        assert!(
            Listing::all()
                .to_string()
                .contains("machine-id  error  (--fix)\n")
        );
    }

    #[test]
    fn lint_rule_table_matches_docs() {
        let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/lint.md");
        let document = fs::read_to_string(document).unwrap();
        let rows: Vec<&str> = document
            .lines()
            .filter(|line| line.starts_with("| `") && !line.starts_with("| `--"))
            .collect();
        let expected: Vec<String> = rules().map(row).collect();
        assert_eq!(rows, expected);
    }
}
