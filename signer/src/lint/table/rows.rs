//! One row for each rule, by theme.

mod access;
mod hosts;
mod identity;
mod secrets;
mod traces;

use super::Rule;

/// The themes, in the order in which rules are listed and looked for.
static THEMES: [&[Rule]; 5] = [
    identity::RULES,
    secrets::RULES,
    traces::RULES,
    access::RULES,
    hosts::RULES,
];

/// All rules.
pub fn rules() -> impl Iterator<Item = &'static Rule> + Clone {
    THEMES.into_iter().flatten()
}
