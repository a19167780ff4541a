//! Judges which files of an image its critical set leaves out.

use std::collections::BTreeSet;

use earmark_manifest::{
    class::{PathClass, Rule, RuleKind},
    entry::Node,
    path::ImagePath,
    tree,
};

/// Returns the sealed files among `opened` that no rule of the signed tree `stored` makes critical. A control takes
/// one rule away.
pub fn uncovered(
    stored: &[u8],
    opened: &BTreeSet<ImagePath>,
    without: Option<&str>,
) -> Vec<String> {
    let entries = tree::read(stored).unwrap();
    let is_left = |rule: &&Rule| {
        rule.kind == RuleKind::Critical
            && without.is_none_or(|pattern| rule.pattern.to_string() != pattern)
    };
    let rules: Vec<Rule> = entries
        .rules()
        .rules()
        .iter()
        .filter(is_left)
        .cloned()
        .collect();
    entries
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.class == PathClass::Sealed)
        .filter(|entry| matches!(entry.node, Node::Regular(_)) && opened.contains(&entry.path))
        .filter(|entry| !rules.iter().any(|rule| rule.pattern.matches(&entry.path)))
        .map(|entry| entry.path.to_string())
        .collect()
}
