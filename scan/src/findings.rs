//! Keeps what a verification finds, within bounds: a root can hold more wrong things than fit in memory, and
//! nobody reads a million lines.
//!
//! Everything is counted. Of each kind the first ones in the order of the paths are kept, so that a flood of one
//! kind hides no other.

use std::collections::BTreeMap;

use earmark_manifest::{entry::XattrName, path::ImagePath};

use crate::{Doubt, Violation, ViolationKind};

/// Limits on the findings that are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    /// Findings of one kind.
    of_a_kind: usize,
    /// Bytes of text in the findings of one kind: each may have a path and two values, of 16 KiB each.
    bytes: usize,
}

impl Bound {
    /// Limits for a report: as much as its reader can use.
    pub(crate) const REPORTED: Self = Self {
        of_a_kind: 1_000,
        bytes: 1024 * 1024,
    };
    /// Everything, for a program that works on all of it and trusts the root not to be hostile.
    pub(crate) const ALL: Self = Self {
        of_a_kind: usize::MAX,
        bytes: usize::MAX,
    };
}

/// Violations and doubts, counted, and the first of them.
#[derive(Debug)]
pub(crate) struct Findings {
    bound: Bound,
    violations: BTreeMap<ViolationKind, Kept<Violation>>,
    /// SELinux labels alone. Who relabels a root changes all of them, which is one thing that happened.
    labels: Kept<Violation>,
    doubts: Kept<Doubt>,
    violation_count: u64,
    doubt_count: u64,
}

/// A finding, as far as keeping it goes.
trait Finding {
    fn path(&self) -> &ImagePath;
    fn bytes(&self) -> usize;
}

impl Finding for Violation {
    fn path(&self) -> &ImagePath {
        &self.path
    }

    fn bytes(&self) -> usize {
        let path = self.path.as_bytes().len();
        path.saturating_add(self.expected.len())
            .saturating_add(self.found.len())
    }
}

impl Finding for Doubt {
    fn path(&self) -> &ImagePath {
        &self.path
    }

    fn bytes(&self) -> usize {
        let path = self.path.as_bytes().len();
        path.saturating_add(self.problem.len())
    }
}

/// The first findings of one kind, in the order of their paths and then of their coming.
#[derive(Debug)]
struct Kept<F> {
    first: BTreeMap<(ImagePath, u64), F>,
    bytes: usize,
    came: u64,
}

impl<F> Default for Kept<F> {
    fn default() -> Self {
        Self {
            first: BTreeMap::new(),
            bytes: 0,
            came: 0,
        }
    }
}

impl<F: Finding> Kept<F> {
    fn add(&mut self, finding: F, bound: Bound) {
        self.came = self.came.saturating_add(1);
        let bytes = finding.bytes();
        let is_full =
            self.first.len() >= bound.of_a_kind || self.bytes.saturating_add(bytes) > bound.bytes;
        let is_later = |last: &(ImagePath, u64)| last.0 <= *finding.path();
        if is_full && self.first.keys().next_back().is_some_and(is_later) {
            return;
        }
        self.bytes = self.bytes.saturating_add(bytes);
        let key = (finding.path().clone(), self.came);
        self.first.insert(key, finding);
        // One is kept however long it is: the first, which says why there is no better verdict.
        while self.first.len() > 1
            && (self.first.len() > bound.of_a_kind || self.bytes > bound.bytes)
        {
            if let Some((_, last)) = self.first.pop_last() {
                self.bytes = self.bytes.saturating_sub(last.bytes());
            }
        }
    }
}

impl Findings {
    pub(crate) fn new(bound: Bound) -> Self {
        Self {
            bound,
            violations: BTreeMap::new(),
            labels: Kept::default(),
            doubts: Kept::default(),
            violation_count: 0,
            doubt_count: 0,
        }
    }

    pub(crate) fn violation(&mut self, violation: Violation) {
        self.violation_count = self.violation_count.saturating_add(1);
        let kept = if is_label(&violation) {
            &mut self.labels
        } else {
            self.violations.entry(violation.kind).or_default()
        };
        kept.add(violation, self.bound);
    }

    /// Takes what a judge found, and leaves its list empty for the next one.
    pub(crate) fn take(&mut self, found: &mut Vec<Violation>) {
        for violation in found.drain(..) {
            self.violation(violation);
        }
    }

    pub(crate) fn doubt(&mut self, doubt: Doubt) {
        self.doubt_count = self.doubt_count.saturating_add(1);
        self.doubts.add(doubt, self.bound);
    }

    /// Returns whether a doubt covers `path`: its absence, then, is not known. If there are more doubts than
    /// were kept, each path is in doubt.
    pub(crate) fn casts_doubt_on(&self, path: &ImagePath) -> bool {
        self.doubts.came > u64::try_from(self.doubts.first.len()).unwrap_or(u64::MAX)
            || self
                .doubts
                .first
                .values()
                .any(|doubt| path.is_beneath(&doubt.path))
    }

