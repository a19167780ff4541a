//! Compares what a walk meets with a signed tree: both come in the order of their paths, so that one
//! pass over each tells what is added, missing and different, and neither is held.

mod groups;
mod rendered;

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use earmark_manifest::{
    class::PathClass,
    declaration::Gate,
    entry::{Entry, LinkGroup, Node, Owner},
    fsverity::ENFORCED_ABOVE,
    path::ImagePath,
    tree::TreeError,
};
use rustix::fs::FileType;

use self::groups::Group;
use crate::{
    Doubt, ScanError, Violation, ViolationKind,
    check::{By, Check},
    findings::Findings,
    hash::Job,
    judge::Judge,
    rendered::Terms,
    walk::{Seen, Step, Visitor, is_past, node_of},
};

/// Counts of a comparison.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// Files of which the host's own record says what they are.
    pub(crate) on_host_word: u64,
    /// Files that were handed out to be read, and the bytes in them.
    pub(crate) files_read: u64,
    pub(crate) bytes_read: u64,
    /// Regular files whose content is recorded and was left for later.
    pub(crate) unread: u64,
    /// Sealed files that lack the fs-verity that was promised.
    pub(crate) unenforced: u64,
}

/// Reason why a comparison did not finish.
#[derive(Debug)]
pub(crate) enum CompareError {
    /// The signed tree cannot be read to its end.
    Tree(TreeError),
    /// The walk as a whole failed.
    Walk(ScanError),
}

/// Names that were not signed are looked at, and what is in their directories, up to as many as were signed and
/// so many more: enough to show what came to a host, and no work without end. The others are counted.
const LOOKED_AT: u64 = 16 * 1024;
/// Doubts that are held against what seems to be missing, at a time. With more, everything is in doubt.
const DOUBTS: usize = 256;

/// Returns whether a verification with this gate reads the content of a regular file.
pub(crate) fn reads(gate: Gate, class: PathClass, is_critical: impl FnOnce() -> bool) -> bool {
    match (gate, class) {
        // Nothing is signed of the content of the classes that are named here.
        (Gate::Signature, _)
        | (_, PathClass::Mutable | PathClass::Generated | PathClass::State | PathClass::Seal) => {
            false
        }
        // Rendered files are few, and their record is at hand.
        (Gate::Critical | Gate::Full, PathClass::Rendered) | (Gate::Full, PathClass::Sealed) => {
            true
        }
        (Gate::Critical, PathClass::Sealed) => is_critical(),
    }
}

/// Compares `tree`, which has `entries`, with what `walk` meets, and hands out each file whose content is to be
/// read as soon as that is known.
pub(crate) fn compare(
    entries: u64,
    tree: &mut dyn Iterator<Item = Result<Entry, TreeError>>,
    walk: impl FnOnce(&mut dyn Visitor) -> Result<(), ScanError>,
    terms: &Terms<'_>,
    findings: &Mutex<Findings>,
    hand_out: &mut dyn FnMut(Check),
) -> Result<Comparison, CompareError> {
    let mut comparer = Comparer {
        tree,
        head: None,
        fault: None,
        terms,
        findings,
        top: Owner {
            mode: 0o755,
            uid: 0,
            gid: 0,
        },
        groups: BTreeMap::new(),
        hidden_names: BTreeMap::new(),
        rendered_seen: BTreeSet::new(),
        rendered_told: BTreeSet::new(),
        violations: Vec::new(),
        on_host_word: 0,
        doubtful: Vec::new(),
        all_is_doubtful: false,
        unsigned_left: entries.saturating_add(LOOKED_AT),
        hand_out,
        files_read: 0,
        bytes_read: 0,
        unread: 0,
        unenforced: 0,
    };
    walk(&mut comparer).map_err(CompareError::Walk)?;
    comparer.end().map_err(CompareError::Tree)?;
    Ok(Comparison {
        on_host_word: comparer.on_host_word,
        files_read: comparer.files_read,
        bytes_read: comparer.bytes_read,
        unread: comparer.unread,
        unenforced: comparer.unenforced,
    })
}

