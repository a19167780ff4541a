//! A survey: one walk of a root, for all who look at it.
//!
//! Measuring a root and listing its content need the same names, and mostly the same bytes. Both have them
//! from one walk and one reading: an [`Inspector`] is shown the content of small files while the
//! threads that hash it have it at hand, and beside that only what is not hashed is read.

use std::collections::HashSet;

use earmark_manifest::{class::PathClass, path::ImagePath};
use rustix::{fs::FileType, io::Errno};

use crate::{
    Doubt, Root, ScanError,
    hash::{self, Queue, Reader},
    measure::Plan,
    walk::{self, Scope, Seen, Walked},
};

/// A root that was walked.
#[derive(Debug)]
pub struct Survey<'a> {
    pub(crate) root: &'a Root,
    pub(crate) plan: &'a Plan<'a>,
    pub(crate) walked: Walked,
}

/// Extent of a survey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Names that a tree has: not beneath `state` directories.
    Tree,
    /// All that the image has in it.
    Image,
}

/// One name of a root.
#[derive(Debug, Clone, Copy)]
pub struct Object<'a> {
    /// Path of the object.
    pub path: &'a ImagePath,
    /// Class of the path; `state` for all beneath a `state` directory.
    pub class: PathClass,
    /// True if it lies beneath a `state` directory, and so in no tree.
    pub is_beneath_state: bool,
    /// Type of the object.
    pub kind: FileType,
    /// Permission bits, set-id and sticky included.
    pub mode: u32,
    /// User and group.
    pub owner: (u32, u32),
    /// Bytes, of a file.
    pub size: u64,
    /// Target of a link that is not `state`.
    pub target: Option<&'a [u8]>,
    /// Device and inode, the same for all names of a file.
    pub inode: (u64, u64),
}

/// Looks at the content of small files. Called by several threads at once, which wait for the answer.
pub trait Inspector: Sync {
    /// Returns whether it wants to see a regular file. One with several names is shown once, by one of them; one of
    /// more than [`LARGEST`] bytes never.
    fn wants(&self, object: &Object<'_>) -> bool;
    /// The content of a file that it wants, all of it.
    fn see(&self, object: &Object<'_>, content: &[u8]);
    /// A file that it wants cannot be read, and is not to be measured either, which would fail for it.
    fn miss(&self, doubt: Doubt);
}

/// Nobody looks.
impl Inspector for () {
    fn wants(&self, _: &Object<'_>) -> bool {
        false
    }
    fn see(&self, _: &Object<'_>, _: &[u8]) {}
    fn miss(&self, _: Doubt) {}
}

/// Bytes of the largest file that an inspector sees.
pub const LARGEST: u64 = 64 * 1024;

/// A file that is to be read, once.
pub(crate) struct Job<'a> {
    pub(crate) seen: &'a Seen,
    is_beneath_state: bool,
    pub(crate) is_measured: bool,
    is_shown: bool,
}

impl<'a> Survey<'a> {
    /// Walks `root`. Fails only if the walk as a whole cannot be made.
    pub fn walk(root: &'a Root, plan: &'a Plan<'a>, reach: Reach) -> Result<Self, ScanError> {
        let walked = walk::collect(
            root,
            &Scope {
                rules: plan.rules,
                mounts: plan.mounts,
                state: reach == Reach::Image,
                reads: &|path, class| plan.reads(path, class),
                // All names are kept: a builder's own root is trusted with the memory that it takes.
                signed: None,
            },
        )?;
        Ok(Self { root, plan, walked })
    }

    /// The root.
    pub fn root(&self) -> &'a Root {
        self.root
    }

    /// Every name, in the order of the paths.
    pub fn objects(&self) -> Vec<Object<'_>> {
        let mut objects: Vec<_> = self.all().map(|(seen, state)| seen.object(state)).collect();
        // Two lists that are in order already, which this sort knows how to merge.
        objects.sort_by(|one, other| one.path.cmp(other.path));
        objects
    }

    /// Returns the doubts: paths that the walk could not look at.
    pub fn doubts(&self) -> &[Doubt] {
        &self.walked.doubts
    }

    /// Shows `inspector` what it wants to see, and measures nothing.
    pub fn inspect(&self, inspector: &dyn Inspector) {
        let jobs = self.jobs(inspector, |_| false);
        let look = |reader: &mut Reader<'_>, queue: &Queue<Job<'_>>| {
            let mut buffer = Vec::new();
            while let Some(job) = queue.next() {
                job.look(reader, inspector, &mut buffer);
            }
            Vec::<()>::new()
        };
        hash::for_each(
            self.root,
            self.plan.mounts,
            self.plan.progress,
            hash::ALL,
            |job: &Job<'_>| job.seen.sought(),
            |hand_out| jobs.into_iter().for_each(hand_out),
            look,
        );
    }

