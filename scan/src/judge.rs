//! Judges one name: what is there against what was signed, by its class.

use earmark_manifest::{
    class::{PathClass, RuleAttributes, RuleSet, Types},
    entry::{Entry, Node, Owner, Xattr, XattrName},
    escape::Escaped,
    layout,
    path::ImagePath,
};
use rustix::fs::FileType;

use crate::{Violation, ViolationKind, rendered, walk::Seen};

/// Collects violations of one path.
pub(crate) struct Judge<'a> {
    seen: &'a Seen,
    violations: &'a mut Vec<Violation>,
}

impl<'a> Judge<'a> {
    pub(crate) fn of(seen: &'a Seen, violations: &'a mut Vec<Violation>) -> Self {
        Self { seen, violations }
    }

    /// A name that is in the tree. Returns whether its content is still to be compared.
    pub(crate) fn recorded(mut self, entry: &Entry, rules: &RuleSet) -> bool {
        let became = self.became(entry, rules);
        if became.is_none() && !self.same_type(&entry.node) {
            return false;
        }
        // A bind mount of a file over a mutable one only changes its content, which it may.
        let harmless = entry.class == PathClass::State
            || (entry.class == PathClass::Mutable && !matches!(entry.node, Node::Directory));
        if self.seen.stat.mount && !harmless {
            self.violation(
                ViolationKind::Mount,
                "nothing mounted here",
                "a mount over it",
            );
            return false;
        }
        match (entry.class, &entry.owner) {
            (PathClass::Mutable, Some(owner)) => {
                self.same_owner(owner);
                // A link's own mode is no mode for a file in its place.
                let mode = became.map_or(owner.mode, |_| owner.mode & 0o644);
                self.no_wider_mode(&Owner { mode, ..*owner });
                self.alone_and_powerless();
                false
            }
            (_, Some(owner)) => {
                self.same_owner(owner);
                self.same_mode(owner);
                self.same_xattrs(&entry.xattrs);
                self.same_node(&entry.node)
            }
            (_, None) => false,
        }
    }

    /// The types that a mutable path may have, if it has another one of these than was sealed.
    fn became(&self, entry: &Entry, rules: &RuleSet) -> Option<Types> {
        if entry.class != PathClass::Mutable {
            return None;
        }
        let found = self.seen.bare_node()?;
        let types = rules.attributes_of(&entry.path, entry.class).types?;
        let is_other = found.letter() != entry.node.letter();
        (is_other && types.has(&found) && types.has(&entry.node)).then_some(types)
    }

    /// A name that is not in the tree, and whose class may let it appear. `top` is the owner of the
    /// root directory: root, on a real host.
    pub(crate) fn unrecorded(mut self, top: &Owner, rules: &RuleSet) {
        let seen = self.seen;
        match seen.class {
            // A link would lead whoever uses the path to somewhere that is not state.
            PathClass::State if seen.stat.file_type() == FileType::Symlink => {
                self.violation(ViolationKind::Type, "a directory or file", "symbolic link");
            }
            PathClass::State => {}
            PathClass::Generated => {
                self.generated(top, &rules.attributes_of(&seen.path, seen.class));
            }
            PathClass::Seal => self.seal(top),
            // What is mutable was there when the image was sealed, and in the tree.
            PathClass::Sealed | PathClass::Mutable | PathClass::Rendered => {
                let found = seen
                    .bare_node()
                    .map_or("an unknown file type", |node| node.kind());
                self.violation(ViolationKind::Added, "nothing", found);
            }
        }
    }