struct Comparer<'r> {
    tree: &'r mut dyn Iterator<Item = Result<Entry, TreeError>>,
    /// The next entry of the tree.
    head: Option<Entry>,
    /// Error that made the tree end early.
    fault: Option<TreeError>,
    terms: &'r Terms<'r>,
    findings: &'r Mutex<Findings>,
    /// The owner of the root directory.
    top: Owner,
    groups: BTreeMap<LinkGroup, Group>,
    /// Signed names of a group that could not be looked at: they may be there or not.
    hidden_names: BTreeMap<LinkGroup, u32>,
    /// Recorded rendered files that are there, and those with a violation.
    rendered_seen: BTreeSet<ImagePath>,
    rendered_told: BTreeSet<ImagePath>,
    /// Of the name that is being judged.
    violations: Vec<Violation>,
    on_host_word: u64,
    /// Paths that could not be looked at, as long as something beneath them may come.
    doubtful: Vec<ImagePath>,
    all_is_doubtful: bool,
    /// Names that were not signed and may still be looked at.
    unsigned_left: u64,
    hand_out: &'r mut dyn FnMut(Check),
    files_read: u64,
    bytes_read: u64,
    unread: u64,
    unenforced: u64,
}

impl Visitor for Comparer<'_> {
    fn see(&mut self, seen: Seen, _: bool) -> Step {
        loop {
            match self.peek().map(|entry| entry.path.cmp(&seen.path)) {
                Some(Ordering::Less) => self.missing(),
                Some(Ordering::Equal) => {
                    if let Some(entry) = self.head.take() {
                        self.recorded(&entry, &seen);
                        self.tell();
                    }
                    break;
                }
                // Behind a broken entry every name would pass for added.
                None if self.fault.is_some() => return Step::Stop,
                Some(Ordering::Greater) | None => return self.unsigned(&seen),
            }
        }
        self.forget_doubts_before(&seen.path);
        Step::Enter
    }

    fn doubt(&mut self, doubt: Doubt) {
        // The walk is past their place in the order: they are missing, or in an earlier doubt.
        while self.peek().is_some_and(|entry| entry.path < doubt.path) {
            self.missing();
        }
        self.forget_doubts_before(&doubt.path);
        if self.doubtful.len() < DOUBTS {
            self.doubtful.push(doubt.path.clone());
        } else {
            // How many there are is up to a hostile root: from here on nothing is missing, and all of it undecided.
            self.all_is_doubtful = true;
        }
        self.lock().doubt(doubt);
    }

    fn see_unsigned(&mut self, seen: Seen) {
        self.unsigned_left = self.unsigned_left.saturating_sub(1);
        self.unrecorded(&seen);
        let may_be_right = self.violations.is_empty() && seen.class != PathClass::State;
        self.tell();
        // Nothing says that what it holds is as it should be.
        if may_be_right && seen.stat.file_type() == FileType::Directory {
            let cause = "the directory that it lies in holds too many names";
            self.lock()
                .doubt(Doubt::new(&seen.path, "look into it", cause));
        }
    }

    fn doubt_unsigned(&mut self, doubt: Doubt) {
        // Not by `doubt`: this one is out of order, and entries that are still to come would pass for missing.
        self.lock().doubt(doubt);
    }

    fn wants_unsigned(&self) -> bool {
        self.unsigned_left > 0
    }

    fn count_unsigned(&mut self, path: &ImagePath, kind: FileType) {
        let found = node_of(kind).map_or("an unknown file type", |node| node.kind());
        let found = format!("{found}, not looked at");
        self.violation(path, ViolationKind::Added, "nothing".to_owned(), found);
        self.tell();
    }
}

