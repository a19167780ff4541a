//! Compares what a walk met with a signed tree: both are in the order of their paths, so that one
//! pass over each tells what is added, missing and different.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use earmark_manifest::{
    class::PathClass,
    declaration::Gate,
    entry::{Entry, LinkGroup, Node, Owner},
    path::ImagePath,
    tree::TreeError,
};

use crate::{
    Doubt, Violation, ViolationKind,
    check::Check,
    hash::Job,
    judge::Judge,
    rendered::{self, Content, Expected, Held, Terms},
    walk::{Seen, Walked},
};

/// What a comparison found.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) violations: Vec<Violation>,
    pub(crate) doubts: Vec<Doubt>,
    /// Files of which the host's own record says what they are.
    pub(crate) on_host_word: u64,
    /// Files that were handed out to be read, and the bytes in them.
    pub(crate) files_read: u64,
    pub(crate) bytes_read: u64,
    /// Regular files whose content is recorded and was left for later.
    pub(crate) unread: u64,
}

/// Whether a verification with this gate reads the content of a regular file.
pub(crate) fn reads(gate: Gate, class: PathClass, is_critical: impl FnOnce() -> bool) -> bool {
    match (gate, class) {
        (Gate::Signature, _) => false,
        // Rendered files are few, and their record is at hand.
        (_, PathClass::Rendered) | (Gate::Full, PathClass::Sealed) => true,
        (Gate::Critical, PathClass::Sealed) => is_critical(),
        _ => false,
    }
}

/// Compares, and hands out each file whose content is to be read as soon as that is known. `Err` is
/// a signed tree that cannot be read to its end.
pub(crate) fn compare<'a>(
    tree: &mut dyn Iterator<Item = Result<Entry, TreeError>>,
    walked: &'a Walked,
    terms: &Terms<'_>,
    hand_out: &mut dyn FnMut(Check<'a>),
) -> Result<Comparison, TreeError> {
    let mut comparer = Comparer {
        walked,
        terms,
        top: Owner {
            mode: 0o755,
            uid: 0,
            gid: 0,
        },
        groups: BTreeMap::new(),
        hidden_names: BTreeMap::new(),
        rendered_seen: BTreeSet::new(),
        violations: Vec::new(),
        doubts: Vec::new(),
        on_host_word: 0,
        hand_out,
        files_read: 0,
        bytes_read: 0,
        unread: 0,
    };
    let mut seen = walked.seen.iter().peekable();
    for entry in tree {
        let entry = entry?;
        if let (true, Some(owner)) = (entry.path.is_root(), entry.owner) {
            comparer.top = owner;
        }
        loop {
            match seen.peek().map(|seen| seen.path.cmp(&entry.path)) {
                Some(Ordering::Less) => comparer.unrecorded(seen.next()),
                Some(Ordering::Equal) => {
                    comparer.recorded(&entry, seen.next());
                    break;
                }
                Some(Ordering::Greater) | None => {
                    comparer.missing(&entry);
                    break;
                }
            }
        }
    }
    seen.for_each(|seen| comparer.unrecorded(Some(seen)));
    comparer.finish_groups();
    comparer.missing_rendered();
    Ok(Comparison {
        violations: comparer.violations,
        doubts: comparer.doubts,
        on_host_word: comparer.on_host_word,
        files_read: comparer.files_read,
        bytes_read: comparer.bytes_read,
        unread: comparer.unread,
    })
}

struct Comparer<'a, 'r> {
    walked: &'a Walked,
    terms: &'r Terms<'r>,
    /// The owner of the root directory.
    top: Owner,
    groups: BTreeMap<LinkGroup, Group<'a>>,
    /// Signed names of a group that could not be looked at: they may be there or not.
    hidden_names: BTreeMap<LinkGroup, u32>,
    /// Recorded rendered files that are there.
    rendered_seen: BTreeSet<&'a ImagePath>,
    violations: Vec<Violation>,
    doubts: Vec<Doubt>,
    on_host_word: u64,
    hand_out: &'r mut dyn FnMut(Check<'a>),
    files_read: u64,
    bytes_read: u64,
    unread: u64,
}

/// Names that must share one inode.
struct Group<'a> {
    first: &'a Seen,
    names: u32,
    /// One of the names is to be read.
    is_read: bool,
}

