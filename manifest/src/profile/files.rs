//! The rules of the profiles' files, in a build that has them.

use serde::Deserialize;

use super::{FILES, Owners, Profile, ProfileError, ReasonedRule};
use crate::{
    class::{PathClass, Pattern, Rule, RuleAttributes, RuleKind, Types},
    declaration::OctalMode,
    name::AccountName,
};

/// Profiles on top of each other, at most.
const DEPTH: usize = 4;

impl Profile {
    /// Its rules, in their order, after those of the profile that it is based on.
    ///
    /// # Errors
    ///
    /// A file that does not parse: a defect of this crate, which its tests rule out.
    pub fn rules(self) -> Result<Vec<ReasonedRule>, ProfileError> {
        self.rules_within(DEPTH)
    }

    fn rules_within(self, depth: usize) -> Result<Vec<ReasonedRule>, ProfileError> {
        let fail = |problem: String| ProfileError {
            profile: self.name,
            problem,
        };
        let file = FILES.iter().find(|(name, _)| *name == self.name);
        let (_, text) = file.ok_or_else(|| fail("is no file of this build".to_owned()))?;
        let document: Document = toml::from_str(text).map_err(|error| fail(error.to_string()))?;
        // A file that was copied for another distribution and not renamed inside has that one's rules.
        if document.profile != self {
            return Err(fail("names another profile".to_owned()));
        }
        // Two profiles that are based on each other have no end but this count.
        let mut rules = match (document.base, depth.checked_sub(1)) {
            (None, _) => Vec::new(),
            (Some(base), Some(depth)) => base.rules_within(depth)?,
            (Some(_), None) => return Err(fail("is based on itself".to_owned())),
        };
        for rule in document.rule {
            let pattern = Pattern::parse(rule.path.as_bytes())
                .map_err(|error| fail(format!("'{}': {error}", rule.path)))?;
            let types = match &rule.types {
                None => None,
                Some(words) => Some(
                    Types::from_words(words.iter().map(String::as_str))
                        .ok_or_else(|| fail(format!("'{}': unknown type", rule.path)))?,
                ),
            };
            let reasoned = |class, attributes, owners| ReasonedRule {
                rule: Rule {
                    kind: RuleKind::Class(class),
                    pattern: pattern.clone(),
                    attributes,
                },
                reason: rule.reason.clone(),
                owners,
                at: 0,
            };
            let types = RuleAttributes {
                types,
                ..RuleAttributes::default()
            };
            let generated = RuleAttributes {
                mode: rule.mode.as_ref().map(|mode| mode.0),
                ..types
            };
            let owners = Owners {
                owner: rule.owner.clone(),
                group: rule.group.clone(),
                reserved: rule.reserved_gid,
            };
            match rule.class {
                Class::Mutable => {
                    // What is there keeps its type, unless it may be the one or the other.
                    let types = types.types.filter(|types| *types == Types::FILE_OR_LINK);
                    let mutable = RuleAttributes {
                        types,
                        ..RuleAttributes::default()
                    };
                    rules.push(reasoned(PathClass::Mutable, mutable, Owners::default()));
                    if rule.appears {
                        rules.push(reasoned(PathClass::Generated, generated, owners));
                    }
                }
                Class::Generated => rules.push(reasoned(PathClass::Generated, generated, owners)),
                Class::State => rules.push(reasoned(PathClass::State, types, owners)),
            }
        }
        Ok(rules)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    profile: Profile,
    /// The profile whose rules come first.
    base: Option<Profile>,
    rule: Vec<RuleDocument>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleDocument {
    class: Class,
    path: String,
    reason: String,
    /// Of `mutable`: images may also lack it when they are sealed, and get it later.
    #[serde(default)]
    appears: bool,
    #[serde(rename = "type")]
    types: Option<Vec<String>>,
    mode: Option<OctalMode>,
    owner: Option<AccountName>,
    group: Option<AccountName>,
    /// The number that the distribution reserves for `group`, where an image may lack it.
    reserved_gid: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Class {
    Generated,
    Mutable,
    State,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{class::RuleSet, path::ImagePath, profile::critical_rules};

    #[test]
    fn every_profile_resolves_and_every_rule_has_its_reason() {
        for profile in Profile::all() {
            let rules = profile.rules().unwrap();
            for rule in &rules {
                let said = rule.reason.len() >= 20 && rule.reason.ends_with('.');
                assert!(said, "{}: {}", profile.name(), rule.rule.pattern);
            }
            let all = rules
                .into_iter()
                .chain(critical_rules().unwrap())
                .map(|rule| rule.rule)
                .collect();
            RuleSet::resolve(all).unwrap();
        }
    }

    #[test]
    fn derived_profile_lists_base_rules_first() {
        let rules = |name| {
            let profile = Profile::all().find(|profile| profile.name == name);
            let rules = profile.unwrap().rules().unwrap();
            rules
                .iter()
                .map(|rule| rule.rule.clone())
                .collect::<Vec<_>>()
        };
        let (older, newer) = (rules("debian-12"), rules("debian-13"));
        assert!(newer.len() > older.len());
        assert_eq!(newer[..older.len()], older);
        // One that is based on itself has no end but this bound.
        let newer = Profile::all().find(|profile| profile.name == "debian-13");
        let within = |depth| newer.unwrap().rules_within(depth).map(|rules| rules.len());
        assert!(within(1).is_ok());
        assert!(
            within(0)
                .unwrap_err()
                .to_string()
                .contains("based on itself")
        );
    }

    #[test]
    fn no_profile_unseals_privilege_startup_or_program_paths() {
        for profile in Profile::all() {
            let rules = profile
                .rules()
                .unwrap()
                .into_iter()
                .map(|rule| rule.rule)
                .collect();
            let rules = RuleSet::resolve(rules).unwrap();
            for path in [
                "/",
                "/etc",
                "/etc/passwd",
                "/etc/shadow",
                "/etc/group",
                "/etc/sudoers",
                "/etc/sudoers.d/x",
                "/etc/systemd/system/x.service",
                "/etc/systemd/system/ssh.service.d/x.conf",
                "/etc/cron.d/x",
                "/etc/ld.so.preload",
                "/etc/ld.so.conf.d/x.conf",
                "/etc/pam.d/sshd",
                "/etc/ssh/sshd_config",
                "/etc/profile.d/x.sh",
                "/etc/rc.local",
                "/usr",
                "/usr/bin/x",
                "/usr/lib/systemd/system/x.service",
                "/usr/local/bin/x",
                "/boot/vmlinuz",
                "/etc/udev/rules.d/x.rules",
                "/etc/modprobe.d/x.conf",
                "/opt/x",
            ] {
                let path = ImagePath::from_absolute(path.as_bytes()).unwrap();
                assert_eq!(
                    rules.class_of(&path),
                    PathClass::Sealed,
                    "{} {path}",
                    profile.name()
                );
            }
        }
    }
}