    /// All files that are to be read: those that are measured, and those that are only looked at.
    pub(crate) fn jobs(
        &self,
        inspector: &dyn Inspector,
        is_measured: impl Fn(&Seen) -> bool,
    ) -> Vec<Job<'_>> {
        let mut shown = HashSet::new();
        let mut jobs = Vec::with_capacity(self.walked.seen.len());
        for (seen, is_beneath_state) in self.all() {
            if !seen.stat.file_type().is_file() {
                continue;
            }
            let is_small = seen.stat.size <= LARGEST;
            let job = Job {
                seen,
                is_beneath_state,
                is_measured: !is_beneath_state && is_measured(seen),
                // Asked last: a name that nobody wants must not use up the turn of its inode.
                is_shown: is_small
                    && inspector.wants(&seen.object(is_beneath_state))
                    && (seen.stat.links == 1 || shown.insert(seen.inode())),
            };
            if job.is_measured || job.is_shown {
                jobs.push(job);
            }
        }
        jobs
    }

    fn all(&self) -> impl Iterator<Item = (&Seen, bool)> {
        let walked = &self.walked;
        let beneath = walked.beneath_state.iter().map(|seen| (seen, true));
        walked.seen.iter().map(|seen| (seen, false)).chain(beneath)
    }
}

impl Job<'_> {
    /// Shows what was read, if it is wanted: all of the file, which is small.
    pub(crate) fn show(&self, inspector: &dyn Inspector, content: &[u8]) {
        if self.is_shown {
            inspector.see(&self.seen.object(self.is_beneath_state), content);
        }
    }

    /// Reads a file that is not measured, and shows it.
    pub(crate) fn look(
        &self,
        reader: &Reader<'_>,
        inspector: &dyn Inspector,
        buffer: &mut Vec<u8>,
    ) {
        match reader.look(self.seen, buffer) {
            Ok(content) => self.show(inspector, content),
            // What is free to change goes on changing while a running host is looked at.
            Err((_, Errno::NOENT)) if self.seen.class == PathClass::State => {}
            Err((doubt, _)) => inspector.miss(doubt),
        }
    }
}

impl Object<'_> {
    /// A regular file.
    pub fn is_file(&self) -> bool {
        self.kind == FileType::RegularFile
    }

    /// A directory.
    pub fn is_directory(&self) -> bool {
        self.kind == FileType::Directory
    }

    /// A regular file with something in it.
    pub fn has_content(&self) -> bool {
        self.is_file() && self.size > 0
    }

    /// The last component.
    pub fn name(&self) -> &[u8] {
        let mut names = self.path.as_bytes().rsplit(|byte| *byte == b'/');
        names.next().unwrap_or_default()
    }
}

impl Seen {
    pub(crate) fn inode(&self) -> (u64, u64) {
        (self.stat.device, self.stat.inode)
    }

