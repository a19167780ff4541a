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
    Violation, ViolationKind,
    check::Check,
    hash::Job,
    judge::Judge,
    rendered::{self, RenderedFile, RenderedFiles},
    walk::{Seen, Walked},
};

/// What a comparison found.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) violations: Vec<Violation>,
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
    rendered: &RenderedFiles,
    hand_out: &mut dyn FnMut(Check<'a>),
) -> Result<Comparison, TreeError> {
    let mut comparer = Comparer {
        walked,
        rendered,
        top: Owner {
            mode: 0o755,
            uid: 0,
            gid: 0,
        },
        groups: BTreeMap::new(),
        rendered_seen: BTreeSet::new(),
        violations: Vec::new(),
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
        files_read: comparer.files_read,
        bytes_read: comparer.bytes_read,
        unread: comparer.unread,
    })
}

struct Comparer<'a, 'r> {
    walked: &'a Walked,
    rendered: &'r RenderedFiles,
    /// The owner of the root directory.
    top: Owner,
    groups: BTreeMap<LinkGroup, Group<'a>>,
    /// Recorded rendered files that are there.
    rendered_seen: BTreeSet<&'a ImagePath>,
    violations: Vec<Violation>,
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
        if let Some(file) = self.rendered_file(entry.class, &entry.path) {
            return self.check_rendered(seen, &file);
        }
        let to_compare = Judge::of(seen, &mut self.violations).recorded(entry);
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
            let verity = seen.stat.verity.then(|| Box::new(content.verity));
            let xattrs = entry.xattrs.clone().into();
            self.check(Check::new(seen, content.sha256, verity, xattrs));
        } else {
            self.unread = self.unread.saturating_add(1);
        }
    }

    fn unrecorded(&mut self, seen: Option<&'a Seen>) {
        let Some(seen) = seen else { return };
        match self.rendered_file(seen.class, &seen.path) {
            Some(file) => self.check_rendered(seen, &file),
            None if self.is_being_rendered(seen) => {}
            None => Judge::of(seen, &mut self.violations).unrecorded(&self.top),
        }
    }

    /// What a power cut left of a step that was writing into this directory.
    fn is_being_rendered(&self, seen: &Seen) -> bool {
        let directory = seen.path.parent();
        seen.stat.file_type().is_file()
            && seen.path.as_bytes().rsplit(|byte| *byte == b'/').next() == Some(rendered::TEMPORARY)
            && self
                .rendered
                .iter()
                .any(|(path, file)| file.pending && path.parent() == directory)
    }

    fn missing(&mut self, entry: &Entry) {
        // State comes and goes; and what could not be looked at is in doubt, not missing.
        let in_doubt = || {
            self.walked
                .doubts
                .iter()
                .any(|doubt| entry.path.is_beneath(&doubt.path))
        };
        if entry.class != PathClass::State && !in_doubt() {
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
        let rendered = self.rendered;
        for (path, file) in rendered {
            let in_doubt = |doubt: &crate::Doubt| path.is_beneath(&doubt.path);
            let told = self
                .violations
                .iter()
                .any(|violation| violation.path == *path);
            if !file.pending
                && !told
                && !self.rendered_seen.contains(path)
                && !self.walked.doubts.iter().any(in_doubt)
            {
                let expected = "the file that a first-boot step wrote".to_owned();
                self.violation(path, ViolationKind::Missing, expected, "nothing".to_owned());
            }
        }
    }

    fn rendered_file(&self, class: PathClass, path: &ImagePath) -> Option<RenderedFile> {
        (class == PathClass::Rendered).then(|| self.rendered.get(path).copied())?
    }

    fn check_rendered(&mut self, seen: &'a Seen, file: &RenderedFile) {
        self.rendered_seen.insert(&seen.path);
        if file.pending && seen.stat.file_type().is_file() {
            return;
        }
        if Judge::of(seen, &mut self.violations).rendered(file) {
            self.check(Check::new(seen, file.sha256, None, Box::default()));
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
        for Group { first, names, .. } in std::mem::take(&mut self.groups).into_values() {
            if first.stat.links != names {
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