impl<'a> Comparer<'a, '_> {
    fn recorded(&mut self, entry: &Entry, seen: Option<&'a Seen>) {
        let Some(seen) = seen else { return };
        if let Some(expected) = self.expected(entry.class, &entry.path) {
            return self.check_rendered(seen, &expected, Some(entry));
        }
        let rules = self.terms.rules;
        let to_compare = Judge::of(seen, &mut self.violations).recorded(entry, rules);
        let Node::Regular(Some(content)) = &entry.node else {
            return;
        };
        // The walk leaves the attributes of exactly the files that are to be read.
        let is_read = seen.xattrs.is_none();
        let elsewhere = match content.links {
            Some(group) => self.read_by_another_name(group, seen, is_read && to_compare),
            None if seen.stat.links == 1 => false,
            None => {
                let found = format!("{} names", seen.stat.links);
                self.violation(
                    &entry.path,
                    ViolationKind::HardLink,
                    "one name".to_owned(),
                    found,
                );
                false
            }
        };
        if !to_compare || elsewhere {
            return;
        }
        if is_read {
            let is_enforced = seen.stat.verity && self.terms.believes_kernel;
            let verity = is_enforced.then(|| Box::new(content.verity));
            let xattrs = entry.xattrs.clone().into();
            self.check(Check::new(seen, content.sha256, verity, xattrs));
        } else {
            self.unread = self.unread.saturating_add(1);
        }
    }

    fn unrecorded(&mut self, seen: Option<&'a Seen>) {
        let Some(seen) = seen else { return };
        if let Some(expected) = self.expected(seen.class, &seen.path) {
            self.check_rendered(seen, &expected, None);
        } else if self.is_being_rendered(seen) {
            self.on_host_word = self.on_host_word.saturating_add(1);
            self.check_attributes(seen);
        } else {
            let rules = self.terms.rules;
            Judge::of(seen, &mut self.violations).unrecorded(&self.top, rules);
        }
    }

    /// Whether this is what a power cut left of a step that was writing into this directory.
    fn is_being_rendered(&self, seen: &Seen) -> bool {
        let name = seen.path.as_bytes().rsplit(|byte| *byte == b'/').next();
        seen.class == PathClass::Sealed && name == Some(rendered::TEMPORARY) && {
            let directory = seen.path.parent().unwrap_or_default();
            Judge::is_unfinished(seen, &self.terms.unfinished(&directory, &self.top))
        }
    }

    fn missing(&mut self, entry: &Entry) {
        // State comes and goes; and what could not be looked at is in doubt, not missing.
        let in_doubt = || {
            self.walked
                .doubts
                .iter()
                .any(|doubt| entry.path.is_beneath(&doubt.path))
        };
        if in_doubt() {
            if let Node::Regular(Some(content)) = &entry.node
                && let Some(group) = content.links
            {
                let names = self.hidden_names.entry(group).or_default();
                *names = names.saturating_add(1);
            }
        } else if entry.class != PathClass::State {
            let expected = entry.node.kind().to_owned();
            self.violation(
                &entry.path,
                ViolationKind::Missing,
                expected,
                "nothing".to_owned(),
            );
        }
    }

    /// The walk alone does not tell that a file is gone which the tree has no entry of.
    fn missing_rendered(&mut self) {
        let terms = self.terms;
        for (path, expected) in terms.all_expected() {
            let in_doubt = |doubt: &Doubt| path.is_beneath(&doubt.path);
            let told = self
                .violations
                .iter()
                .any(|violation| violation.path == *path);
            if told || self.rendered_seen.contains(path) || self.walked.doubts.iter().any(in_doubt)
            {
                continue;
            }
            match expected.content {
                Content::Written(_) => {
                    let expected = "the file that a first-boot step wrote".to_owned();
                    self.violation(path, ViolationKind::Missing, expected, "nothing".to_owned());
                }
                Content::CutShort => self.doubts.push(rendered::cut_short(path)),
                // The step that follows makes it; or a doubt is told already.
                Content::BeingWritten | Content::Unknown => {}
            }
        }
    }

    fn expected(&self, class: PathClass, path: &ImagePath) -> Option<Expected> {
        (class == PathClass::Rendered).then(|| self.terms.expected(path))?
    }

    fn check_rendered(&mut self, seen: &'a Seen, expected: &Expected, entry: Option<&Entry>) {
        self.rendered_seen.insert(&seen.path);
        let held = Held::judge(seen, expected, entry, &mut self.violations);
        if matches!(held, Held::Content(_) | Held::Attributes) {
            self.on_host_word = self.on_host_word.saturating_add(1);
        }
        match held {
            Held::Done => {}
            Held::Content(sha256) => self.check(Check::rendered(seen, Some(sha256))),
            Held::Attributes => self.check_attributes(seen),
            Held::Doubt(doubt) => self.doubts.push(doubt),
        }
    }

    /// The walk leaves the attributes of files that this gate reads.
    fn check_attributes(&mut self, seen: &'a Seen) {
        if seen.xattrs.is_none() {
            (self.hand_out)(Check::rendered(seen, None));
        }
    }

    /// Whether this name's content is read by another name of its group, as it is the same. If not,
    /// and it `is_read`, it now stands for the others.
    fn read_by_another_name(&mut self, group: LinkGroup, seen: &'a Seen, is_read: bool) -> bool {
        let new = Group {
            first: seen,
            names: 0,
            is_read: false,
        };
        let known = self.groups.entry(group).or_insert(new);
        known.names = known.names.saturating_add(1);
        let first = known.first;
        if (first.stat.device, first.stat.inode) != (seen.stat.device, seen.stat.inode) {
            let expected = format!("the same file as {}", first.path);
            let found = "a file of its own".to_owned();
            self.violation(&seen.path, ViolationKind::HardLink, expected, found);
            // A copy has content of its own, which nothing else vouches for.
            return false;
        }
        let elsewhere = known.is_read;
        known.is_read |= is_read;
        elsewhere
    }

    fn check(&mut self, check: Check<'a>) {
        self.files_read = self.files_read.saturating_add(1);
        self.bytes_read = self.bytes_read.saturating_add(check.seen().stat.size);
        (self.hand_out)(check);
    }

    fn finish_groups(&mut self) {
        for (group, Group { first, names, .. }) in std::mem::take(&mut self.groups) {
            // A name that could not be looked at is a doubt, which is told, and no violation.
            let hidden = self.hidden_names.get(&group).copied().unwrap_or_default();
            let most = names.saturating_add(hidden);
            if !(names..=most).contains(&first.stat.links) {
                let found = format!("{} names", first.stat.links);
                self.violation(
                    &first.path,
                    ViolationKind::HardLink,
                    format!("{names} names"),
                    found,
                );
            }
        }
    }

    fn violation(
        &mut self,
        path: &ImagePath,
        kind: ViolationKind,
        expected: String,
        found: String,
    ) {
        self.violations.push(Violation {
            path: path.clone(),
            kind,
            expected,
            found,
        });
    }
}
