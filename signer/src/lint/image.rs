//! The root as the rules see it: every name with its metadata, and bounded reads.

use std::cell::RefCell;

use anyhow::Context;
use earmark_manifest::{
    class::{PathClass, RuleSet},
    declaration::{Declaration, Lock, LockName},
    path::ImagePath,
};
use earmark_scan::Root;
use rustix::fs::FileType;

use super::walk;
use crate::exit::{Exit, Exits, Outcome};

/// One name of the root.
#[derive(Debug)]
pub struct Seen {
    /// Where.
    pub path: ImagePath,
    /// What kind of object.
    pub kind: FileType,
    /// Permission bits, set-id and sticky included.
    pub mode: u32,
    /// Bytes, of a file.
    pub size: u64,
    /// Where it leads, of a link.
    pub target: Option<Vec<u8>>,
    /// What may happen to it; `state` for all beneath a `state` directory.
    pub class: PathClass,
}

/// A root that was walked once, and what its owner declares.
#[derive(Debug)]
pub struct Image<'a> {
    /// What is looked at.
    pub root: &'a Root,
    /// Whether it is the root of this very host, whose services write as it is looked at.
    pub live: bool,
    /// The declaration, if one was given, with its class rules.
    pub declared: Option<(&'a Declaration, RuleSet)>,
    /// Sorted by path.
    seen: Vec<Seen>,
    homes: Vec<ImagePath>,
    /// What could not be looked at.
    doubts: RefCell<Vec<String>>,
}

/// Configuration files are smaller; what is larger is a doubt.
const TEXT: usize = 1024 * 1024;

impl Seen {
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

impl<'a> Image<'a> {
    /// Walks `root`.
    pub fn new(root: &'a Root, declared: Option<&'a Declaration>) -> Outcome<Self> {
        let declared = match declared {
            None => None,
            Some(declared) => {
                let rules = declared
                    .rule_set()
                    .context("failed to resolve the class rules of the declaration")
                    .exits(Exit::Usage)?;
                Some((declared, rules))
            }
        };
        let (seen, doubts) = walk::walk(root, declared.as_ref());
        let mut image = Self {
            root,
            live: root.is_live(),
            declared,
            seen,
            homes: Vec::new(),
            doubts: RefCell::new(doubts),
        };
        image.homes = image.find_homes();
        Ok(image)
    }

    /// Every name, sorted.
    pub fn all(&self) -> &[Seen] {
        &self.seen
    }

    /// What is at this path, relative to the root.
    pub fn get(&self, path: impl AsRef<[u8]>) -> Option<&Seen> {
        let path = path.as_ref();
        let found = self
            .seen
            .binary_search_by(|seen| seen.path.as_bytes().cmp(path));
        found.ok().and_then(|index| self.seen.get(index))
    }

    /// All beneath a directory, at any depth.
    pub fn beneath(&self, directory: impl AsRef<[u8]>) -> impl Iterator<Item = &Seen> {
        let prefix = [directory.as_ref(), b"/"].concat();
        let before = |seen: &Seen| seen.path.as_bytes() < prefix.as_slice();
        let start = self.seen.partition_point(before);
        let rest = self.seen.get(start..).unwrap_or_default().iter();
        rest.take_while(move |seen| seen.path.as_bytes().starts_with(&prefix))
    }

    /// What lies in a directory itself.
    pub fn children(&self, directory: impl AsRef<[u8]>) -> impl Iterator<Item = &Seen> {
        let depth = |path: &[u8]| path.split(|byte| *byte == b'/').count();
        let wanted = depth(directory.as_ref()) + 1;
        self.beneath(directory)
            .filter(move |seen| depth(seen.path.as_bytes()) == wanted)
    }

    /// The content of a regular file of at most `bound` bytes. What cannot be read is remembered as a doubt;
    /// anything but a regular file is never opened.
    pub fn read(&self, seen: &Seen, bound: usize) -> Option<Vec<u8>> {
        if !seen.is_file() {
            return None;
        }
        match self.root.read(&seen.path, bound) {
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
    pub fn text_of(&self, seen: &Seen) -> Option<String> {
        let bytes = self.read(seen, TEXT)?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Home directories: those of the accounts, root's, and all in `/home`.
    pub fn homes(&self) -> &[ImagePath] {
        &self.homes
    }

    /// What is in a home directory at one of these paths.
    pub fn in_homes(&self, paths: &[&str]) -> Vec<&Seen> {
        let mut found = Vec::new();
        for home in &self.homes {
            for path in paths {
                let path = [home.as_bytes(), path.as_bytes()].join(&b'/');
                found.extend(self.get(path));
            }
        }
        found
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

    /// Whether the declaration leaves this lock open. What is not declared is shut.
    pub fn allows(&self, name: LockName) -> bool {
        self.declared
            .as_ref()
            .is_some_and(|(declared, _)| declared.lockdown.locks().contains(&(name, Lock::Allow)))
    }

    /// Remembers what could not be looked at.
    pub fn doubt(&self, text: String) {
        self.doubts.borrow_mut().push(text);
    }

    /// All that could not be looked at.
    pub fn into_doubts(self) -> Vec<String> {
        let mut doubts = self.doubts.into_inner();
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
