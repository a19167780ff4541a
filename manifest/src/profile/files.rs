//! The rules of the profiles' files, in a build that has them. Their reasons and sources are for who reads the files:
//! `build.rs` takes them out.

use serde::Deserialize;

use super::{FILES, Owners, Profile, ProfileError, ReasonedRule};
use crate::{
    class::{PathClass, Pattern, Rule, RuleAttributes, RuleKind, Types},
    declaration::OctalMode,
    name::AccountName,
};

/// Way in which the rules of a profile were proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// Hosts of that distribution were booted, and verified afterwards.
    Booted,
    /// Documents and sources of that distribution say so: a real image may write more.
    Documents,
}

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

    /// Way in which its own rules were proven; those of its base may be proven better.
    ///
    /// # Errors
    ///
    /// As [`Profile::rules`].
    pub fn evidence(self) -> Result<Evidence, ProfileError> {
        Ok(self.document()?.evidence)
    }

    fn fail(self, problem: String) -> ProfileError {
        ProfileError {
            profile: self.name,
            problem,
        }
    }

    fn document(self) -> Result<Document, ProfileError> {
        let file = FILES.iter().find(|(name, _)| *name == self.name);
        let (_, text) = file.ok_or_else(|| self.fail("is no file of this build".to_owned()))?;
        let document: Document =
            toml::from_str(text).map_err(|error| self.fail(error.to_string()))?;
        // A file that was copied for another distribution and not renamed inside has that one's rules.
        if document.profile != self {
            return Err(self.fail("names another profile".to_owned()));
        }
        Ok(document)
    }

    fn rules_within(self, depth: usize) -> Result<Vec<ReasonedRule>, ProfileError> {
        let fail = |problem: String| self.fail(problem);
        let document = self.document()?;
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
                reason: format!("profile {}", self.name),
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
                Class::Sealed => {
                    let sealed = RuleAttributes::default();
                    rules.push(reasoned(PathClass::Sealed, sealed, Owners::default()));
                }
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
    evidence: Evidence,
    rule: Vec<RuleDocument>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleDocument {
    class: Class,
    path: String,
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
    /// Takes back a path that a rule before frees.
    Sealed,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{class::RuleSet, path::ImagePath, profile::critical_rules};

    /// A rule as its file has it.
    #[derive(Deserialize)]
    struct Annotated {
        path: String,
        reason: String,
        /// The package and the file, or the page, that says that the host writes there.
        source: String,
    }

    /// A rule without a reason or a source is an error.
    fn annotated(profile: Profile) -> Vec<Annotated> {
        #[derive(Deserialize)]
        struct Whole {
            rule: Vec<Annotated>,
        }
        let file = format!(
            "{}/profiles/{}.toml",
            env!("CARGO_MANIFEST_DIR"),
            profile.name()
        );
        let text = std::fs::read_to_string(file).unwrap();
        let whole: Whole = toml::from_str(&text).unwrap();
        whole.rule
    }

    #[test]
    fn every_profile_resolves_and_every_rule_has_its_reason() {
        for profile in Profile::all() {
            for rule in annotated(profile) {
                let said = rule.reason.len() >= 20 && rule.reason.ends_with('.');
                assert!(said, "{}: {}", profile.name(), rule.path);
            }
            let rules = profile.rules().unwrap();
            let all = rules
                .into_iter()
                .chain(critical_rules().unwrap())
                .map(|rule| rule.rule)
                .collect();
            RuleSet::resolve(all).unwrap();
        }
    }

    #[test]
    fn every_profile_says_its_evidence_and_every_rule_its_source() {
        for profile in Profile::all() {
            let name = profile.name();
            let is_debian = name.starts_with("debian-");
            let expected = if is_debian {
                Evidence::Booted
            } else {
                Evidence::Documents
            };
            assert_eq!(profile.evidence().unwrap(), expected, "{name}");
            let rules = annotated(profile);
            assert_eq!(rules.len(), profile.document().unwrap().rule.len());
            for Annotated { path, source, .. } in rules {
                // A package and a file or page; what was seen here needs no more.
                let is_cited = source.contains(": ") || source.contains("(1)");
                assert!(
                    is_cited || is_debian && source == "booted here",
                    "{name} {path}: {source}"
                );
            }
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
                "/etc/sysconfig/x",
                "/etc/dnf/vars/awsregion",
                "/etc/selinux/config",
                "/etc/kernel/cmdline",
                "/etc/apt/sources.list.d/x.sources",
                "/snap/bin/x",
                "/snap/x/current",
                "/snap/x",
                "/var/lib/snapd/state.json",
                "/var/lib/snapd/snaps/x.snap",
                "/var/lib/snapd/apparmor/profiles/x",
                "/var/lib/snapd/dbus-1/system-services/x.service",
                "/var/lib/selinux/targeted/active/x",
                "/var/lib/sss/pubconf/krb5.include.d/x",
                "/var/lib/rpm/rpmdb.sqlite",
                "/usr/lib/sysimage/libdnf5/offline/transaction.json",
                "/var/lib/ubuntu-advantage/apt-esm/etc/apt/apt.conf.d/x",
                "/var/lib/NetworkManager/NetworkManager-intern.conf",
                "/var/lib/private/x",
            ] {
                let path = ImagePath::from_absolute(path.as_bytes()).unwrap();
                // Beneath `state` nobody looks, whatever class a path there would have.
                let mut above = std::iter::successors(Some(path.clone()), ImagePath::parent);
                assert!(
                    above.all(|above| rules.class_of(&above) != PathClass::State)
                        && rules.class_of(&path) == PathClass::Sealed,
                    "{} {path}",
                    profile.name()
                );
            }
        }
    }
}
