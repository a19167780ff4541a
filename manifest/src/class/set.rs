//! The rules of an image together: which of them wins.

use std::collections::HashMap;

use crate::{layout, path::ImagePath};

use super::{PathClass, Pattern, Rule, RuleError, RuleKind};

/// The resolved rules of an image. Later rules win over earlier ones.
#[derive(Debug, Clone, Default)]
pub struct RuleSet {
    rules: Vec<Rule>,
    /// Rules without a wildcard, by path: most rules, and so a look-up instead of a search.
    literal: HashMap<Box<[u8]>, Vec<usize>>,
    /// The others, by index, latest first.
    wildcard: Vec<usize>,
}

impl RuleSet {
    /// The rules for `rules`, later ones winning, between Earmark's own: what the agent keeps on a
    /// running host comes first, and the seal, which nobody may class otherwise, last.
    pub fn resolve(rules: Vec<Rule>) -> Result<Self, RuleError> {
        let own = |path: &str, class| {
            Pattern::parse(path.as_bytes())
                .map(|pattern| Rule {
                    kind: RuleKind::Class(class),
                    pattern,
                })
                .map_err(|error| RuleError::Pattern(path.to_owned(), error))
        };
        let state = layout::AGENT_STATE
            .into_iter()
            .map(|path| own(path, PathClass::State));
        let seal = layout::SEAL
            .into_iter()
            .map(|path| own(path, PathClass::Seal));
        Self::from_rules(
            state
                .chain(rules.into_iter().map(Ok))
                .chain(seal)
                .collect::<Result<_, _>>()?,
        )
    }

    /// The rules as a tree stores them, Earmark's own included.
    pub(crate) fn from_rules(rules: Vec<Rule>) -> Result<Self, RuleError> {
        if rules.len() > crate::limits::RULES {
            return Err(RuleError::TooMany);
        }
        if !ends_with_the_seal(&rules) {
            return Err(RuleError::Seal);
        }
        let mut set = Self {
            rules,
            literal: HashMap::new(),
            wildcard: Vec::new(),
        };
        for (index, rule) in set.rules.iter().enumerate() {
            match rule.pattern.literal() {
                Some(path) => set
                    .literal
                    .entry(path.as_bytes().into())
                    .or_default()
                    .push(index),
                None => set.wildcard.insert(0, index),
            }
        }
        set.refuse_rules_without_effect()?;
        Ok(set)
    }

    /// The rules in their order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The class of `path`. What lies beneath a `state` path is not looked up, since nobody walks
    /// there.
    pub fn class_of(&self, path: &ImagePath) -> PathClass {
        let class = |index: &usize| match self.rules.get(*index).map(|rule| rule.kind) {
            Some(RuleKind::Class(class)) => Some((*index, class)),
            _ => None,
        };
        let literal = self
            .literal
            .get(path.as_bytes())
            .and_then(|found| found.iter().rev().find_map(class));
        let wildcard = self
            .wildcard
            .iter()
            .filter(|index| literal.is_none_or(|(found, _)| **index > found))
            .find(|index| class(index).is_some() && self.pattern_matches(**index, path))
            .and_then(class);
        wildcard
            .or(literal)
            .map_or(PathClass::Sealed, |(_, class)| class)
    }

    /// Whether the gate `critical` verifies the content of `path`.
    pub fn is_critical(&self, path: &ImagePath) -> bool {
        let critical = |index: &usize| {
            self.rules
                .get(*index)
                .is_some_and(|rule| rule.kind == RuleKind::Critical)
        };
        self.literal
            .get(path.as_bytes())
            .is_some_and(|found| found.iter().any(critical))
            || self
                .wildcard
                .iter()
                .any(|index| critical(index) && self.pattern_matches(*index, path))
    }

    fn pattern_matches(&self, index: usize, path: &ImagePath) -> bool {
        self.rules
            .get(index)
            .is_some_and(|rule| rule.pattern.matches(path))
    }

    fn refuse_rules_without_effect(&self) -> Result<(), RuleError> {
        let states: Vec<&Rule> = self
            .rules
            .iter()
            .filter(|rule| rule.kind == RuleKind::Class(PathClass::State))
            // One that a later rule took back no longer prunes anything.
            .filter(|rule| {
                rule.pattern
                    .literal()
                    .is_none_or(|path| self.class_of(&path) == PathClass::State)
            })
            .collect();
        for state in states {
            if state.pattern.beneath {
                return Err(RuleError::StateBeneath(state.pattern.clone()));
            }
            // Earmark's own rules are last, and the gravest to lose: they are looked at first.
            for rule in self.rules.iter().rev() {
                if !rule.pattern.may_lie_beneath(&state.pattern) {
                    continue;
                }
                return Err(match rule.kind {
                    RuleKind::Class(PathClass::Seal) => {
                        RuleError::StateOverSeal(state.pattern.clone())
                    }
                    // Harmless, and natural where a profile and a declaration meet.
                    RuleKind::Class(PathClass::State) => continue,
                    kind => RuleError::BeneathState {
                        kind: kind.name(),
                        rule: rule.pattern.clone(),
                        state: state.pattern.clone(),
                    },
                });
            }
        }
        Ok(())
    }
}

/// Whether Earmark's own rules are last, where no other can win over them, and the only ones of
/// their class: a path of the class seal is not compared with the tree.
fn ends_with_the_seal(rules: &[Rule]) -> bool {
    let seal = RuleKind::Class(PathClass::Seal);
    let others = rules.len().saturating_sub(layout::SEAL.len());
    let (others, own) = rules.split_at(others);
    own.len() == layout::SEAL.len()
        && own
            .iter()
            .zip(layout::SEAL)
            .all(|(rule, path)| rule.kind == seal && rule.pattern.to_string() == path)
        && others.iter().all(|rule| rule.kind != seal)
}
