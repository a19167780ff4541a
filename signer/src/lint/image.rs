//! The root as the rules see it: every name with its metadata, and bounded reads.

use std::{cell::RefCell, collections::HashSet};

use earmark_manifest::{
    class::{PathClass, Pattern, RuleSet},
    declaration::{Declaration, Lock, LockName},
    path::ImagePath,
};
pub use earmark_scan::survey::Object as Seen;
use earmark_scan::{Root, survey::Survey};

use super::keys::Keys;

/// A root that was walked once, and what its owner declares.
#[derive(Debug)]
pub struct Image<'a> {
    /// Root that is looked at.
    pub root: &'a Root,
    /// True, if it is the root of this very host, whose services write as it is looked at.
    pub live: bool,
    /// The declaration, if one was given, with its class rules.
    pub declared: Option<(&'a Declaration, &'a RuleSet)>,
    /// The files with a private key in them, by device and inode.
    pub keys: HashSet<(u64, u64)>,
    /// Sorted by path.
    seen: Vec<Seen<'a>>,
    homes: Vec<ImagePath>,
    /// Notes about what could not be looked at.
    doubts: RefCell<Vec<String>>,
    /// Notes about what could not be asked, and makes no finding less.
    notes: RefCell<Vec<String>>,
}

/// Configuration files are smaller; what is larger is a doubt.
const TEXT: usize = 1024 * 1024;

impl<'a> Image<'a> {
    /// As `survey` met it, and with what `keys` saw in it.
    pub fn new(
        survey: &'a Survey<'_>,
        declared: Option<(&'a Declaration, &'a RuleSet)>,
        keys: Keys,
    ) -> Self {
        let root = survey.root();
        let (keys, missed) = keys.into_parts();
        let doubts = survey.doubts().iter().chain(&missed);
        let mut image = Self {
            root,
            live: root.is_live(),
            declared,
            keys,
            seen: survey.objects(),
            homes: Vec::new(),
            doubts: RefCell::new(doubts.map(ToString::to_string).collect()),
            notes: RefCell::default(),
        };
        image.homes = image.find_homes();
        image
    }

    /// Every name, sorted.
    pub fn all(&self) -> &[Seen<'a>] {
        &self.seen
    }

