//! One rule, and its line in the tree.

use crate::{
    escape::{self, Escaped},
    layout,
};

use super::{PathClass, Pattern, PatternError};

/// One rule: paths that match `pattern` are of `kind`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What it makes of a path.
    pub kind: RuleKind,
    /// Which paths.
    pub pattern: Pattern,
}

/// A rule gives a path its class, or says that it must be verified before the boot goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RuleKind {
    /// The path's class.
    Class(PathClass),
    /// Content verified by the gate `critical`. Independent of the class.
    Critical,
}

impl RuleKind {
    /// The word of the tree.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Class(class) => class.name(),
            Self::Critical => "critical",
        }
    }

    fn from_name(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"sealed" => Self::Class(PathClass::Sealed),
            b"mutable" => Self::Class(PathClass::Mutable),
            b"generated" => Self::Class(PathClass::Generated),
            b"rendered" => Self::Class(PathClass::Rendered),
            b"state" => Self::Class(PathClass::State),
            b"seal" => Self::Class(PathClass::Seal),
            b"critical" => Self::Critical,
            _ => return None,
        })
    }
}

/// Why some rules cannot be a [`super::RuleSet`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// A rule that can have no effect.
    #[error(
        "'{kind} {rule}' can have no effect: it lies beneath 'state {state}', which is not walked"
    )]
    BeneathState {
        /// What the rule would have made of a path.
        kind: &'static str,
        /// The rule's pattern.
        rule: Pattern,
        /// The pattern of the state rule above it.
        state: Pattern,
    },
    /// A pattern that does not parse.
    #[error("'{0}' is no rule: {1}")]
    Pattern(String, PatternError),
    /// Earmark's own rules are not the last six, or there are others of their class.
    #[error("the class 'seal' is that of Earmark's own rules, which are the last six")]
    Seal,
    /// A state rule over the seal itself.
    #[error("'state {0}' would leave Earmark's own files unwatched in {dir}", dir = layout::EARMARK_DIR)]
    StateOverSeal(Pattern),
    /// More rules than [`crate::limits::RULES`].
    #[error("more than {} rules", crate::limits::RULES)]
    TooMany,
    /// A line of the tree that is not a kind and a pattern.
    #[error("'{0}' is not a rule: expected a class and a pattern")]
    Unreadable(String),
    /// `/**` in a state rule, which covers everything beneath by itself.
    #[error("'state {0}' must name the directory itself; all beneath it is state already")]
    StateBeneath(Pattern),
}

/// A rule as a line of the tree.
pub(crate) fn push_rule(text: &mut String, rule: &Rule) {
    text.push_str(rule.kind.name());
    text.push(' ');
    text.push_str(&rule.pattern.to_string());
    text.push('\n');
}

/// A rule from a line of the tree, without its newline.
pub(crate) fn parse_rule(line: &[u8]) -> Result<Rule, RuleError> {
    let unreadable = || RuleError::Unreadable(Escaped(line).to_string());
    let space = line
        .iter()
        .position(|byte| *byte == b' ')
        .ok_or_else(unreadable)?;
    let (kind, rest) = line.split_at(space);
    let kind = RuleKind::from_name(kind).ok_or_else(unreadable)?;
    let text = escape::decode(rest.get(1..).unwrap_or_default()).map_err(|_| unreadable())?;
    let pattern = Pattern::parse(&text)
        .map_err(|error| RuleError::Pattern(Escaped(&text).to_string(), error))?;
    Ok(Rule { kind, pattern })
}