    /// A path that a rule lets appear, with what the rule says of it.
    fn generated(&mut self, top: &Owner, rule: &RuleAttributes) {
        let found = self.seen.bare_node();
        match rule.types {
            None => {
                if !self.is_regular() {
                    return;
                }
            }
            Some(types) if found.as_ref().is_some_and(|found| types.has(found)) => {}
            Some(types) => {
                let found = found.map_or("an unknown file type", |node| node.kind());
                return self.violation(ViolationKind::Type, types.to_string(), found);
            }
        }
        // Over a file it changes content, which is free here; over a directory it brings names that no rule let in.
        if self.seen.stat.mount && self.seen.stat.file_type() == FileType::Directory {
            return self.violation(
                ViolationKind::Mount,
                "nothing mounted here",
                "a mount over it",
            );
        }
        let owner = Owner {
            // No set-id bit, and nobody but the owner writes: what may appear must give nobody powers.
            mode: rule.mode.unwrap_or(0o755),
            uid: rule.uid.unwrap_or(top.uid),
            gid: rule.gid.unwrap_or(top.gid),
        };
        // Root's own group gives nobody anything, and what makes the file may not know the other one.
        let roots = Owner {
            gid: top.gid,
            ..owner
        };
        let is_roots = self.seen.stat.owner().gid == top.gid;
        self.same_owner(if is_roots { &roots } else { &owner });
        self.no_wider_mode(&owner);
        self.alone_and_powerless();
    }

    /// A file that a first-boot step wrote: of one of these owners and modes, the first of which is
    /// told if there is another. Returns whether its content is still to be compared.
    pub(crate) fn rendered(mut self, owners: &[Owner], bound: Option<u64>) -> bool {
        if !self.is_regular() {
            return false;
        }
        if self.seen.stat.mount {
            self.violation(
                ViolationKind::Mount,
                "nothing mounted here",
                "a mount over it",
            );
            return false;
        }
        let found = self.seen.stat.owner();
        // Owner and mode as a whole: the sealed mode with the step's owner is neither.
        if let (Some(owner), false) = (owners.first(), owners.contains(&found)) {
            self.same_owner(owner);
            self.same_mode(owner);
        }
        if let Some(bound) = bound.filter(|bound| self.seen.stat.size > *bound) {
            let found = format!("{} bytes", self.seen.stat.size);
            self.violation(ViolationKind::Size, format!("at most {bound} bytes"), found);
        }
        self.alone_and_powerless();
        true
    }

    /// Returns whether a file is what an interrupted step may leave beside the file that it writes: whole or not,
    /// with one name, and with no capability or ACL.
    pub(crate) fn is_unfinished(seen: &Seen, owners: &[Owner]) -> bool {
        let mut found = Vec::new();
        owners.contains(&seen.stat.owner())
            && Judge::of(seen, &mut found).rendered(owners, Some(rendered::FILE_BOUND))
            && found.is_empty()
    }

    /// Earmark's own files, which the signature covers: here only who may write them.
    fn seal(&mut self, top: &Owner) {
        let is_directory = [layout::EARMARK_DIR, layout::SEAL_DIR].iter().any(|path| {
            ImagePath::from_absolute(path.as_bytes()).is_ok_and(|path| path == self.seen.path)
        });
        let expected = if is_directory {
            FileType::Directory
        } else {
            FileType::RegularFile
        };
        if self.seen.stat.file_type() != expected {
            let expected = if is_directory {
                "directory"
            } else {
                "regular file"
            };
            let found = self
                .seen
                .bare_node()
                .map_or("an unknown file type", |node| node.kind());
            return self.violation(ViolationKind::Type, expected, found);
        }
        if self.seen.stat.mount {
            self.violation(
                ViolationKind::Mount,
                "nothing mounted here",
                "a mount over it",
            );
        }
        self.same_owner(top);
        self.no_wider_mode(&Owner {
            mode: 0o755,
            ..*top
        });
        // A directory's ACL shows in its mode, whose group bits are its mask: 0755 leaves nobody else a right to write.
        if !is_directory {
            self.alone_and_powerless();
        }
    }

    fn is_regular(&mut self) -> bool {
        self.same_type(&Node::Regular(None))
    }

    fn same_type(&mut self, expected: &Node) -> bool {
        let found = self.seen.bare_node();
        let same = found
            .as_ref()
            .is_some_and(|found| found.letter() == expected.letter());
        if !same {
            self.violation(
                ViolationKind::Type,
                expected.kind(),
                found.map_or("an unknown file type", |node| node.kind()),
            );
        }
        same
    }

    fn same_owner(&mut self, expected: &Owner) {
        let found = self.seen.stat.owner();
        if (found.uid, found.gid) != (expected.uid, expected.gid) {
            let show = |owner: &Owner| format!("{}:{}", owner.uid, owner.gid);
            self.violation(ViolationKind::Owner, show(expected), show(&found));
        }
    }

