//! Path classes: which rule says what may happen to a path on a running host.
//!
//! Closed world: a path that no rule names is sealed. The rules are resolved once, when an image is
//! measured, and stored in the signed tree, so that every agent reads the same ones.

use std::{collections::HashMap, fmt};

use crate::{
    escape::{self, Escaped},
    layout,
    path::{ImagePath, PathError},
};

/// What may happen to a path between bake and any later verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PathClass {
    /// Nothing: every recorded field must match.
    Sealed,
    /// Its content may change; type and owner must match, its mode must not widen.
    Mutable,
    /// Absent when sealed; may appear as a regular file of root's.
    Generated,
    /// Written by a declared `file` step, and checked against the digest recorded when it ran.
    Rendered,
    /// Not walked: it and all beneath belong to the running host. Only its type is checked.
    State,
    /// Earmark's own seal and trust file, which the signature covers, not the tree.
    Seal,
}

impl PathClass {
    /// The word of the tree and of reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Mutable => "mutable",
            Self::Generated => "generated",
            Self::Rendered => "rendered",
            Self::State => "state",
            Self::Seal => "seal",
        }
    }
}

impl fmt::Display for PathClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A pattern over absolute paths.
///
/// `*` stands for any bytes but a slash and `?` for one, within a component. A last component `**`
/// stands for everything beneath, at any depth, but not for the directory itself. All else, `[` and
/// `\` included, stands for itself. The first component has no wildcard: a rule names where it is.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    /// The bytes before the first wildcard, which rule most paths out at once.
    prefix: Box<[u8]>,
    components: Vec<Box<[u8]>>,
    beneath: bool,
}

/// Why some text is not a [`Pattern`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// See [`PathError`].
    #[error("{0}")]
    Path(PathError),
    /// `**` where it is not the whole last component.
    #[error("'**' may only be the whole last component, as in /opt/web/**")]
    Stars,
    /// A wildcard in the first component, or no component at all.
    #[error("the first component must be spelt out: a rule over the whole root would seal nothing")]
    WholeRoot,
}

impl Pattern {
    /// From text such as `/etc/ssh/ssh_host_*_key`.
    pub fn parse(text: &[u8]) -> Result<Self, PatternError> {
        let path = ImagePath::from_absolute(text).map_err(PatternError::Path)?;
        let mut components: Vec<Box<[u8]>> = path
            .as_bytes()
            .split(|byte| *byte == b'/')
            .map(Into::into)
            .collect();
        let beneath = components.pop_if(|last| **last == *b"**").is_some();
        if components
            .iter()
            .any(|component| component.windows(2).any(|two| two == b"**"))
        {
            return Err(PatternError::Stars);
        }
        match components.first() {
            Some(first) if !first.is_empty() && !has_wildcard(first) => {
                let joined = components.join(&b'/');
                let literal = joined
                    .iter()
                    .take_while(|byte| !is_wildcard(**byte))
                    .copied()
                    .collect();
                Ok(Self {
                    prefix: literal,
                    components,
                    beneath,
                })
            }
            _ => Err(PatternError::WholeRoot),
        }
    }

    /// Whether it matches `path`.
    pub fn matches(&self, path: &ImagePath) -> bool {
        if !path.as_bytes().starts_with(&self.prefix) {
            return false;
        }
        let mut components = path.as_bytes().split(|byte| *byte == b'/');
        for pattern in &self.components {
            match components.next() {
                Some(component) if wildcard_matches(pattern, component) => {}
                _ => return false,
            }
        }
        components.next().is_some() == self.beneath
    }

    /// The path that this matches, if it has no wildcard.
    pub fn literal(&self) -> Option<ImagePath> {
        if self.beneath
            || self
                .components
                .iter()
                .any(|component| has_wildcard(component))
        {
            return None;
        }
        ImagePath::from_relative(&self.components.join(&b'/')).ok()
    }

