//! Class that would allow a change: the narrowest, or none.

use std::collections::{BTreeMap, BTreeSet};

use earmark_manifest::{
    class::{PathClass, Pattern, Rule, RuleKind, RuleSet},
    path::ImagePath,
};
use earmark_scan::{Doubt, ViolationKind as Kind};
use rustix::fs::FileType;

use super::{
    Proposal, Refused, Wider,
    change::{Change, Now},
    never::Never,
    tree::Tree,
};

/// Outcome for all changes: proposed or refused.
#[derive(Debug, Default)]
pub struct Judged {
    /// In the order of the paths.
    pub proposals: Vec<Learned>,
    /// Likewise.
    pub refused: Vec<(ImagePath, Refused)>,
}

/// A proposal, and the path that it is for.
#[derive(Debug)]
pub struct Learned {
    pub path: ImagePath,
    pub shown: Proposal,
    is_directory: bool,
}

/// So many single files in a directory suggest that their names are not the same everywhere.
const MANY: usize = 3;

/// Judges each change; what lies in a directory that is new is judged with that.
pub fn judge(all: &[Change], unknown: &[Doubt], tree: &Tree) -> Judged {
    let never = Never::new();
    let mut judged = Judged::default();
    let mut new_directories: BTreeSet<&ImagePath> = BTreeSet::new();
    for change in all {
        if is_beneath_any(&change.path, &new_directories) {
            continue;
        }
        let is_directory = change.now.as_ref().is_some_and(Now::is_directory);
        let mut evidence = change.evidence();
        let mut class = class_of(change, tree, &never);
        if is_directory && change.has(Kind::Added) {
            new_directories.insert(&change.path);
            let inside = beneath(all, &change.path);
            if !inside.is_empty() {
                let objects = crate::io::output::count(inside.len(), "object", "objects");
                evidence.push(format!("added: with {objects} in it"));
            }
            class = class.and_then(|class| {
                let bad = |change: &&&Change| refused_in_state(change, &never).is_some();
                if hides_something(&change.path, unknown) {
                    return Err("not all that is in it could be looked at".to_owned());
                }
                match inside.iter().find(bad) {
                    Some(bad) => Err(format!(
                        "it has {} in it, and state would allow that",
                        bad.path
                    )),
                    None => Ok(class),
                }
            });
        }
        let spelt = class.and_then(|class| {
            let pattern = spell(&change.path).ok_or("no rule can spell its name")?;
            if class == PathClass::State && !resolves(tree, &pattern) {
                return Err("a rule for something beneath it would lose its effect".to_owned());
            }
            Ok((class, pattern))
        });
        let path = change.path.to_string();
        match spelt {
            Ok((class, pattern)) => judged.proposals.push(Learned {
                path: change.path.clone(),
                shown: Proposal {
                    class,
                    path,
                    pattern,
                    evidence,
                },
                is_directory,
            }),
            Err(why) => {
                let refused = Refused {
                    path,
                    why,
                    evidence,
                };
                judged.refused.push((change.path.clone(), refused));
            }
        }
    }
    judged
}

/// The narrowest class that allows a change, or why none should.
fn class_of(change: &Change, tree: &Tree, never: &Never) -> Result<PathClass, String> {
    let refuse = |why: &str| Err(why.to_owned());
    if let Some(why) = never.why(&change.path) {
        return refuse(why);
    }
    let class = tree.rules.class_of(&change.path);
    // What is mutable was there when the image was sealed: a new path needs the class that lets it appear.
    let is_new = class == PathClass::Mutable && change.has(Kind::Added);
    if class != PathClass::Sealed && !is_new {
        return Err(format!("it is '{class}', which does not allow this"));
    }
    let recorded = tree.get(&change.path);
    if recorded.is_some_and(|recorded| recorded.is_program) {
        return refuse("it was signed as a program");
    }
    let Some(now) = &change.now else {
        return refuse("it is gone: bake the image without it, if it is not needed");
    };
    if let Some(why) = now.is_program() {
        return refuse(why);
    }
    for (kind, why) in [
        (Kind::Mount, "something is mounted over it"),
        (Kind::Type, "it is another kind of object"),
        (Kind::Device, "it is another device"),
        (Kind::Owner, "another account owns it"),
        (Kind::Xattr, "its capabilities, ACL or label changed"),
        (
            Kind::HardLink,
            "it shares its content with other names than were signed",
        ),
        (Kind::Missing, "it was gone while the root was compared"),
    ] {
        if change.has(kind) {
            return refuse(why);
        }
    }
    match (now.kind, recorded) {
        (FileType::RegularFile, None) if now.fits_generated() => Ok(PathClass::Generated),
        (FileType::RegularFile | FileType::Directory, None) => Ok(PathClass::State),
        (FileType::Symlink, None) => {
            refuse("a new link would lead to what nobody verifies: bake it")
        }
        (_, None) => refuse("a pipe, socket or device belongs into /run or a 'state' directory"),
        (FileType::Directory, Some(_)) => refuse("the mode of a signed directory changed"),
        (_, Some(recorded)) if now.mode & !recorded.mode != 0 && change.has(Kind::Mode) => {
            refuse("its mode is wider than was signed")
        }
        (_, Some(_)) => Ok(PathClass::Mutable),
    }
}

