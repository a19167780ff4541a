//! Path classes: which rule says what may happen to a path on a running host.
//!
//! Closed world: a path that no rule names is sealed. The rules are resolved once, when an image is
//! measured, and stored in the signed tree, so that every agent reads the same ones.

mod attributes;
mod own;
mod pattern;
mod rule;
mod set;

pub use attributes::{RuleAttributes, Types};
pub use own::OWN;
pub use pattern::{Pattern, PatternError};
pub use rule::{Rule, RuleError, RuleKind};
pub(crate) use rule::{parse_rule, push_rule};
pub use set::RuleSet;

use std::fmt;

/// Class of a path: the changes that are allowed between bake and any later verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PathClass {
    /// Nothing: every recorded field must match.
    Sealed,
    /// There when sealed, and stays: its content may change, its type within what the rule names;
    /// owner must match, its mode must not widen. Never admits a path that was not sealed.
    Mutable,
    /// Absent when sealed; may appear, as a regular file of root's unless the rule says otherwise.
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
    fn pattern_over_whole_root_or_malformed_is_refused() {
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
    fn rule_attributes_accept_only_the_canonical_form() {
        for line in [
            "generated /etc/a type=dfl mode=640 uid=0 gid=101",
            "generated /etc/a* gid=4294967295",
            "mutable /etc/a type=fl",
            "rendered /etc/a mode=0 uid=0 gid=0",
        ] {
            let rule = parse_rule(line.as_bytes()).unwrap();
            assert_eq!(rule.to_string(), line);
            assert!(rule.attributes.problem(rule.kind, &rule.pattern).is_none());
        }
        for line in [
            "generated /etc/a mode=640 type=f",
            "generated /etc/a mode=640 mode=640",
            "generated /etc/a mode=0640",
            "generated /etc/a type=",
            "generated /etc/a type=ff",
            "generated /etc/a type=fd",
            "generated /etc/a type=p",
            "generated /etc/a uid=root",
            "generated /etc/a uid=4294967296",
            "generated /etc/a owner=0",
            "generated /etc/a ",
            "generated /etc/a  uid=0",
            "generated /etc/a uid",
        ] {
            assert!(parse_rule(line.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn rule_attributes_invalid_for_the_class_are_refused() {
        for line in [
            "mutable /etc/a type=f",
            "mutable /etc/a type=dfl",
            "mutable /etc/a mode=644",
            "mutable /etc/a gid=0",
            "generated /etc/a mode=4755",
            "generated /etc/a mode=666",
            "rendered /etc/a mode=4755 uid=0 gid=0",
            "rendered /etc/a type=f mode=644 uid=0 gid=0",
            "rendered /etc/* mode=644 uid=0 gid=0",
            "sealed /etc/a uid=0",
            "state /etc/a type=d",
            "critical /etc/a mode=644",
        ] {
            assert!(
                matches!(rules(&[line]), Err(RuleError::Attributes { .. })),
                "{line}"
            );
        }
    }

    #[test]
    fn rule_unprotecting_earmark_or_its_startup_files_is_refused() {
        for line in [
            "mutable /usr/lib/earmark/**",
            "state /usr/lib/earmark/extra",
            "mutable /usr/bin/earmark-agent",
            "mutable /usr/bin/**",
            "generated /usr/bin/*",
            "generated /usr/sbin/e?rmark-agent",
            "mutable /etc/systemd/**",
            "mutable /etc/systemd/system/*",
            "generated /etc/systemd/system/*.wants/*",
            "generated /etc/systemd/system/earmark-verify.service.d/x.conf",
            "state /etc/systemd/system",
            "state /etc/systemd",
            "mutable /usr/lib/systemd/systemd",
            "mutable /sbin/init",
            "generated /etc/ld.so.preload",
            "generated /etc/systemd/system-generators/earmark-generator",
            "rendered /etc/systemd/system.conf.d/x.conf mode=644 uid=0 gid=0",
        ] {
            let error = rules(&[line]).unwrap_err();
            let is_refused = matches!(
                error,
                RuleError::LetsGo { .. } | RuleError::StateOverSeal(_)
            );
            assert!(is_refused, "{line}: {error}");
        }
        for line in [
            "mutable /usr/bin/other",
            "generated /etc/systemd/system/web.service",
            "generated /etc/systemd/system/multi-user.target.wants/web.service",
            "sealed /usr/bin/earmark-agent",
            "critical /usr/bin/**",
            "state /var/lib/x",
        ] {
            assert!(rules(&[line]).is_ok(), "{line}");
        }
    }

    #[test]
    fn mutable_rule_before_generated_one_sets_the_class_when_sealed() {
        let set = rules(&["mutable /etc/a", "generated /etc/a", "generated /etc/b"]).unwrap();
        assert_eq!(set.class_of(&path("/etc/a")), PathClass::Generated);
        assert_eq!(set.class_when_sealed(&path("/etc/a")), PathClass::Mutable);
        assert_eq!(set.class_when_sealed(&path("/etc/b")), PathClass::Generated);
        let set = rules(&["mutable /etc/a", "sealed /etc/a", "generated /etc/a"]).unwrap();
        assert_eq!(set.class_when_sealed(&path("/etc/a")), PathClass::Generated);
    }

    #[test]
    fn overlapping_patterns_are_detected_in_either_order() {
        let pattern = |text: &str| Pattern::parse(text.as_bytes()).unwrap();
        for (left, right, meet) in [
            ("/a/b", "/a/b", true),
            ("/a/b", "/a/c", false),
            ("/a/*", "/a/b", true),
            ("/a/x*", "/a/*y", true),
            ("/a/x*", "/a/y*", false),
            ("/a/?b", "/a/a?", true),
            ("/a/?b", "/a/a?c", false),
            ("/a/*ab*", "/a/*ba*", true),
            ("/a/**", "/a", false),
            ("/a/**", "/a/b/c", true),
            ("/a/b/**", "/a/**", true),
            ("/a/b/**", "/a/c/**", false),
            ("/a/**", "/a/b*", true),
        ] {
            assert_eq!(
                pattern(left).may_meet(&pattern(right)),
                meet,
                "{left} {right}"
            );
            assert_eq!(
                pattern(right).may_meet(&pattern(left)),
                meet,
                "{right} {left}"
            );
        }
    }

    #[test]
    fn later_rule_wins_whether_literal_or_wildcard() {
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
    fn seal_class_cannot_be_changed_by_declared_rules() {
        let set = rules(&[
            "critical /usr/lib/earmark/**",
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
    fn rule_beneath_state_is_refused_rather_than_ignored() {
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
    fn wildcard_match_with_many_stars_is_not_exponential() {
        assert!(!wildcard_matches(
            &b"a*".repeat(64),
            &[b'a'; 250][..].iter().map(|_| b'b').collect::<Vec<_>>()
        ));
        let many = [&b"*a".repeat(60)[..], b"*b"].concat();
        assert!(!wildcard_matches(&many, &[b'a'; 255]));
        assert!(wildcard_matches(b"*", b"") && !wildcard_matches(b"?", b""));
    }
}
