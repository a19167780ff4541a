//! One rule, and its line in the tree.

use crate::{
    escape::{self, Escaped},
    layout,
};

use super::{PathClass, Pattern, PatternError, RuleAttributes};

/// One rule: paths that match `pattern` are of `kind`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Effect on a path: its class, or `critical`.
    pub kind: RuleKind,
    /// Paths that the rule is for.
    pub pattern: Pattern,
    /// Limits on such a path, beside what its class allows.
    pub attributes: RuleAttributes,
}

impl Rule {
    /// Creates a rule without attributes.
    pub fn new(kind: RuleKind, pattern: Pattern) -> Self {
        Self {
            kind,
            pattern,
            attributes: RuleAttributes::default(),
        }
    }
}

/// The rule as its line in the tree.
impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut attributes = String::new();
        self.attributes.push(&mut attributes);
        write!(f, "{} {}{attributes}", self.kind.name(), self.pattern)
    }
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

/// Reason why some rules cannot be a [`super::RuleSet`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// Attributes that do not go with the rule.
    #[error("invalid attributes of '{kind} {rule}': {why}")]
    Attributes {
        /// The rule's class.
        kind: &'static str,
        /// The rule's pattern.
        rule: Pattern,
        /// Reason why they do not go with it.
        why: &'static str,
    },
    /// A rule that can have no effect.
    #[error(
        "'{kind} {rule}' can have no effect: it lies beneath 'state {state}', which is not walked"
    )]
    BeneathState {
        /// Class or `critical`, which the rule would have made of a path.
        kind: &'static str,
        /// The rule's pattern.
        rule: Pattern,
        /// The pattern of the state rule above it.
        state: Pattern,
    },
    /// A rule over Earmark's own files, or over what starts them.
    #[error(
        "'{kind} {rule}' would unseal '{own}', which belongs to Earmark or starts it; next: name \
         narrower paths, or leave the path sealed"
    )]
    LetsGo {
        /// The rule's class.
        kind: &'static str,
        /// The rule's pattern.
        rule: Pattern,
        /// The pattern of the paths that stay sealed.
        own: &'static str,
    },
    /// A rendered path of a tree whose owner and mode were not signed.
    #[error(
        "'rendered {0}' has no mode, uid and gid: a tree must have them for each rendered path"
    )]
    NoOwner(Pattern),
    /// A pattern that does not parse.
    #[error("'{0}' is not a rule: {1}")]
    Pattern(String, PatternError),
    /// Earmark's own rules are not the last ones, or there are others of their class.
    #[error("the class 'seal' is that of Earmark's own rules, which are the last ones")]
    Seal,
    /// A state rule over the seal itself.
    #[error("'state {0}' would leave Earmark's own files in {dir} unverified", dir = layout::EARMARK_DIR)]
    StateOverSeal(Pattern),
    /// More rules than [`crate::limits::RULES`].
    #[error("too many rules: expected at most {}", crate::limits::RULES)]
    TooMany,
    /// A line of the tree that is not a kind and a pattern.
    #[error("'{0}' is not a rule: expected a class, a pattern, and its attributes in order")]
    Unreadable(String),
    /// `/**` in a state rule, which covers everything beneath by itself.
    #[error(
        "'state {0}' must name the directory itself: everything below the directory is state, too"
    )]
    StateBeneath(Pattern),
}

/// Appends a rule as a line of the tree.
pub(crate) fn push_rule(text: &mut String, rule: &Rule) {
    text.push_str(&rule.to_string());
    text.push('\n');
}

/// Parses a rule from a line of the tree, without its newline.
pub(crate) fn parse_rule(line: &[u8]) -> Result<Rule, RuleError> {
    // The line goes to a terminal with the error, and may hold escape codes for it.
    let unreadable = || RuleError::Unreadable(Escaped(line).to_string());
    let mut words = line.split(|byte| *byte == b' ');
    let kind = words.next().and_then(RuleKind::from_name);
    let kind = kind.ok_or_else(unreadable)?;
    let text = words.next().ok_or_else(unreadable)?;
    let text = escape::decode(text).map_err(|_| unreadable())?;
    let attributes = RuleAttributes::parse(words).ok_or_else(unreadable)?;
    let pattern = Pattern::parse(&text)
        .map_err(|error| RuleError::Pattern(Escaped(&text).to_string(), error))?;
    Ok(Rule {
        kind,
        pattern,
        attributes,
    })
}