impl Comparer<'_> {
    /// The next entry of the tree; nothing at its end, or where it cannot be read on.
    fn peek(&mut self) -> Option<&Entry> {
        if self.head.is_none() && self.fault.is_none() {
            match self.tree.next()? {
                Ok(entry) => {
                    if let (true, Some(owner)) = (entry.path.is_root(), entry.owner) {
                        self.top = owner;
                    }
                    self.head = Some(entry);
                }
                Err(error) => self.fault = Some(error),
            }
        }
        self.head.as_ref()
    }

    /// Ends the comparison: the entries that the walk did not come to are missing.
    fn end(&mut self) -> Result<(), TreeError> {
        while self.peek().is_some() {
            self.missing();
        }
        // Names behind the fault were not compared: no group and no rendered file is judged without them.
        if let Some(error) = self.fault.take() {
            return Err(error);
        }
        self.finish_groups();
        self.missing_rendered();
        self.tell();
        Ok(())
    }

    /// Nothing beneath them comes any more, once what comes before `path` was judged.
    fn forget_doubts_before(&mut self, path: &ImagePath) {
        self.doubtful.retain(|doubtful| !is_past(path, doubtful));
    }

    /// Tells what was found of one name.
    fn tell(&mut self) {
        if self.violations.is_empty() {
            return;
        }
        for violation in &self.violations {
            if self.terms.expected(&violation.path).is_some() {
                self.rendered_told.insert(violation.path.clone());
            }
        }
        let mut findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        findings.take(&mut self.violations);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Findings> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says of the directory that is being judged that this was all.
    fn not_looked_into(&mut self) {
        let added = |violation: &&mut Violation| violation.kind == ViolationKind::Added;
        for violation in self.violations.iter_mut().filter(added) {
            violation.found.push_str(", not looked into");
        }
    }

    /// A name that no entry is of, in its place among them.
    fn unsigned(&mut self, seen: &Seen) -> Step {
        self.forget_doubts_before(&seen.path);
        self.unrecorded(seen);
        let is_added = self
            .violations
            .iter()
            .any(|violation| violation.kind == ViolationKind::Added);
        // Only what is a violation already is cut short: what a rule lets appear is looked into, however much there is.
        let step = if is_added && self.unsigned_left == 0 {
            self.not_looked_into();
            Step::Pass
        } else {
            Step::Enter
        };
        if is_added {
            self.unsigned_left = self.unsigned_left.saturating_sub(1);
        }
        self.tell();
        step
    }

    fn recorded(&mut self, entry: &Entry, seen: &Seen) {
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
            // Another name may lie in `state`, which is not walked: a service that writes there changes this file.
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
        if self.terms.promised == Some(seen.stat.device)
            && entry.class == PathClass::Sealed
            && content.size > ENFORCED_ABOVE
            && !seen.stat.verity
        {
            self.unenforced = self.unenforced.saturating_add(1);
        }
        if is_read {
            let by = if seen.stat.verity && self.terms.believes_kernel {
                Some(By::Kernel)
            } else {
                seen.stat.sparse.then_some(By::Data)
            };
            let verity = by.map(|by| (Box::new(content.verity), by));
            let xattrs = entry.xattrs.clone().into();
            self.check(Check::new(seen, content.sha256, verity, xattrs));
        } else {
            self.unread = self.unread.saturating_add(1);
        }
    }

    fn unrecorded(&mut self, seen: &Seen) {
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

    /// The next entry is not there, or nothing could tell.
    fn missing(&mut self) {
        let Some(entry) = self.head.take() else {
            return;
        };
        // State comes and goes; and what could not be looked at is in doubt, not missing.
        let in_doubt = self.all_is_doubtful
            || self
                .doubtful
                .iter()
                .any(|doubt| entry.path.is_beneath(doubt));
        if in_doubt {
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
            self.tell();
        }
    }

    fn check(&mut self, check: Check) {
        self.files_read = self.files_read.saturating_add(1);
        self.bytes_read = self.bytes_read.saturating_add(check.sought().stat.size);
        (self.hand_out)(check);
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
