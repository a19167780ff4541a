//! `[tree]`: the profile, and the rules that the declaration adds to it.

use std::{fmt, ops::Range};

use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

use crate::{
    class::{PathClass, Pattern, Rule, RuleAttributes, RuleError, RuleKind, RuleSet, Types},
    layout,
    name::AccountName,
    path::ImagePath,
    profile::{self, Owners, Profile, ReasonedRule},
};

use super::{Action, OctalMode, Problem, Step, effect, text::AbsolutePath};

/// A rule of the declaration: a pattern, or a table with a pattern, a reason, and what such a path may be.
#[derive(Debug, Clone)]
pub struct DeclaredRule {
    /// Paths that the rule is for.
    pub pattern: Pattern,
    /// Reason, if the owner gave one.
    pub reason: Option<String>,
    /// Types and mode that the path may have.
    pub attributes: RuleAttributes,
    /// Accounts that it may belong to.
    pub owners: Owners,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TreeDocument {
    pub(super) profile: Option<Spanned<Profile>>,
    #[serde(default)]
    pub(super) mounts: Vec<AbsolutePath>,
    #[serde(default)]
    mutable: Vec<Spanned<DeclaredRule>>,
    #[serde(default)]
    state: Vec<Spanned<DeclaredRule>>,
    #[serde(default)]
    generated: Vec<Spanned<DeclaredRule>>,
    #[serde(default)]
    sealed: Vec<Spanned<DeclaredRule>>,
    #[serde(default)]
    critical: Vec<Spanned<DeclaredRule>>,
}

/// All rules in their order: the profile's, the declaration's, the steps', and what is critical.
///
/// Of the declaration's own rules `sealed` comes last, so that it can take back what a wider rule
/// gave away. Beside them, how many of them are the profile's.
pub(super) fn collect(
    tree: &TreeDocument,
    steps: &[Step],
) -> Result<(Vec<ReasonedRule>, usize), Problem> {
    let mut rules = Vec::new();
    let mut spans: Vec<(Pattern, Range<usize>)> = Vec::new();
    let at = tree.profile.as_ref().map_or(0..0, Spanned::span);
    let broken = |error: profile::ProfileError| Problem {
        at: at.clone(),
        problem: error.to_string(),
    };
    let known = match &tree.profile {
        Some(profile) => profile.get_ref().known_rules().map_err(broken)?,
        None => Some(Vec::new()),
    };
    // A reader without the profile's rules cannot judge what the others add to them: it leaves that to the signer, who
    // had them, and to the signed tree, whose rules are whole.
    let is_whole = known.is_some();
    rules.extend(known.unwrap_or_default());
    let of_profile = rules.len();
    for (class, declared) in [
        (PathClass::Mutable, &tree.mutable),
        (PathClass::State, &tree.state),
        (PathClass::Generated, &tree.generated),
        (PathClass::Sealed, &tree.sealed),
    ] {
        for rule in declared {
            spans.push((rule.get_ref().pattern.clone(), rule.span()));
            rules.push(
                rule.get_ref()
                    .reasoned(RuleKind::Class(class), &rule.span()),
            );
        }
    }
    // `critical` is no class: that these come behind `sealed` lets go of nothing, and takes nothing back.
    rules.extend(profile::critical_rules().map_err(broken)?);
    for rule in &tree.critical {
        spans.push((rule.get_ref().pattern.clone(), rule.span()));
        rules.push(rule.get_ref().reasoned(RuleKind::Critical, &rule.span()));
    }
    // Last, so that a `sealed` over a whole directory does not make a violation of what a step writes there. One that
    // names the very path is refused as without effect.
    for step in steps {
        for (kind, path, attributes, owners) in step_rules(&step.action) {
            let pattern = Pattern::parse(path_text(path).as_bytes()).map_err(|error| Problem {
                at: step.at.clone(),
                problem: format!("'{path}': {error}"),
            })?;
            spans.push((pattern.clone(), step.at.clone()));
            let reason = format!("first-boot step '{}'", step.name);
            rules.push(ReasonedRule {
                rule: Rule {
                    kind,
                    pattern,
                    attributes,
                },
                reason,
                owners,
                at: step.at.start,
            });
        }
    }
    match RuleSet::resolve(rules.iter().map(|rule| rule.rule.clone()).collect()) {
        Ok(_) if !is_whole => Ok((rules, of_profile)),
        Ok(set) => {
            let wrong = steps.iter().find_map(|step| wrong_mount(&set, step));
            match wrong.or_else(|| effect::without(&rules, of_profile, &set)) {
                Some(problem) => Err(problem),
                None => Ok((rules, of_profile)),
            }
        }
        Err(error) => {
            let about: Vec<&Pattern> = match &error {
                // In this order: the state rule may be the profile's, which has no line here.
                RuleError::BeneathState { rule, state, .. } => vec![rule, state],
                RuleError::StateBeneath(rule)
                | RuleError::StateOverSeal(rule)
                | RuleError::Attributes { rule, .. }
                | RuleError::LetsGo { rule, .. } => vec![rule],
                RuleError::NoOwner(_)
                | RuleError::Pattern(..)
                | RuleError::Seal
                | RuleError::TooMany
                | RuleError::Unreadable(_) => vec![],
            };
            let span = about
                .iter()
                .find_map(|pattern| spans.iter().find(|(of, _)| of == *pattern));
            Err(Problem {
                at: span.map_or(at, |(_, span)| span.clone()),
                problem: error.to_string(),
            })
        }
    }
}

/// A volume that is mounted over what is sealed would make each verification fail from then on, and
/// one over the agent's own state would hide that first boot has been.
fn wrong_mount(rules: &RuleSet, step: &Step) -> Option<Problem> {
    let Action::Volume { mount, .. } = &step.action else {
        return None;
    };
    let problem = |problem| {
        Some(Problem {
            at: step.at.clone(),
            problem,
        })
    };
    let covers = |path: &str| {
        let path = ImagePath::from_absolute(path.as_bytes());
        // Above, too: a volume on /var/lib hides the journal of first boot, and each boot would be a first one.
        path.is_ok_and(|path| path.is_beneath(mount) || mount.is_beneath(&path))
    };
    if let Some(state) = layout::AGENT_STATE.into_iter().find(|path| covers(path)) {
        return problem(format!(
            "'{mount}' cannot hold a volume: the agent needs {state}"
        ));
    }
    let mut at = Some(mount.clone());
    while let Some(path) = at {
        // `class_of` does not know of what lies beneath state: each directory above is asked.
        if rules.class_of(&path) == PathClass::State {
            return None;
        }
        at = path.parent();
    }
    problem(format!(
        "'{mount}' is sealed: expected a path of [tree] state to mount the volume on"
    ))
}

/// The rules of a step: what it writes may change, and what it runs or reads must be good before it does.
fn step_rules(action: &Action) -> Vec<(RuleKind, &ImagePath, RuleAttributes, Owners)> {
    let critical = |path| {
        let (attributes, owners) = (RuleAttributes::default(), Owners::default());
        (RuleKind::Critical, path, attributes, owners)
    };
    match action {
        Action::File {
            path,
            template,
            mode,
            owner,
            group,
        } => {
            // What may be there is signed: the host's record only says which content it has.
            let attributes = RuleAttributes {
                mode: Some(mode.0),
                ..RuleAttributes::default()
            };
            let owners = Owners {
                owner: Some(owner.clone()),
                group: group.clone(),
                reserved: None,
            };
            let rendered = RuleKind::Class(PathClass::Rendered);
            vec![(rendered, path, attributes, owners), critical(template)]
        }
        Action::Command { executable, .. } => vec![critical(executable)],
        Action::Hostname { .. } | Action::Unit { .. } | Action::Volume { .. } => Vec::new(),
    }
}

/// The raw bytes of a path that came from TOML, and so is UTF-8.
fn path_text(path: &ImagePath) -> String {
    // Not `Display`, which escapes: a pattern takes the bytes as they are.
    format!("/{}", String::from_utf8_lossy(path.as_bytes()))
}

impl DeclaredRule {
    fn of(pattern: Pattern) -> Self {
        Self {
            pattern,
            reason: None,
            attributes: RuleAttributes::default(),
            owners: Owners::default(),
        }
    }