    /// Violations and doubts in all; labels of a root that was relabelled are one violation.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let violations = if self.is_relabelled() {
            let others = self.violation_count.saturating_sub(self.labels.came);
            others.saturating_add(1)
        } else {
            self.violation_count
        };
        (violations, self.doubt_count)
    }

    /// Returns whether labels are told in one line: for people, where there are many.
    fn is_relabelled(&self) -> bool {
        /// Labels that are told one by one.
        const MOST: u64 = 20;
        self.bound.of_a_kind != usize::MAX && self.labels.came > MOST
    }

    /// Returns the findings that were kept, in the order of the paths.
    pub(crate) fn into_lists(self) -> (Vec<Violation>, Vec<Doubt>) {
        let is_relabelled = self.is_relabelled();
        let count = self.labels.came;
        let mut labels: Vec<Violation> = self.labels.first.into_values().collect();
        if is_relabelled && let Some(first) = labels.first().cloned() {
            labels = vec![Violation {
                path: ImagePath::root(),
                kind: ViolationKind::Xattr,
                expected: "the signed SELinux labels".to_owned(),
                found: format!(
                    "relabelled: {count} paths have others, such as {}: {}",
                    first.path, first.found
                ),
            }];
        }
        let kept = self.violations.into_values();
        let mut violations: Vec<_> = kept.flat_map(|kept| kept.first.into_values()).collect();
        violations.extend(labels);
        violations.sort_by(|a, b| (&a.path, a.kind).cmp(&(&b.path, b.kind)));
        (violations, self.doubts.first.into_values().collect())
    }
}

/// Returns whether a violation is about an `SELinux` label. Its texts are those of `judge`.
fn is_label(violation: &Violation) -> bool {
    let name = XattrName::Selinux.name();
    let is_of = |text: &str| {
        let text = text.strip_prefix("no ").unwrap_or(text);
        text.strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    violation.kind == ViolationKind::Xattr && is_of(&violation.expected) && is_of(&violation.found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ImagePath {
        ImagePath::from_absolute(text.as_bytes()).unwrap()
    }

    fn violation(at: &str, kind: ViolationKind, found: &str) -> Violation {
        Violation {
            path: path(at),
            kind,
            expected: "nothing".to_owned(),
            found: found.to_owned(),
        }
    }

    #[test]
    fn findings_flood_of_one_kind_is_counted_and_does_not_displace_others() {
        let mut findings = Findings::new(Bound::REPORTED);
        for number in (0..5_000).rev() {
            let at = format!("/srv/{number:05}");
            findings.violation(violation(&at, ViolationKind::Added, "regular file"));
        }
        findings.violation(violation("/usr/bin/su", ViolationKind::Mode, "04777"));
        assert_eq!(findings.counts(), (5_001, 0));
        let (violations, _) = findings.into_lists();
        assert_eq!(violations.len(), 1_001);
        assert_eq!(violations[0].path, path("/srv/00000"));
        assert_eq!(violations[999].path, path("/srv/00999"));
        assert_eq!(violations[1_000].kind, ViolationKind::Mode);
    }

    #[test]
    fn long_findings_are_bounded_in_bytes_but_one_is_always_retained() {
        let mut findings = Findings::new(Bound::REPORTED);
        let long = "x".repeat(300 * 1024);
        for number in 0..10 {
            findings.violation(violation(
                &format!("/{number}"),
                ViolationKind::Xattr,
                &long,
            ));
        }
        let longer = "x".repeat(2 * 1024 * 1024);
        findings.violation(violation("/0", ViolationKind::Target, &longer));
        let (violations, _) = findings.into_lists();
        let of = |kind| {
            violations
                .iter()
                .filter(move |one| one.kind == kind)
                .count()
        };
        assert_eq!(
            (of(ViolationKind::Xattr), of(ViolationKind::Target)),
            (3, 1)
        );
    }

    #[test]
    fn relabelled_root_is_one_finding_and_hides_no_other_attribute() {
        let label = |at: &str| Violation {
            path: path(at),
            kind: ViolationKind::Xattr,
            expected: "security.selinux=system_u:object_r:etc_t:s0\\x00".to_owned(),
            found: "no security.selinux".to_owned(),
        };
        let found = |bound, labels: u32| {
            let mut findings = Findings::new(bound);
            for number in 0..labels {
                findings.violation(label(&format!("/etc/{number:05}")));
            }
            let power = violation("/usr/bin/x", ViolationKind::Xattr, "security.capability=00");
            findings.violation(power);
            let counts = findings.counts();
            (findings.into_lists().0, counts.0)
        };
        // The control: a few are told one by one, and all of them to a program that asks for all.
        assert_eq!(
            (
                found(Bound::REPORTED, 20).0.len(),
                found(Bound::REPORTED, 20).1
            ),
            (21, 21)
        );
        assert_eq!(found(Bound::ALL, 5_000).0.len(), 5_001);
        let (violations, count) = found(Bound::REPORTED, 5_000);
        assert_eq!((violations.len(), count), (2, 2));
        assert!(violations[0].path.is_root() && violations[0].found.contains("5000 paths"));
        assert_eq!(violations[1].path, path("/usr/bin/x"));
    }

    #[test]
    fn unbounded_findings_retain_every_violation() {
        let mut findings = Findings::new(Bound::ALL);
        for number in 0..5_000 {
            findings.violation(violation(&format!("/{number}"), ViolationKind::Added, ""));
        }
        assert_eq!(findings.into_lists().0.len(), 5_000);
    }

    #[test]
    fn path_is_in_doubt_beneath_a_doubt_and_everywhere_once_doubts_are_dropped() {
        let mut findings = Findings::new(Bound::REPORTED);
        findings.doubt(Doubt::new(&path("/srv"), "open it", "permission denied"));
        assert!(findings.casts_doubt_on(&path("/srv/x")));
        assert!(!findings.casts_doubt_on(&path("/usr/x")));
        for number in 0..1_000 {
            let doubt = Doubt::new(&path(&format!("/a/{number}")), "open it", "EIO");
            findings.doubt(doubt);
        }
        assert!(findings.casts_doubt_on(&path("/usr/x")));
        assert_eq!(findings.counts(), (0, 1_001));
    }
}