    fn same_mode(&mut self, expected: &Owner) {
        let found = self.seen.stat.owner().mode;
        if found != expected.mode {
            self.violation(
                ViolationKind::Mode,
                format!("{:04o}", expected.mode),
                format!("{found:04o}"),
            );
        }
    }

    fn no_wider_mode(&mut self, widest: &Owner) {
        let found = self.seen.stat.owner().mode;
        // The target decides who may do what with a link; its own bits are always all set.
        if found & !widest.mode != 0 && self.seen.stat.file_type() != FileType::Symlink {
            let expected = format!("{:04o} or narrower", widest.mode);
            self.violation(ViolationKind::Mode, expected, format!("{found:04o}"));
        }
    }

    /// A second name would change a sealed file through a mutable one, and a capability or an ACL
    /// would give what no mode shows.
    fn alone_and_powerless(&mut self) {
        if self.seen.stat.file_type() == FileType::RegularFile && self.seen.stat.links != 1 {
            self.violation(
                ViolationKind::HardLink,
                "one name",
                format!("{} names", self.seen.stat.links),
            );
        }
        let xattrs = self.seen.xattrs.as_deref().unwrap_or_default();
        for xattr in xattrs
            .iter()
            .filter(|xattr| xattr.name != XattrName::Selinux)
        {
            self.violation(ViolationKind::Xattr, "none", show_xattr(xattr));
        }
    }

    /// Compares what the walk read; a file that will be read has its attributes compared then.
    fn same_xattrs(&mut self, expected: &[Xattr]) {
        if let Some(found) = &self.seen.xattrs {
            different_xattrs(&self.seen.path, expected, found, self.violations);
        }
    }

    fn same_node(&mut self, expected: &Node) -> bool {
        match expected {
            Node::Symlink(Some(target)) if self.seen.target.as_ref() != Some(target) => {
                let found = Escaped(self.seen.target.as_deref().unwrap_or_default()).to_string();
                self.violation(ViolationKind::Target, Escaped(target).to_string(), found);
            }
            Node::CharDevice(Some(device)) | Node::BlockDevice(Some(device)) => {
                let found = self.seen.stat.rdev();
                if *device != found {
                    let expected = format!("{}:{}", device.major, device.minor);
                    self.violation(
                        ViolationKind::Device,
                        expected,
                        format!("{}:{}", found.major, found.minor),
                    );
                }
            }
            // Another size is other content: it is not read, as its length is up to whoever wrote it.
            Node::Regular(Some(content)) if content.size != self.seen.stat.size => {
                let (expected, found) = (content.size.to_string(), self.seen.stat.size.to_string());
                self.violation(
                    ViolationKind::Size,
                    format!("{expected} bytes"),
                    format!("{found} bytes"),
                );
            }
            Node::Regular(_) => return true,
            Node::Directory
            | Node::Symlink(_)
            | Node::CharDevice(_)
            | Node::BlockDevice(_)
            | Node::Fifo
            | Node::Socket => {}
        }
        false
    }

    fn violation(
        &mut self,
        kind: ViolationKind,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) {
        let (expected, found) = (expected.into(), found.into());
        self.violations.push(Violation {
            path: self.seen.path.clone(),
            kind,
            expected,
            found,
        });
    }
}

/// Adds a violation for each attribute that differs.
pub(crate) fn different_xattrs(
    path: &ImagePath,
    expected: &[Xattr],
    found: &[Xattr],
    violations: &mut Vec<Violation>,
) {
    if expected == found {
        return;
    }
    for name in XattrName::ALL {
        let of = |xattrs: &[Xattr]| {
            xattrs
                .iter()
                .find(|xattr| xattr.name == name)
                .map(show_xattr)
        };
        let (expected, found) = (of(expected), of(found));
        if expected != found {
            let or_none =
                |xattr: Option<String>| xattr.unwrap_or_else(|| format!("no {}", name.name()));
            let (expected, found) = (or_none(expected), or_none(found));
            violations.push(Violation {
                path: path.clone(),
                kind: ViolationKind::Xattr,
                expected,
                found,
            });
        }
    }
}

fn show_xattr(xattr: &Xattr) -> String {
    format!("{}={}", xattr.name.name(), Escaped(&xattr.value))
}
