//! Difference from one image to the next.

mod files;
mod markdown;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use earmark_manifest::{class::PathClass, class::RuleKind};
use serde::Serialize;

pub use files::{FileChange, Group, Kind};

use crate::{
    exit::Outcome,
    inspect::{
        packages::Packages,
        render::{self, Fact, Section},
        source::{Source, Tree},
    },
};

/// A value before and after; nothing where it was not or is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Whose value.
    pub name: String,
    /// Before.
    pub old: Option<String>,
    /// After.
    pub new: Option<String>,
}

/// Everything that changed.
#[derive(Debug, Serialize)]
pub struct Difference {
    /// Description of the old side, for a heading.
    pub old: String,
    /// Description of the new side, for a heading.
    pub new: String,
    /// The part of each side that was compared.
    pub compared: Compared,
    /// Name, version, epoch, and what else the manifest says.
    pub manifest: Vec<Change>,
    /// Changes of the declaration, by section. Class rules are apart.
    pub declaration: Vec<DeclarationChange>,
    /// Class rules.
    pub rules: Vec<Change>,
    /// Versions of packages.
    pub packages: Vec<Change>,
    /// Number of files that were added.
    pub added: usize,
    /// Number of files that were removed.
    pub removed: usize,
    /// Number of files that were changed.
    pub changed: usize,
    /// Changes that give a program more than whoever runs it has.
    pub notable: Vec<FileChange>,
    /// All changed files, by package.
    pub groups: Vec<Group>,
    /// Notes about what could not be compared.
    pub notes: Vec<String>,
}

/// Extent of a difference, which never includes the files of a root.
#[derive(Debug, Serialize)]
pub struct Compared {
    /// `seals`, or `trees` if a side is a tree alone.
    pub what: &'static str,
    /// True, if the signatures were verified, which `diff` does not do.
    pub signatures: bool,
    /// The roots of the two that were not read.
    pub roots_not_read: Vec<std::path::PathBuf>,
}

impl Compared {
    fn of(sides: [&Source; 2]) -> Self {
        let trees = sides.iter().any(|source| source.manifest.is_none());
        let roots = sides.iter().filter(|source| source.root.is_some());
        Self {
            what: if trees { "trees" } else { "seals" },
            signatures: false,
            roots_not_read: roots.map(|source| source.path.clone()).collect(),
        }
    }

    /// Lines that name the parts that were not looked at, and the command that does.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "compared the {}, whose signatures were not verified",
            self.what
        )];
        for root in &self.roots_not_read {
            let root = crate::io::output::quote(root);
            lines.push(format!(
                "the root was not read: earmark verify --root {root} --trust trust.toml"
            ));
        }
        lines
    }
}

/// A change of one section.
#[derive(Debug, Serialize)]
pub struct DeclarationChange {
    /// Section that changed.
    pub section: Section,
    /// The change.
    #[serde(flatten)]
    pub change: Change,
}

/// Length at which a long difference is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// As much as a person reads.
    Short,
    /// Everything.
    All,
}

impl Difference {
    /// From `old` to `new`.
    pub fn between(old: &Source, new: &Source) -> Outcome<Self> {
        let mut notes = Vec::new();
        let (old_tree, new_tree) = (old.tree()?, new.tree()?);
        let old_packages = packages(old, &old_tree, &mut notes)?;
        let new_packages = packages(new, &new_tree, &mut notes)?;
        let files = files::compare(&old_tree.entries, &new_tree.entries);
        let (added, removed, changed) = files::count(&files);
        let versions = match (&old_packages, &new_packages) {
            (Some(old), Some(new)) => changes(old.versions(), new.versions()),
            _ => Vec::new(),
        };
        Ok(Self {
            old: title(old),
            new: title(new),
            compared: Compared::of([old, new]),
            manifest: manifest(old, new, &mut notes),
            declaration: declaration(old, new, &mut notes),
            rules: rules(&old_tree, &new_tree),
            packages: versions,
            added,
            removed,
            changed,
            notable: files.iter().filter(|file| file.notable).cloned().collect(),
            groups: files::group(files, old_packages.as_ref(), new_packages.as_ref()),
            notes,
        })
    }

    /// Returns whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.manifest.is_empty()
            && self.declaration.is_empty()
            && self.rules.is_empty()
            && self.packages.is_empty()
            && self.groups.is_empty()
    }

    /// For people.
    pub fn text(&self, length: Length) -> String {
        text::render(self, length)
    }

    /// For a review page.
    pub fn markdown(&self, length: Length) -> String {
        markdown::render(self, length)
    }
}

fn title(source: &Source) -> String {
    match &source.manifest {
        Some((statement, _)) => format!("{} {}", statement.image.name, statement.image.version),
        None => crate::io::output::quote(&source.path),
    }
}

fn packages(source: &Source, tree: &Tree, notes: &mut Vec<String>) -> Outcome<Option<Packages>> {
    let path = crate::io::output::quote(&source.path);
    let Some(root) = &source.root else {
        notes.push(format!("{path} is not a root: packages are unknown"));
        return Ok(None);
    };
    let (packages, said) = Packages::read(root, tree)?;
    notes.extend(said.into_iter().map(|note| format!("{path}: {note}")));
    Ok(packages)
}

