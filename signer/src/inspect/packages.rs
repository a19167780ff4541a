//! Package that a file is from, as the package database in a root says.
//!
//! For people who read a difference. Nothing is decided by it, and nobody vouches for it: an image can
//! claim that any file is any package's.

mod dpkg;
mod rpm;

use std::collections::{BTreeMap, HashMap};

use earmark_manifest::{
    entry::{Entry, Node},
    path::ImagePath,
};
use earmark_scan::Root;

use crate::{exit::Outcome, inspect::source::Tree};

/// The packages of a root.
#[derive(Debug, Default)]
pub struct Packages {
    versions: BTreeMap<String, String>,
    names: Vec<String>,
    /// By path; the number of the package in `names`.
    owners: HashMap<Vec<u8>, u32>,
}

/// Paths that all packages of a root may claim together.
const PATHS: usize = 8_000_000;

impl Packages {
    /// Those of `root`; none, if it has no database that can be read. The notes say why.
    pub fn read(root: &Root, tree: &Tree) -> Outcome<(Option<Self>, Vec<String>)> {
        let aliases = Aliases::of(&tree.entries);
        let mut notes = Vec::new();
        if let Some(packages) = dpkg::read(root, &aliases, &mut notes)? {
            return Ok((Some(packages), notes));
        }
        let packages = rpm::read(root, &aliases, &mut notes)?;
        if packages.is_none() && notes.is_empty() {
            notes.push("no package database in the root".to_owned());
        }
        Ok((packages, notes))
    }

    /// The digests that a root's rpm database has of files, one line each of a digest and a path. Nothing, if there is
    /// none that can be read; the notes say why.
    pub fn rpm_digests(root: &Root, notes: &mut Vec<String>) -> Outcome<Option<Vec<u8>>> {
        rpm::digests(root, notes)
    }

    /// Versions by package.
    pub fn versions(&self) -> &BTreeMap<String, String> {
        &self.versions
    }

    /// The package that `path` is from.
    pub fn owner(&self, path: &ImagePath) -> Option<&str> {
        let number = usize::try_from(*self.owners.get(path.as_bytes())?).ok()?;
        self.names.get(number).map(String::as_str)
    }

    /// Adds a package; its number is for [`Packages::claim`].
    fn add(&mut self, name: String, version: &str) -> u32 {
        let versions = self.versions.entry(name.clone()).or_default();
        if !versions.is_empty() {
            // rpm installs several versions of one name, such as of the kernel.
            versions.push_str(", ");
        }
        versions.push_str(version);
        self.names.push(name);
        u32::try_from(self.names.len() - 1).unwrap_or(u32::MAX)
    }

    /// Says that `path`, absolute as databases have it, is the package's. Says whether there was room.
    fn claim(&mut self, path: &[u8], package: u32, aliases: &Aliases) -> bool {
        if self.owners.len() >= PATHS {
            return false;
        }
        // What is no path of an image cannot be looked up either; dpkg lists the root as `/.`.
        if let Ok(path) = ImagePath::from_absolute(path) {
            self.owners
                .entry(aliases.resolve(path.as_bytes()))
                .or_insert(package);
        }
        true
    }
}

/// Top-level links such as `/bin` to `usr/bin`: databases name files by the old path, the tree has
/// them at the new one.
#[derive(Debug, Default)]
struct Aliases(Vec<(Vec<u8>, Vec<u8>)>);

impl Aliases {
    fn of(entries: &[Entry]) -> Self {
        let links = entries.iter().filter_map(|entry| {
            let Node::Symlink(Some(target)) = &entry.node else {
                return None;
            };
            let name = entry.path.as_bytes();
            let target = target.strip_prefix(b"/").unwrap_or(target);
            let target = ImagePath::from_relative(target).ok()?;
            (!name.contains(&b'/')).then(|| (name.to_vec(), target.as_bytes().to_vec()))
        });
        Self(links.collect())
    }

    fn resolve(&self, path: &[u8]) -> Vec<u8> {
        for (name, target) in &self.0 {
            if let Some(rest) = path.strip_prefix(name.as_slice())
                && rest.starts_with(b"/")
            {
                return [target, rest].concat();
            }
        }
        path.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_paths_resolve_merged_usr_aliases() {
        let aliases = Aliases(vec![(b"bin".to_vec(), b"usr/bin".to_vec())]);
        let mut packages = Packages::default();
        let coreutils = packages.add("coreutils".to_owned(), "9.1");
        for path in [
            "/bin/ls",
            "/usr/bin/env",
            "/binary/x",
            "/.",
            "relative",
            "/a/../b",
        ] {
            assert!(packages.claim(path.as_bytes(), coreutils, &aliases));
        }
        let owner =
            |path: &str| packages.owner(&ImagePath::from_absolute(path.as_bytes()).unwrap());
        assert_eq!(owner("/usr/bin/ls"), Some("coreutils"));
        assert_eq!(owner("/usr/bin/env"), Some("coreutils"));
        assert_eq!(owner("/binary/x"), Some("coreutils"));
        assert_eq!(owner("/bin/ls"), None);
        assert_eq!(packages.owners.len(), 3);
    }
}
