//! Rules of a declaration that would do nothing: what its owner meant by them is not what happens.

use crate::{
    class::{PathClass, RuleKind, RuleSet},
    profile::ReasonedRule,
};

use super::Problem;

/// The first rule of the declaration's own, those after `of_profile`, that has no effect.
pub(super) fn without(rules: &[ReasonedRule], of_profile: usize, set: &RuleSet) -> Option<Problem> {
    rules
        .iter()
        .enumerate()
        // A profile's rules are for all images of a distribution: in one of them some may well do nothing.
        .skip(of_profile)
        .find_map(|(at, rule)| {
            // A path is critical if any rule says so: no later one undoes it.
            let RuleKind::Class(class) = rule.rule.kind else {
                return None;
            };
            let why = overruled(rules, at, class, set).or_else(|| {
                (class == PathClass::Sealed && takes_nothing_back(rules, at)).then(|| {
                    "no earlier rule unseals such a path, so that it is sealed already".to_owned()
                })
            })?;
            let (kind, pattern) = (rule.rule.kind.name(), &rule.rule.pattern);
            Some(Problem {
                at: rule.at..rule.at,
                problem: format!("'{kind} {pattern}' has no effect: {why}"),
            })
        })
}

/// Returns the reason why no path that the rule matches gets its class, as far as patterns tell: a later rule has
/// the same pattern, or matches its one path.
fn overruled(rules: &[ReasonedRule], at: usize, class: PathClass, set: &RuleSet) -> Option<String> {
    let this = &rules.get(at)?.rule;
    let literal = this.pattern.literal();
    let wins = |later: &&ReasonedRule| match later.rule.kind {
        // Both together are for a path that is there in some images, and appears in others.
        RuleKind::Class(PathClass::Generated) if class == PathClass::Mutable => false,
        RuleKind::Class(_) => {
            // A wildcard inside a wider one is not seen: nothing here decides whether one pattern contains another.
            later.rule.pattern == this.pattern
                || literal
                    .as_ref()
                    .is_some_and(|path| later.rule.pattern.matches(path))
        }
        RuleKind::Critical => false,
    };
    let later = rules.iter().skip(at.saturating_add(1)).find(wins);
    if let Some(later) = later {
        return Some(format!(
            "the later rule '{}' overrides this rule",
            later.rule
        ));
    }
    // What lies beneath the agent's own directories, or is the seal's, has its class from Earmark's rules.
    literal
        .map(|path| set.class_when_sealed(&path))
        .filter(|found| *found == PathClass::Seal)
        .map(|_| "the path is one of Earmark's own files".to_owned())
}

fn takes_nothing_back(rules: &[ReasonedRule], at: usize) -> bool {
    let Some(this) = rules.get(at) else {
        return false;
    };
    let frees = |before: &ReasonedRule| {
        let pattern = &before.rule.pattern;
        matches!(before.rule.kind, RuleKind::Class(class) if class != PathClass::Sealed)
            // In doubt it takes something back: a needless `sealed` harms nobody, a refused one that is needed does.
            && pattern.may_meet(&this.rule.pattern)
    };
    !rules.iter().take(at).any(frees)
}
