//! `[tree]`: the profile, and the rules that the declaration adds to it.

use std::{fmt, ops::Range};

use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

use crate::{
    class::{PathClass, Pattern, Rule, RuleError, RuleKind, RuleSet},
    layout,
    path::ImagePath,
    profile::{self, Profile, ReasonedRule},
};

use super::{Action, Problem, Step, text::AbsolutePath};

/// A rule of the declaration: a pattern, or a pattern and a reason.
#[derive(Debug, Clone)]
pub struct DeclaredRule {
    /// Which paths.
    pub pattern: Pattern,
    /// Why, if the owner said so.
    pub reason: Option<String>,
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
    if let Some(profile) = &tree.profile {
        rules.extend(profile.get_ref().rules().map_err(broken)?);
    }
    let of_profile = rules.len();
    for (class, declared) in [
        (PathClass::Mutable, &tree.mutable),
        (PathClass::State, &tree.state),
        (PathClass::Generated, &tree.generated),
        (PathClass::Sealed, &tree.sealed),
    ] {
        for rule in declared {
            spans.push((rule.get_ref().pattern.clone(), rule.span()));
            rules.push(rule.get_ref().reasoned(RuleKind::Class(class)));
        }
    }
    rules.extend(profile::critical_rules().map_err(broken)?);
    for rule in &tree.critical {
        spans.push((rule.get_ref().pattern.clone(), rule.span()));
        rules.push(rule.get_ref().reasoned(RuleKind::Critical));
    }
    for step in steps {
        for (kind, path) in step_rules(&step.action) {
            let pattern = Pattern::parse(path_text(path).as_bytes()).map_err(|error| Problem {
                at: step.at.clone(),
                problem: format!("'{path}': {error}"),
            })?;
            spans.push((pattern.clone(), step.at.clone()));
            let reason = format!("first-boot step '{}'", step.name);
            rules.push(ReasonedRule {
                rule: Rule { kind, pattern },
                reason,
            });
        }
    }
    match RuleSet::resolve(rules.iter().map(|rule| rule.rule.clone()).collect()) {
        Ok(set) => match steps.iter().find_map(|step| wrong_mount(&set, step)) {
            Some(problem) => Err(problem),
            None => Ok((rules, of_profile)),
        },
        Err(error) => {
            let about: Vec<&Pattern> = match &error {
                RuleError::BeneathState { rule, state, .. } => vec![rule, state],
                RuleError::StateBeneath(state) | RuleError::StateOverSeal(state) => vec![state],
                _ => vec![],
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
        path.is_ok_and(|path| path.is_beneath(mount) || mount.is_beneath(&path))
    };
    if let Some(state) = layout::AGENT_STATE.into_iter().find(|path| covers(path)) {
        return problem(format!(
            "'{mount}' is no place for a volume: the agent needs {state}"
        ));
    }
    let mut at = Some(mount.clone());
    while let Some(path) = at {
        if rules.class_of(&path) == PathClass::State {
            return None;
        }
        at = path.parent();
    }
    problem(format!(
        "'{mount}' is sealed: a volume is mounted on a path of [tree] state"
    ))
}

/// What a step writes may change, and what it runs or reads must be good before it does.
fn step_rules(action: &Action) -> Vec<(RuleKind, &ImagePath)> {
    match action {
        Action::File { path, template, .. } => {
            vec![
                (RuleKind::Class(PathClass::Rendered), path),
                (RuleKind::Critical, template),
            ]
        }
        Action::Command { executable, .. } => vec![(RuleKind::Critical, executable)],
        Action::Hostname { .. } | Action::Unit { .. } | Action::Volume { .. } => Vec::new(),
    }
}

/// The raw bytes of a path that came from TOML, and so is UTF-8.
fn path_text(path: &ImagePath) -> String {
    format!("/{}", String::from_utf8_lossy(path.as_bytes()))
}

impl DeclaredRule {
    fn reasoned(&self, kind: RuleKind) -> ReasonedRule {
        let reason = self.reason.clone().unwrap_or_else(|| "declared".to_owned());
        ReasonedRule {
            rule: Rule {
                kind,
                pattern: self.pattern.clone(),
            },
            reason,
        }
    }
}

impl<'de> Deserialize<'de> for DeclaredRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RuleVisitor)
    }
}

/// `"/path"` or `{ path = "/path", reason = "…" }`.
struct RuleVisitor;

impl<'de> de::Visitor<'de> for RuleVisitor {
    type Value = DeclaredRule;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a path such as \"/srv/data\", or { path = \"/srv/data\", reason = \"why\" }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<DeclaredRule, E> {
        let pattern = Pattern::parse(text.as_bytes()).map_err(E::custom)?;
        Ok(DeclaredRule {
            pattern,
            reason: None,
        })
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
        Ok(DeclaredRule {
            reason,
            ..self.visit_str(&table.path)?
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleTable {
    path: String,
    reason: Option<String>,
}
