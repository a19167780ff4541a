//! The signed tree, as far as learning asks it.

use anyhow::Context;
use earmark_manifest::{
    class::{PathClass, RuleSet},
    entry::Node,
    path::ImagePath,
    verify::VerifiedManifest,
};

use crate::exit::{Exit, Exits, Outcome};

/// The rules and the paths of a signed tree.
#[derive(Debug)]
pub struct Tree {
    /// The class rules that the image was sealed with.
    pub rules: RuleSet,
    /// In the order of the paths.
    entries: Vec<Recorded>,
}

/// One entry.
#[derive(Debug)]
pub struct Recorded {
    /// Path of the entry.
    pub path: ImagePath,
    /// Class of the entry.
    pub class: PathClass,
    /// Permission bits; all of them, where none are recorded.
    pub mode: u32,
    /// A regular file that somebody may execute.
    pub is_program: bool,
}

impl Tree {
    /// That of a verified manifest.
    pub fn of(manifest: &VerifiedManifest) -> Outcome<Self> {
        const READING: &str = "failed to read the signed tree";
        let mut reader = manifest.tree().context(READING).exits(Exit::NotVerified)?;
        let mut entries = Vec::new();
        for entry in &mut reader {
            let entry = entry.context(READING).exits(Exit::NotVerified)?;
            let is_file = matches!(entry.node, Node::Regular(_));
            let mode = entry.owner.map_or(0o7777, |owner| owner.mode);
            entries.push(Recorded {
                path: entry.path,
                class: entry.class,
                mode,
                is_program: entry.owner.is_some() && is_file && mode & 0o111 != 0,
            });
        }
        let rules = reader.rules().clone();
        Ok(Self { rules, entries })
    }

    /// Returns the entry that was sealed at this path.
    pub fn get(&self, path: &ImagePath) -> Option<&Recorded> {
        let found = self.entries.binary_search_by(|one| one.path.cmp(path));
        found.ok().and_then(|index| self.entries.get(index))
    }

    /// All that was sealed beneath a directory, at any depth.
    pub fn beneath(&self, directory: &ImagePath) -> impl Iterator<Item = &Recorded> {
        // What only starts like the directory, such as /etc/a-b beside /etc/a, may stand in between.
        let start = self.entries.partition_point(|one| one.path <= *directory);
        let rest = self.entries.get(start..).unwrap_or_default().iter();
        let starts_alike = |one: &&Recorded| one.path.as_bytes().starts_with(directory.as_bytes());
        rest.take_while(starts_alike)
            .filter(|one| one.path.is_beneath(directory))
    }
}
