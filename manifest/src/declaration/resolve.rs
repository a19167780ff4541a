//! All rules of a declaration, its profile's among them: those of a tree, once an image's accounts give names their numbers.

use super::{Declaration, RuleProblem};
use crate::{
    accounts::Accounts,
    class::{Rule, RuleError, RuleKind, RuleSet},
    layout,
    profile::ReasonedRule,
};

impl Declaration {
    /// The class rules of this declaration, its profile's first, each with its reason.
    pub fn reasoned_rules(&self) -> &[ReasonedRule] {
        &self.rules
    }

    /// The class rules with the numbers that the accounts of an image have: those of its tree.
    ///
    /// # Errors
    ///
    /// [`RuleProblem`] for an account that the image lacks, and for rules that [`RuleSet::resolve`] refuses with
    /// its numbers.
    pub fn resolve_rules(&self, accounts: &Accounts) -> Result<RuleSet, RuleProblem> {
        let mut rules = Vec::with_capacity(self.rules.len());
        for rule in &self.rules {
            let resolved = rule.resolve(accounts).map_err(|problem| RuleProblem {
                at: rule.at,
                problem: format!("'{}': {problem}", rule.rule.pattern),
            })?;
            rules.push(resolved);
        }
        RuleSet::resolve(rules).map_err(|error| RuleProblem {
            at: 0,
            problem: error.to_string(),
        })
    }

    /// Returns whether the `rules` of a tree are those of this declaration, with the numbers of some image's accounts
    /// for its names, and beyond them `critical` rules alone, which `measure` derives from an image. Those
    /// let go of nothing: they only have a boot verify more before it goes on.
    pub fn is_resolved_as(&self, rules: &RuleSet) -> bool {
        let own = layout::AGENT_STATE.len();
        let all = rules.rules();
        let end = all.len().saturating_sub(layout::SEAL.len());
        let (Ok(ours), Some(between)) = (self.rule_set(), all.get(own..end)) else {
            return false;
        };
        // A tree with fewer rules than were reviewed may lack the one that takes a path back.
        let Some((declared, derived)) = between.split_at_checked(self.rules.len()) else {
            return false;
        };
        let agrees = |(ours, rule): (&ReasonedRule, &Rule)| ours.is_resolved_as(rule);
        let seal = |rules: &[Rule]| {
            let last = rules.iter().rev().take(layout::SEAL.len());
            last.cloned().collect::<Vec<_>>()
        };
        self.rules.iter().zip(declared).all(agrees)
            && derived.iter().all(|rule| rule.kind == RuleKind::Critical)
            // `own` many rules are skipped above by count alone: without this, others could stand in their place.
            && ours.rules().get(..own) == all.get(..own)
            && seal(ours.rules()) == seal(all)
    }

    /// The class rules, resolved but for the names of accounts, which only an image can.
    ///
    /// # Errors
    ///
    /// As [`RuleSet::resolve`]; rules that were parsed do not.
    pub fn rule_set(&self) -> Result<RuleSet, RuleError> {
        RuleSet::resolve(self.rules.iter().map(|rule| rule.rule.clone()).collect())
    }
}