fn manifest(old: &Source, new: &Source, notes: &mut Vec<String>) -> Vec<Change> {
    let (Some(old), Some(new)) = (&old.manifest, &new.manifest) else {
        notes.push("one side has no manifest: versions are not compared".to_owned());
        return Vec::new();
    };
    let values = |(statement, digest): &(
        earmark_manifest::statement::Statement,
        earmark_manifest::digest::ManifestDigest,
    )| {
        let image = &statement.image;
        let mut values = vec![
            ("image", image.name.to_string()),
            ("version", image.version.to_string()),
            ("epoch", image.epoch.to_string()),
            ("architecture", image.architecture.to_string()),
            ("manifest", digest.to_string()),
            ("oldest agent", statement.minimum_agent.to_string()),
        ];
        values.push((
            "command line",
            statement
                .boot
                .as_ref()
                .map_or_else(|| "not signed".to_owned(), |boot| boot.cmdline.to_string()),
        ));
        values.extend(
            statement
                .parent
                .map(|parent| ("parent", parent.to_string())),
        );
        let build = &statement.build;
        values.extend(
            build
                .revision
                .iter()
                .map(|text| ("revision", text.to_string())),
        );
        values.extend(
            build
                .builder
                .iter()
                .map(|text| ("builder", text.to_string())),
        );
        values.extend(
            build
                .time
                .map(|time| ("time", crate::io::output::utc(time))),
        );
        values
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect::<BTreeMap<_, _>>()
    };
    changes(&values(old), &values(new))
}

fn declaration(old: &Source, new: &Source, notes: &mut Vec<String>) -> Vec<DeclarationChange> {
    let (Some((old, _)), Some((new, _))) = (&old.declaration, &new.declaration) else {
        notes.push("one side has no declaration: instructions are not compared".to_owned());
        return Vec::new();
    };
    let (old, new) = (render::facts(old), render::facts(new));
    let mut all = Vec::new();
    for section in Section::ALL {
        let map = |facts: &[Fact]| {
            facts
                .iter()
                .filter(|fact| fact.section == section)
                .map(|fact| (fact.name.clone(), fact.text.clone()))
                .collect::<BTreeMap<_, _>>()
        };
        let changes = changes(&map(&old), &map(&new));
        all.extend(
            changes
                .into_iter()
                .map(|change| DeclarationChange { section, change }),
        );
    }
    // Steps run in their order: the same steps in another order are another instruction.
    let steps = |facts: &[Fact], others: &[Fact]| -> Vec<String> {
        let names = facts
            .iter()
            .filter(|fact| fact.section == Section::FirstBoot);
        names
            .filter(|fact| {
                let same = |other: &&Fact| other.section == fact.section && other.name == fact.name;
                others.iter().any(|other| same(&other))
            })
            .map(|fact| fact.name.clone())
            .collect()
    };
    let (before, after) = (steps(&old, &new), steps(&new, &old));
    if before != after {
        all.push(DeclarationChange {
            section: Section::FirstBoot,
            change: Change {
                name: "order of steps".to_owned(),
                old: Some(before.join(", ")),
                new: Some(after.join(", ")),
            },
        });
    }
    all
}

fn rules(old: &Tree, new: &Tree) -> Vec<Change> {
    let lines = |tree: &Tree| -> Vec<String> {
        let rules = tree.rules.rules().iter();
        rules
            .filter(|rule| rule.kind != RuleKind::Class(PathClass::Seal))
            .map(ToString::to_string)
            .collect()
    };
    let (old, new) = (lines(old), lines(new));
    let set = |lines: &[String]| lines.iter().cloned().collect::<BTreeSet<_>>();
    let (before, after) = (set(&old), set(&new));
    let one = |rule: &String, old: bool| Change {
        name: rule.clone(),
        old: old.then(|| rule.clone()),
        new: (!old).then(|| rule.clone()),
    };
    let mut changes: Vec<Change> = before
        .difference(&after)
        .map(|rule| one(rule, true))
        .collect();
    changes.extend(after.difference(&before).map(|rule| one(rule, false)));
    // The later of two rules wins: with the same rules in another order a class may be another.
    let common = |lines: &[String]| -> Vec<String> {
        let common = lines
            .iter()
            .filter(|rule| before.contains(*rule) && after.contains(*rule));
        common.cloned().collect()
    };
    if common(&old) != common(&new) {
        changes.push(Change {
            name: "order of rules".to_owned(),
            old: None,
            new: Some("changed, and of two rules the later wins".to_owned()),
        });
    }
    changes
}

fn changes(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<Change> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names
        .into_iter()
        .filter(|name| old.get(*name) != new.get(*name))
        .map(|name| Change {
            name: name.clone(),
            old: old.get(name).cloned(),
            new: new.get(name).cloned(),
        })
        .collect()
}

#[cfg(test)]
mod tests;
