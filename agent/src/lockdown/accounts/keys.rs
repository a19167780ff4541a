//! Keys by which sshd lets people in: `authorized_keys` in home directories.
//!
//! Home directories are state: keys can come there in many ways, from cloud-init with the key pair
//! that an instance was started with to whoever held the account for a moment. At boot they are put
//! aside, under a name that sshd does not read. This keeps what was left behind from being used; it
//! does not keep a key from being written again, which the next look finds.

use std::collections::BTreeSet;

use earmark_manifest::{
    class::{PathClass, RuleSet},
    path::ImagePath,
};
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags},
    io::Errno,
};

use super::{
    super::{
        item::{Seen, Strength},
        look::{Look, few},
    },
    database::{self, Account},
};

/// The names that sshd reads, unless its configuration says otherwise.
const NAMES: [&str; 2] = ["authorized_keys", "authorized_keys2"];
const ASIDE: &str = ".put-aside-by-earmark";

/// A file with keys: the directory that it is in, and its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Keys {
    directory: String,
    name: &'static str,
}

impl Keys {
    fn path(&self) -> String {
        format!("/{}/{}", self.directory, self.name)
    }
}

/// What is there of them.
pub(super) fn see(look: &Look<'_>, accounts: &[Account]) -> Seen {
    match find(look, accounts) {
        (found, _) if !found.is_empty() => {
            Seen::Open(few(&found.iter().map(Keys::path).collect::<Vec<_>>()))
        }
        (_, problems) if !problems.is_empty() => Seen::Hidden(problems.join("; ")),
        _ => Seen::Shut(Strength::Reversible, "none".to_owned()),
    }
}

/// Puts aside what lies in state directories. Says what it could not do, and goes on after that.
/// What is sealed is left alone: it is the image's, or a violation.
pub(super) fn apply(look: &Look<'_>, rules: &RuleSet) -> Vec<String> {
    let accounts = match database::accounts(look) {
        Ok(accounts) => accounts,
        Err(error) => return vec![format!("failed to look for authorized keys: {error}")],
    };
    let (found, mut problems) = find(look, &accounts);
    for keys in plan(found, rules) {
        if let Err(problem) = put_aside(look, &keys) {
            problems.push(format!("failed to put aside '{}': {problem}", keys.path()));
        }
    }
    problems
}

/// Those that lie in state directories.
fn plan(found: BTreeSet<Keys>, rules: &RuleSet) -> Vec<Keys> {
    let is_state = |keys: &Keys| {
        let mut path = ImagePath::from_absolute(keys.path().as_bytes()).ok();
        while let Some(at) = path {
            if rules.class_of(&at) == PathClass::State {
                return true;
            }
            path = at.parent();
        }
        false
    };
    found.into_iter().filter(is_state).collect()
}

/// All that hold a key, and the directories that could not be listed.
fn find(look: &Look<'_>, accounts: &[Account]) -> (BTreeSet<Keys>, Vec<String>) {
    let (mut found, mut problems) = (BTreeSet::new(), Vec::new());
    // An account without a home has the root, and sshd puts a slash before whatever it has.
    let homes = accounts
        .iter()
        .map(|account| account.home.trim_matches('/'));
    for home in homes.collect::<BTreeSet<_>>() {
        let directory = format!("{home}/.ssh");
        let directory = directory.trim_start_matches('/');
        match look.list(directory) {
            Ok(None) => {}
            Ok(Some(listed)) => {
                for name in NAMES {
                    let is_it = |(other, kind): &(String, FileType)| {
                        other == name && *kind != FileType::Directory
                    };
                    let keys = Keys {
                        directory: directory.to_owned(),
                        name,
                    };
                    if listed.iter().any(is_it) && has_content(look, &keys) {
                        found.insert(keys);
                    }
                }
            }
            Err(error) => problems.push(error),
        }
    }
    (found, problems)
}

/// An empty file lets nobody in. One that cannot be read may.
fn has_content(look: &Look<'_>, keys: &Keys) -> bool {
    let text = look.text(&keys.path());
    !text.is_ok_and(|text| text.is_none_or(|text| text.is_empty()))
}

/// In a directory that belongs to whom the keys do. It is opened without following links, and both
/// names are fixed ones in it: whoever swaps it meanwhile has another file of this name put aside,
/// which was theirs to rename before.
fn put_aside(look: &Look<'_>, keys: &Keys) -> Result<(), String> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let root = look.root().as_fd();
    let directory = &keys.directory;
    let directory = rustix::fs::openat2(root, directory.as_str(), flags, Mode::empty(), resolve)
        .map_err(|errno| format!("failed to open its directory: {errno}"))?;
    let aside = format!("{}{ASIDE}", keys.name);
    // Something in the way of the new name, such as a directory, must not keep the keys in place.
    rustix::fs::renameat(&directory, keys.name, &directory, aside.as_str())
        .or_else(|_| rustix::fs::unlinkat(&directory, keys.name, AtFlags::empty()))
        .and_then(|()| rustix::fs::fsync(&directory))
        .map_err(|errno| errno.to_string())
}

/// Gives back what was put aside, where nothing else has its name by now.
pub(super) fn give_back(look: &Look<'_>) -> Vec<String> {
    let accounts = match database::accounts(look) {
        Ok(accounts) => accounts,
        Err(error) => return vec![format!("failed to look for authorized keys: {error}")],
    };
    let mut problems = Vec::new();
    let homes = accounts
        .iter()
        .map(|account| account.home.trim_matches('/'));
    for home in homes.collect::<BTreeSet<_>>() {
        let directory = format!("{home}/.ssh");
        let directory = directory.trim_start_matches('/').to_owned();
        for name in NAMES {
            let keys = Keys {
                directory: directory.clone(),
                name,
            };
            if let Err(errno) = rename_back(look, &keys) {
                problems.push(format!("failed to give back '{}': {errno}", keys.path()));
            }
        }
    }
    problems
}

fn rename_back(look: &Look<'_>, keys: &Keys) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let root = look.root().as_fd();
    let path = keys.directory.as_str();
    let directory = match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
        // What is put aside is put aside without following a link, too.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        opened => opened?,
    };
    let aside = format!("{}{ASIDE}", keys.name);
    let flags = RenameFlags::NOREPLACE;
    match rustix::fs::renameat_with(&directory, aside.as_str(), &directory, keys.name, flags) {
        Err(Errno::NOENT | Errno::EXIST) => Ok(()),
        renamed => renamed.and_then(|()| rustix::fs::fsync(&directory)),
    }
}

#[cfg(test)]
mod tests;