    fn object(&self, is_beneath_state: bool) -> Object<'_> {
        Object {
            path: &self.path,
            class: self.class,
            is_beneath_state,
            kind: self.stat.file_type(),
            mode: u32::from(self.stat.mode) & 0o7777,
            owner: (self.stat.uid, self.stat.gid),
            size: self.stat.size,
            target: self.target.as_deref(),
            inode: self.inode(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, os::unix::fs::symlink, sync::Mutex};

    use earmark_manifest::class::{Pattern, Rule, RuleKind, RuleSet};
    use tempfile::TempDir;

    use super::*;

    /// Remembers what it saw, each file as `PATH CONTENT`.
    #[derive(Default)]
    struct Notes(Mutex<Vec<String>>);

    impl Notes {
        fn sorted(self) -> Vec<String> {
            let mut notes = self.0.into_inner().unwrap();
            notes.sort();
            notes
        }
    }

    impl Inspector for Notes {
        fn wants(&self, object: &Object<'_>) -> bool {
            object.name() != b"unwanted"
        }
        fn see(&self, object: &Object<'_>, content: &[u8]) {
            let start = String::from_utf8_lossy(content.get(..1).unwrap_or_default());
            let note = format!("{} {}x{start}", object.path, content.len());
            self.0.lock().unwrap().push(note);
        }
        fn miss(&self, doubt: Doubt) {
            self.0.lock().unwrap().push(format!("missed {doubt}"));
        }
    }

    fn root() -> (TempDir, RuleSet) {
        let root = TempDir::new().unwrap();
        let large = "l".repeat(usize::try_from(LARGEST).unwrap() + 1);
        let whole = &large[1..];
        for (path, text) in [
            ("etc/a", "a"),
            ("etc/mutable", "mm"),
            ("etc/unwanted", "u"),
            ("etc/empty", ""),
            ("srv/data/deep/s", "sss"),
            ("usr/large", &large),
            ("usr/whole", whole),
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        fs::hard_link(root.path().join("etc/a"), root.path().join("usr/a")).unwrap();
        symlink("deep/s", root.path().join("srv/data/link")).unwrap();
        let rule = |class, path: &str| {
            let pattern = Pattern::parse(path.as_bytes()).unwrap();
            Rule::new(RuleKind::Class(class), pattern)
        };
        let rules = RuleSet::resolve(vec![
            rule(PathClass::State, "/srv/data"),
            rule(PathClass::Mutable, "/etc/mutable"),
        ]);
        (root, rules.unwrap())
    }

    fn with(reach: Reach, look: impl FnOnce(&Survey<'_>)) {
        let (directory, rules) = root();
        let root = Root::open(directory.path()).unwrap();
        let plan = Plan {
            rules: &rules,
            mounts: &[],
            replaced: &BTreeMap::new(),
            progress: &(),
        };
        look(&Survey::walk(&root, &plan, reach).unwrap());
    }

    fn paths(survey: &Survey<'_>) -> Vec<String> {
        let objects = survey.objects();
        objects.iter().map(|one| one.path.to_string()).collect()
    }

    #[test]
    fn survey_lists_state_contents_only_for_image_reach_and_never_in_the_tree() {
        let mut entries = Vec::new();
        with(Reach::Tree, |survey| {
            assert!(!paths(survey).contains(&"/srv/data/deep/s".to_owned()));
            entries = survey.measure(&()).unwrap();
        });
        with(Reach::Image, |survey| {
            let all = paths(survey);
            assert!(all.is_sorted() && all.contains(&"/srv/data/deep/s".to_owned()));
            let objects = survey.objects();
            let at = |path: &str| {
                let same = |one: &&Object<'_>| one.path.to_string() == path;
                *objects.iter().find(same).unwrap()
            };
            assert!(at("/srv/data/link").is_beneath_state && at("/srv/data/link").target.is_none());
            assert!(!at("/srv/data").is_beneath_state);
            assert_eq!(at("/srv/data/deep").class, PathClass::State);
            let measured = survey.measure(&Notes::default()).unwrap();
            assert_eq!(measured.len(), entries.len());
            assert!(measured.iter().zip(&entries).all(|(one, other)| {
                one.path == other.path && one.node == other.node && one.class == other.class
            }));
        });
    }

    #[test]
    fn inspector_sees_each_small_file_once_measured_or_not() {
        let expected = [
            "/etc/a 1xa",
            "/etc/empty 0x",
            "/etc/mutable 2xm",
            "/srv/data/deep/s 3xs",
            "/usr/whole 65536xl",
        ];
        with(Reach::Image, |survey| {
            let notes = Notes::default();
            survey.measure(&notes).unwrap();
            assert_eq!(notes.sorted(), expected);
            let notes = Notes::default();
            survey.inspect(&notes);
            assert_eq!(notes.sorted(), expected);
        });
    }

    #[test]
    fn removed_file_is_reported_missing_unless_beneath_state() {
        let (directory, rules) = root();
        let root = Root::open(directory.path()).unwrap();
        let plan = Plan {
            rules: &rules,
            mounts: &[],
            replaced: &BTreeMap::new(),
            progress: &(),
        };
        let survey = Survey::walk(&root, &plan, Reach::Image).unwrap();
        fs::remove_file(directory.path().join("srv/data/deep/s")).unwrap();
        fs::remove_file(directory.path().join("etc/mutable")).unwrap();
        let notes = Notes::default();
        survey.measure(&notes).unwrap();
        let notes = notes.sorted();
        let missed: Vec<_> = notes
            .iter()
            .filter(|note| note.starts_with("missed"))
            .collect();
        assert_eq!(missed.len(), 1, "{notes:?}");
        assert!(missed[0].starts_with("missed /etc/mutable: failed to open it"));
    }
}