    /// Returns the object at this path, relative to the root.
    pub fn get(&self, path: impl AsRef<[u8]>) -> Option<&Seen<'a>> {
        let path = path.as_ref();
        let found = self
            .seen
            .binary_search_by(|seen| seen.path.as_bytes().cmp(path));
        found.ok().and_then(|index| self.seen.get(index))
    }

    /// All beneath a directory, at any depth.
    pub fn beneath(&self, directory: impl AsRef<[u8]>) -> impl Iterator<Item = &Seen<'a>> {
        let prefix = [directory.as_ref(), b"/"].concat();
        let before = |seen: &Seen<'_>| seen.path.as_bytes() < prefix.as_slice();
        let start = self.seen.partition_point(before);
        let rest = self.seen.get(start..).unwrap_or_default().iter();
        rest.take_while(move |seen| seen.path.as_bytes().starts_with(&prefix))
    }

    /// Returns the objects that lie in a directory itself.
    pub fn children(&self, directory: impl AsRef<[u8]>) -> impl Iterator<Item = &Seen<'a>> {
        let depth = |path: &[u8]| path.split(|byte| *byte == b'/').count();
        let wanted = depth(directory.as_ref()) + 1;
        self.beneath(directory)
            .filter(move |seen| depth(seen.path.as_bytes()) == wanted)
    }

    /// The content of a regular file of at most `bound` bytes. What cannot be read is remembered as a doubt;
    /// anything but a regular file is never opened.
    pub fn read(&self, seen: &Seen<'_>, bound: usize) -> Option<Vec<u8>> {
        if !seen.is_file() {
            return None;
        }
        match self.root.read(seen.path, bound) {
            Ok(bytes) => Some(bytes),
            // On a running host files go while they are looked at; what is gone is not baked.
            Err(error) if error.cause.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                self.doubt(error.to_string());
                None
            }
        }
    }

    /// A configuration file as text; nothing, if there is none.
    pub fn text(&self, path: impl AsRef<[u8]>) -> Option<String> {
        self.text_of(self.get(path)?)
    }

    /// The same, of a name that was met.
    pub fn text_of(&self, seen: &Seen<'_>) -> Option<String> {
        let bytes = self.read(seen, TEXT)?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Home directories: those of the accounts, root's, and all in `/home`.
    pub fn homes(&self) -> &[ImagePath] {
        &self.homes
    }

    /// Returns the objects in home directories at one of these paths.
    pub fn in_homes(&self, paths: &[&str]) -> Vec<&Seen<'a>> {
        let mut found = Vec::new();
        for home in &self.homes {
            for path in paths {
                let path = [home.as_bytes(), path.as_bytes()].join(&b'/');
                found.extend(self.get(path));
            }
        }
        found
    }

    /// Returns the objects that a pattern of the table of known secrets names: relative to the root, or to each home if
    /// it starts with `~/`.
    pub fn matching(&self, pattern: &str) -> Vec<&Seen<'a>> {
        let Some(of_home) = pattern.strip_prefix("~/") else {
            return self.matching_in(b"", pattern);
        };
        let homes = self.homes.iter();
        homes
            .flat_map(|home| self.matching_in(home.as_bytes(), of_home))
            .collect()
    }

    fn matching_in(&self, top: &[u8], pattern: &str) -> Vec<&Seen<'a>> {
        let under = |path: &str| match top {
            [] => path.as_bytes().to_vec(),
            top => [top, path.as_bytes()].join(&b'/'),
        };
        let Some((before, _)) = pattern.split_once('*') else {
            return self.get(under(pattern)).into_iter().collect();
        };
        // A pattern of the root's own names is none; beneath a name of its own each is.
        let Ok(parsed) = Pattern::parse(format!("/top/{pattern}").as_bytes()) else {
            return Vec::new();
        };
        // Only what lies in the last directory whose name is certain is compared.
        let (directory, _) = before.rsplit_once('/').unwrap_or_default();
        let matches = |seen: &&Seen<'_>| {
            let skipped = if top.is_empty() { 0 } else { top.len() + 1 };
            let below = seen.path.as_bytes().get(skipped..).unwrap_or_default();
            let below = ImagePath::from_relative(&[b"top/", below].concat());
            below.is_ok_and(|below| parsed.matches(&below))
        };
        let beneath = if directory.is_empty() {
            top.to_vec()
        } else {
            under(directory)
        };
        self.beneath(beneath).filter(matches).collect()
    }

    /// The class of a path, whether it is there or not: `state` if it lies beneath a `state` path.
    pub fn class_of(&self, path: &ImagePath) -> PathClass {
        let Some((_, rules)) = &self.declared else {
            return PathClass::Sealed;
        };
        let mut at = path.parent();
        while let Some(above) = at {
            if rules.class_of(&above) == PathClass::State {
                return PathClass::State;
            }
            at = above.parent();
        }
        rules.class_of(path)
    }

    /// Returns whether the declaration leaves this lock open. A lock that is not declared is shut.
    pub fn allows(&self, name: LockName) -> bool {
        self.declared
            .as_ref()
            .is_some_and(|(declared, _)| declared.lockdown.locks().contains(&(name, Lock::Allow)))
    }

    /// Remembers what could not be looked at.
    pub fn doubt(&self, text: String) {
        self.doubts.borrow_mut().push(text);
    }

    /// Remembers what a reader of the report should know.
    pub fn note(&self, text: String) {
        self.notes.borrow_mut().push(text);
    }

    /// Takes the notes.
    pub fn take_notes(&self) -> Vec<String> {
        self.notes.take()
    }

    /// All that could not be looked at.
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts = self.doubts.borrow().clone();
        doubts.sort();
        doubts.dedup();
        doubts
    }

    fn find_homes(&self) -> Vec<ImagePath> {
        let mut homes = Vec::new();
        let passwd = self.text("etc/passwd").unwrap_or_default();
        let declared = passwd.lines().filter_map(|line| line.split(':').nth(5));
        for home in declared.chain(["/root"]) {
            // `/` itself is the home of accounts that have none.
            if let Ok(home) = ImagePath::from_absolute(home.trim_end_matches('/').as_bytes()) {
                homes.push(home);
            }
        }
        homes.extend(self.children("home").map(|seen| seen.path.clone()));
        homes.retain(|home| self.get(home.as_bytes()).is_some_and(Seen::is_directory));
        homes.sort();
        homes.dedup();
        homes
    }
}