/// Returns whether anything in a directory could not be looked at, and so might be code.
fn hides_something(directory: &ImagePath, unknown: &[Doubt]) -> bool {
    unknown.iter().any(|doubt| doubt.path.is_beneath(directory))
}

/// Returns why an object must not lie in a directory that is proposed as `state`; none, if it may.
fn refused_in_state(change: &Change, never: &Never) -> Option<&'static str> {
    let program = || change.now.as_ref().and_then(Now::is_program);
    never.why(&change.path).or_else(program)
}

impl Now {
    fn is_directory(&self) -> bool {
        self.kind == FileType::Directory
    }

    fn is_program(&self) -> Option<&'static str> {
        if self.kind != FileType::RegularFile {
            None
        } else if self.mode & 0o6000 != 0 {
            Some("it runs as another account than the one that starts it")
        } else if self.mode & 0o111 != 0 || self.looks_like_program {
            Some("it is a program or script")
        } else {
            None
        }
    }

    /// Returns whether a file has what the agent asks of a `generated` file that appears.
    fn fits_generated(&self) -> bool {
        self.is_of_root && self.is_plain && self.mode & !0o755 == 0
    }
}

/// `state` for directories in which many single files changed.
pub fn wider(judged: &Judged, unknown: &[Doubt], tree: &Tree) -> Vec<Wider> {
    let never = Never::new();
    let mut directories: BTreeMap<ImagePath, usize> = BTreeMap::new();
    for proposal in judged.proposals.iter().filter(|one| !one.is_directory) {
        let parent = proposal.path.parent().unwrap_or_default();
        *directories.entry(parent).or_default() += 1;
    }
    let mut wider = Vec::new();
    for (directory, instead_of) in directories.into_iter().filter(|(_, count)| *count >= MANY) {
        // `/etc` itself is no directory of one program's.
        let is_deep = directory.as_bytes().contains(&b'/');
        let is_bad = judged
            .refused
            .iter()
            .any(|(path, _)| path.is_beneath(&directory))
            || hides_something(&directory, unknown)
            || never.why(&directory).is_some()
            || tree
                .beneath(&directory)
                .any(|one| one.is_program || never.why(&one.path).is_some());
        let Some(pattern) = spell(&directory).filter(|_| is_deep && !is_bad) else {
            continue;
        };
        if !resolves(tree, &pattern) {
            continue;
        }
        let is_proposed: BTreeSet<&ImagePath> =
            judged.proposals.iter().map(|one| &one.path).collect();
        let left = tree.beneath(&directory).filter(|one| {
            one.class == PathClass::Sealed
                && one.path != directory
                && !is_proposed.contains(&one.path)
        });
        wider.push(Wider {
            pattern,
            instead_of,
            unverified: left.count(),
        });
    }
    wider
}

/// The path as a rule has it, if one can. A byte that TOML cannot hold, or that a pattern reads otherwise, becomes
/// `?`, which stands for any one byte.
fn spell(path: &ImagePath) -> Option<String> {
    let mut text = String::from("/");
    for chunk in path.as_bytes().utf8_chunks() {
        text.push_str(&chunk.valid().replace('*', "?"));
        text.extend(chunk.invalid().iter().map(|_| '?'));
    }
    let pattern = Pattern::parse(text.as_bytes()).ok()?;
    pattern.matches(path).then_some(text)
}

/// Returns whether the image's rules can be resolved with `state` for this pattern.
fn resolves(tree: &Tree, pattern: &str) -> bool {
    let Ok(pattern) = Pattern::parse(pattern.as_bytes()) else {
        return false;
    };
    let state = Rule::new(RuleKind::Class(PathClass::State), pattern);
    // Those of the seal are Earmark's own, which resolving adds.
    let rules = tree.rules.rules().iter().cloned();
    let rules = rules.filter(|rule| rule.kind != RuleKind::Class(PathClass::Seal));
    RuleSet::resolve(rules.chain([state]).collect()).is_ok()
}

fn is_beneath_any(path: &ImagePath, directories: &BTreeSet<&ImagePath>) -> bool {
    let mut at = path.parent();
    while let Some(above) = at {
        if directories.contains(&above) {
            return true;
        }
        at = above.parent();
    }
    false
}

/// The changes beneath a directory.
fn beneath<'a>(all: &'a [Change], directory: &ImagePath) -> Vec<&'a Change> {
    let start = all.partition_point(|change| change.path <= *directory);
    let rest = all.get(start..).unwrap_or_default().iter();
    rest.take_while(|change| change.path.as_bytes().starts_with(directory.as_bytes()))
        .filter(|change| change.path.is_beneath(directory))
        .collect()
}