    /// Whether a path that this matches can lie beneath a path that `other` matches.
    fn may_lie_beneath(&self, other: &Self) -> bool {
        let deep_enough = self.components.len() > other.components.len()
            || (self.beneath && self.components.len() == other.components.len());
        deep_enough
            && other
                .components
                .iter()
                .zip(&self.components)
                .all(|(theirs, ours)| {
                    // Two wildcards may meet; in doubt they do.
                    wildcard_matches(theirs, ours) || has_wildcard(ours)
                })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for component in &self.components {
            write!(f, "/{}", Escaped(component))?;
        }
        if self.beneath {
            f.write_str("/**")
        } else {
            Ok(())
        }
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

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

/// Why some rules cannot be a [`RuleSet`].
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

fn has_wildcard(component: &[u8]) -> bool {
    component.iter().any(|byte| is_wildcard(*byte))
}

const fn is_wildcard(byte: u8) -> bool {
    matches!(byte, b'*' | b'?')
}

/// Whether one component matches one pattern component. Linear in their lengths for one `*`, and
/// at worst their product: a pattern cannot be made to take long.
fn wildcard_matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut pattern, mut name) = (pattern, name);
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), name.split_first()) {
            (Some((b'*', after)), _) => {
                retry = Some((after, name));
                pattern = after;
            }
            (Some((b'?', after)), Some((_, rest))) => (pattern, name) = (after, rest),
            (Some((expected, after)), Some((found, rest))) if expected == found => {
                (pattern, name) = (after, rest);
            }
            (None, None) => return true,
            _ => {
                // Let the last star take one byte more.
                let Some((after, from)) = retry else {
                    return false;
                };
                let Some((_, rest)) = from.split_first() else {
                    return false;
                };
                retry = Some((after, rest));
                (pattern, name) = (after, rest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ImagePath {
        ImagePath::from_absolute(text.as_bytes()).unwrap()
    }

    fn rules(text: &[&str]) -> Result<RuleSet, RuleError> {
        RuleSet::resolve(
            text.iter()
                .map(|line| parse_rule(line.as_bytes()).unwrap())
                .collect(),
        )
    }

    #[test]
    fn patterns_match_by_component() {
        for (pattern, matching, other) in [
            ("/etc/hosts", "/etc/hosts", "/etc/hosts.allow"),
            (
                "/etc/ssh/ssh_host_*_key",
                "/etc/ssh/ssh_host_rsa_key",
                "/etc/ssh/ssh_host_rsa_key.pub",
            ),
            ("/etc/*.d/x", "/etc/a.d/x", "/etc/a/b.d/x"),
            ("/opt/web/**", "/opt/web/bin/web", "/opt/web"),
            ("/a/?b", "/a/xb", "/a/b"),
            ("/a/*b*c*", "/a/xxbxcx", "/a/xxcxbx"),
            ("/usr/bin/[", "/usr/bin/[", "/usr/bin/x"),
        ] {
            let pattern = Pattern::parse(pattern.as_bytes()).unwrap();
            assert!(pattern.matches(&path(matching)), "{pattern} {matching}");
            assert!(!pattern.matches(&path(other)), "{pattern} {other}");
        }
    }

    #[test]
    fn a_rule_over_the_whole_root_is_refused() {
        for (text, error) in [
            ("/", PatternError::WholeRoot),
            ("/**", PatternError::WholeRoot),
            ("/*", PatternError::WholeRoot),
            ("/*/x", PatternError::WholeRoot),
            ("/a/**/b", PatternError::Stars),
            ("/a/x**", PatternError::Stars),
            ("etc", PatternError::Path(PathError::Relative)),
            ("/etc/../x", PatternError::Path(PathError::Dots)),
        ] {
            assert_eq!(Pattern::parse(text.as_bytes()), Err(error), "{text}");
        }
    }

    #[test]
    fn later_rules_win_whether_literal_or_not() {
        let set = rules(&[
            "mutable /etc/*.conf",
            "sealed /etc/a.conf",
            "state /var/lib",
            "critical /etc/**",
        ])
        .unwrap();
        assert_eq!(set.class_of(&path("/etc/b.conf")), PathClass::Mutable);
        assert_eq!(set.class_of(&path("/etc/a.conf")), PathClass::Sealed);
        assert_eq!(set.class_of(&path("/var/lib")), PathClass::State);
        assert_eq!(set.class_of(&path("/usr/bin/env")), PathClass::Sealed);
        assert!(set.is_critical(&path("/etc/a.conf")) && !set.is_critical(&path("/usr/bin/env")));
        let set = rules(&["sealed /etc/a.conf", "mutable /etc/*.conf"]).unwrap();
        assert_eq!(set.class_of(&path("/etc/a.conf")), PathClass::Mutable);
    }

    #[test]
    fn the_seal_keeps_its_class_whatever_is_declared() {
        let set = rules(&[
            "mutable /usr/lib/earmark/**",
            "sealed /usr/lib/earmark/trust.toml",
        ])
        .unwrap();
        assert_eq!(set.class_of(&path(layout::TRUST)), PathClass::Seal);
        assert!(matches!(
            rules(&["state /usr/lib"]),
            Err(RuleError::StateOverSeal(_))
        ));
        assert!(matches!(
            rules(&["state /usr/*"]),
            Err(RuleError::StateOverSeal(_))
        ));
    }

    #[test]
    fn a_rule_beneath_state_is_refused_rather_than_ignored() {
        for rule in [
            "sealed /var/lib/dpkg",
            "critical /var/lib/x/**",
            "mutable /var/*/x",
        ] {
            assert!(
                matches!(
                    rules(&["state /var/lib", rule]),
                    Err(RuleError::BeneathState { .. })
                ),
                "{rule}"
            );
        }
        assert!(rules(&["state /var/lib", "sealed /var/lib", "mutable /var/lib/x"]).is_ok());
        assert!(rules(&["state /var/lib", "state /var/lib/web"]).is_ok());
        assert!(matches!(
            rules(&["state /srv/**"]),
            Err(RuleError::StateBeneath(_))
        ));
    }

    #[test]
    fn stars_do_not_take_exponential_time() {
        assert!(!wildcard_matches(
            &b"a*".repeat(64),
            &[b'a'; 250][..].iter().map(|_| b'b').collect::<Vec<_>>()
        ));
        let many = [&b"*a".repeat(60)[..], b"*b"].concat();
        assert!(!wildcard_matches(&many, &[b'a'; 255]));
        assert!(wildcard_matches(b"*", b"") && !wildcard_matches(b"?", b""));
    }
}
