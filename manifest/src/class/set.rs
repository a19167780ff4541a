//! The rules of an image together: which of them wins.

use std::collections::HashMap;

use crate::{layout, path::ImagePath};

use super::{PathClass, Pattern, Rule, RuleAttributes, RuleError, RuleKind, own};

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
    ///
    /// # Errors
    ///
    /// [`RuleError`] for more than [`limits::RULES`](crate::limits::RULES) rules, attributes that do not fit their
    /// class, a rule without effect beneath `state`, or one that would release Earmark's own files.
    pub fn resolve(rules: Vec<Rule>) -> Result<Self, RuleError> {
        let own = |path: &str, class| {
            Pattern::parse(path.as_bytes())
                .map(|pattern| Rule::new(RuleKind::Class(class), pattern))
                .map_err(|error| RuleError::Pattern(path.to_owned(), error))
        };
        let state = layout::AGENT_STATE
            .into_iter()
            .map(|path| own(path, PathClass::State));
        let seal = layout::SEAL
            .into_iter()
            .map(|path| own(path, PathClass::Seal));
        Self::checked(
            state
                .chain(rules.into_iter().map(Ok))
                .chain(seal)
                .collect::<Result<_, _>>()?,
        )
    }

    /// The rules as a tree stores them, Earmark's own included.
    pub(crate) fn from_rules(rules: Vec<Rule>) -> Result<Self, RuleError> {
        let set = Self::checked(rules)?;
        // A declaration has names, which become numbers with an image's accounts. In a tree nobody resolves them any
        // more: an owner that is open there is nobody's decision.
        let is_open = |rule: &&Rule| {
            let RuleAttributes { mode, uid, gid, .. } = rule.attributes;
            rule.kind == RuleKind::Class(PathClass::Rendered)
                && (mode.is_none() || uid.is_none() || gid.is_none())
        };
        match set.rules.iter().find(is_open) {
            Some(rule) => Err(RuleError::NoOwner(rule.pattern.clone())),
            None => Ok(set),
        }
    }

    fn checked(rules: Vec<Rule>) -> Result<Self, RuleError> {
        // First: the checks below take the square of the number of rules.
        if rules.len() > crate::limits::RULES {
            return Err(RuleError::TooMany);
        }
        if !ends_with_the_seal(&rules) {
            return Err(RuleError::Seal);
        }
        for rule in &rules {
            if let Some(why) = rule.attributes.problem(rule.kind, &rule.pattern) {
                return Err(RuleError::Attributes {
                    kind: rule.kind.name(),
                    rule: rule.pattern.clone(),
                    why,
                });
            }
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
        own::refuse_letting_go(&set.rules)?;
        Ok(set)
    }

    /// The same with more rules of what is critical, which no class depends on. Those that could have no
    /// effect, because a path is state, are left out: nobody declared them.
    ///
    /// # Errors
    ///
    /// As [`RuleSet::resolve`].
    pub fn with(self, critical: Vec<Rule>) -> Result<Self, RuleError> {
        let mut rules = self.rules;
        let states: Vec<Pattern> = rules
            .iter()
            .filter(|rule| rule.kind == RuleKind::Class(PathClass::State))
            .map(|rule| rule.pattern.clone())
            .collect();
        let is_state = |rule: &Rule| {
            let pattern = &rule.pattern;
            states.iter().any(|state| pattern.may_lie_beneath(state))
        };
        let critical = critical.into_iter();
        // A class among these would free a path that no declaration frees, and nobody reviewed them.
        let added = critical.filter(|rule| rule.kind == RuleKind::Critical && !is_state(rule));
        // Those of the seal are the last of a tree.
        let at = rules.len().saturating_sub(layout::SEAL.len());
        rules.splice(at..at, added);
        Self::from_rules(rules)
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
            Some(RuleKind::Critical) | None => None,
        };
        let literal = self
            .literal
            .get(path.as_bytes())
            .and_then(|found| found.iter().rev().find_map(class));
        let wildcard = self
            .wildcard
            .iter()
            // An earlier wildcard cannot win over a later literal rule.
            .filter(|index| literal.is_none_or(|(found, _)| **index > found))
            .find(|index| class(index).is_some() && self.pattern_matches(**index, path))
            .and_then(class);
        wildcard
            .or(literal)
            // Closed world: a path that no rule thought of may not change.
            .map_or(PathClass::Sealed, |(_, class)| class)
    }

    /// The class that an entry for `path` has: of a `generated` path that is there when the image is
    /// sealed, that of the class rule before, if this is `mutable`. So both together allow a file that
    /// some images have and others get later.
    pub fn class_when_sealed(&self, path: &ImagePath) -> PathClass {
        let class = self.class_of(path);
        if class != PathClass::Generated {
            return class;
        }
        let before = self.rules.iter().rev().find_map(|rule| match rule.kind {
            RuleKind::Class(class) => {
                let counts = class != PathClass::Generated && rule.pattern.matches(path);
                counts.then_some(class)
            }
            RuleKind::Critical => None,
        });
        before
            .filter(|before| *before == PathClass::Mutable)
            .unwrap_or(class)
    }

    /// The attributes of the last rule that makes `path` one of `class`; none without such a rule.
    pub fn attributes_of(&self, path: &ImagePath, class: PathClass) -> RuleAttributes {
        let mut rules = self.rules.iter().rev();
        rules
            .find(|rule| rule.kind == RuleKind::Class(class) && rule.pattern.matches(path))
            .map(|rule| rule.attributes)
            .unwrap_or_default()
    }

    /// Returns whether the gate `critical` verifies the content of `path`.
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
            // One with a wildcard always counts: a later rule may take back only some of its paths.
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
                    kind @ (RuleKind::Class(
                        PathClass::Sealed
                        | PathClass::Mutable
                        | PathClass::Generated
                        | PathClass::Rendered,
                    )
                    | RuleKind::Critical) => RuleError::BeneathState {
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

/// Returns whether Earmark's own rules are last, where no other can win over them, and the only ones of
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
