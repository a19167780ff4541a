//! `[[lint.allow]]`: findings of `earmark lint` that the image's owner has looked at and accepts.
//!
//! Waivers are signed with the rest of the declaration, so that a reviewer sees them. The signer alone checks that a
//! rule of this name exists: an agent that is older than a rule must still read the image.

use serde::Deserialize;
use toml::Spanned;

use super::Problem;
use crate::{class::Pattern, limits, strict::Table};

/// One finding, or all of a rule, that is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiver {
    /// The rule's id.
    pub rule: String,
    /// Paths that the waiver is for; all, if absent.
    pub path: Option<Pattern>,
    /// Reason, in the owner's words.
    pub reason: String,
    /// Offset of the rule's id in the declaration, in bytes: for [`super::Declaration::error_at`].
    pub at: usize,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LintDocument {
    #[serde(default)]
    allow: Vec<Table<WaiverDocument>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WaiverDocument {
    rule: Spanned<String>,
    path: Option<Spanned<String>>,
    reason: Spanned<String>,
}

pub(super) fn check(document: LintDocument) -> Result<Vec<Waiver>, Problem> {
    if let Some(one) = document.allow.get(limits::WAIVERS) {
        return Err(Problem {
            at: one.rule.span(),
            problem: format!("at most {} waivers are accepted", limits::WAIVERS),
        });
    }
    let waivers = document.allow.into_iter().map(|waiver| waiver.0.check());
    waivers.collect()
}

impl WaiverDocument {
    fn check(self) -> Result<Waiver, Problem> {
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let rule = self.rule.get_ref();
        if rule.is_empty() || rule.len() > 64 || !rule.bytes().all(word) {
            return Err(Problem {
                at: self.rule.span(),
                problem: "expected the id of a rule, such as \"machine-id\"".to_owned(),
            });
        }
        let path = self.path.map(|path| {
            Pattern::parse(path.get_ref().as_bytes()).map_err(|error| Problem {
                at: path.span(),
                problem: error.to_string(),
            })
        });
        let said = !self.reason.get_ref().trim().is_empty();
        if !said || self.reason.get_ref().len() > 512 {
            return Err(Problem {
                at: self.reason.span(),
                problem: "a waiver needs a reason: 1 to 512 characters".to_owned(),
            });
        }
        Ok(Waiver {
            at: self.rule.span().start,
            rule: self.rule.into_inner(),
            path: path.transpose()?,
            reason: self.reason.into_inner(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Declaration;

    fn parse(waiver: &str) -> Result<Declaration, String> {
        let text = format!("[image]\nname = \"web\"\nplatform = \"file\"\n{waiver}");
        Declaration::parse(text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn lint_waiver_requires_a_rule_id_and_a_reason() {
        let good = "[[lint.allow]]\nrule = \"logs\"\npath = \"/var/log/**\"\nreason = \"kept\"\n";
        let declared = parse(good).unwrap();
        let waiver = &declared.lint[0];
        assert_eq!(waiver.rule, "logs");
        assert_eq!(waiver.reason, "kept");
        assert_eq!(waiver.path.as_ref().unwrap().to_string(), "/var/log/**");
        let anywhere = parse("[[lint.allow]]\nrule = \"logs\"\nreason = \"kept\"\n").unwrap();
        assert_eq!(anywhere.lint[0].path, None);
        assert!(parse("").unwrap().lint.is_empty());

        for (waiver, problem) in [
            (
                "rule = \"logs\"",
                "line 4, column 1: missing field `reason`",
            ),
            ("reason = \"why\"", "missing field `rule`"),
            (
                "rule = \"logs\"\nreason = \" \"",
                "line 6, column 10: a waiver needs a reason",
            ),
            (
                "rule = \"Logs\"\nreason = \"why\"",
                "line 5, column 8: expected the id of a rule",
            ),
            ("rule = \"\"\nreason = \"why\"", "expected the id of a rule"),
            (
                "rule = \"logs\"\nreason = \"why\"\npath = \"/**\"",
                "line 7, column 8: the first",
            ),
            (
                "rule = \"logs\"\nreason = \"why\"\nlevel = 1",
                "unknown field `level`",
            ),
        ] {
            let error = parse(&format!("[[lint.allow]]\n{waiver}\n")).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
        let array = parse("lint = [[]]\n").unwrap_err();
        assert!(
            array.contains("expected a table") || array.contains("unknown field"),
            "{array}"
        );
        let many = "[[lint.allow]]\nrule = \"logs\"\nreason = \"kept\"\n".repeat(257);
        assert!(parse(&many).unwrap_err().contains("at most 256 waivers"));
    }

    #[test]
    fn lint_rule_error_gives_line_and_column() {
        let text = "[image]\nname = \"web\"\nplatform = \"file\"\n[[lint.allow]]\nreason = \"x\"\nrule = \"no-such\"\n";
        let declared = Declaration::parse(text.as_bytes()).unwrap();
        let error = Declaration::error_at(text.as_bytes(), declared.lint[0].at, "no such rule");
        assert_eq!(error.to_string(), "line 6, column 8: no such rule");
    }
}