    fn reasoned(&self, kind: RuleKind, at: &Range<usize>) -> ReasonedRule {
        let reason = self.reason.clone().unwrap_or_else(|| "declared".to_owned());
        // A name is no attribute yet. For a class without owners it has to be refused all the same, and
        // what refuses it only looks at attributes.
        let may_have_owner = kind == RuleKind::Class(PathClass::Generated);
        let is_named = self.owners.owner.is_some() || self.owners.group.is_some();
        let attributes = RuleAttributes {
            gid: (is_named && !may_have_owner).then_some(0),
            ..self.attributes
        };
        ReasonedRule {
            rule: Rule {
                kind,
                pattern: self.pattern.clone(),
                attributes,
            },
            reason,
            owners: self.owners.clone(),
            at: at.start,
        }
    }
}

impl<'de> Deserialize<'de> for DeclaredRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RuleVisitor)
    }
}

/// `"/path"` or `{ path = "/path", reason = "…", … }`.
struct RuleVisitor;

impl<'de> de::Visitor<'de> for RuleVisitor {
    type Value = DeclaredRule;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a path such as \"/srv/data\", or { path = \"/srv/data\", reason = \"why\" }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<DeclaredRule, E> {
        let pattern = Pattern::parse(text.as_bytes()).map_err(E::custom)?;
        Ok(DeclaredRule::of(pattern))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<DeclaredRule, A::Error> {
        let table = RuleTable::deserialize(de::value::MapAccessDeserializer::new(map))?;
        let reason = table
            .reason
            .filter(|reason| !reason.trim().is_empty() && reason.len() <= 512);
        if reason.is_none() {
            return Err(de::Error::custom(
                "a rule with a table needs a reason: 1 to 512 characters",
            ));
        }
        let types = match &table.types {
            None => None,
            Some(words) => Some(
                Types::from_words(words.iter().map(String::as_str)).ok_or_else(|| {
                    de::Error::custom(
                        "'type' expects one or more of \"file\", \"link\" and \"directory\", each once",
                    )
                })?,
            ),
        };
        Ok(DeclaredRule {
            reason,
            attributes: RuleAttributes {
                types,
                mode: table.mode.map(|mode| mode.0),
                ..RuleAttributes::default()
            },
            owners: Owners {
                owner: table.owner,
                group: table.group,
                reserved: None,
            },
            ..self.visit_str(&table.path)?
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleTable {
    path: String,
    reason: Option<String>,
    #[serde(rename = "type")]
    types: Option<Vec<String>>,
    mode: Option<OctalMode>,
    owner: Option<AccountName>,
    group: Option<AccountName>,
}
