//! Path classes: which rule says what may happen to a path on a running host.
//!
//! Closed world: a path that no rule names is sealed. The rules are resolved once, when an image is
//! measured, and stored in the signed tree, so that every agent reads the same ones.

mod pattern;
mod rule;
mod set;

pub use pattern::{Pattern, PatternError};
pub use rule::{Rule, RuleError, RuleKind};
pub(crate) use rule::{parse_rule, push_rule};
pub use set::RuleSet;

use std::fmt;

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

#[cfg(test)]
mod tests {
    use super::{pattern::wildcard_matches, *};
    use crate::{
        layout,
        path::{ImagePath, PathError},
    };

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
