//! Keys by which sshd lets people in: `authorized_keys` in home directories.
//!
//! Home directories are state: keys can come there in many ways, from cloud-init with the key pair
//! that an instance was started with to whoever held the account for a moment. At boot they are put
//! aside, under a name that sshd does not read. This keeps what was left behind from being used; it
//! does not keep a key from being written again, which the next look finds.

use std::{collections::BTreeSet, os::fd::AsFd};

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
        cause::{Cause, Probe},
        item::{Item, Seen, Strength, Unseen},
        look::{Look, Missed, attributes, few},
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

/// An item for each kind of hands in which such a file can be, the last only if there is one.
pub(super) fn items(look: &Look<'_>, accounts: Result<&[Account], &Unseen>) -> Vec<Item> {
    let rows = [
        (Probe::KeysOfRoot, "authorized keys, root's hands"),
        (Probe::KeysOfAccounts, "authorized keys, an account's"),
        (Probe::KeysOfAnybody, "authorized keys, anybody's"),
    ];
    let found = accounts.map(|accounts| find(look, accounts));
    let item = |(row, name): (Probe, &str)| {
        let seen = match &found {
            Ok(found) => found.seen(row.cause()),
            Err(unseen) => Seen::from((*unseen).clone()),
        };
        let is_usual = row != Probe::KeysOfAnybody;
        let is_shown = is_usual || !matches!(seen, Seen::Shut(..) | Seen::Hidden(_));
        is_shown.then(|| {
            Item::new(
                row,
                name,
                "none",
                "~/.ssh of each account in /etc/passwd",
                seen,
            )
        })
    };
    rows.into_iter().filter_map(item).collect()
}

/// Puts aside what lies in state directories. Says what it could not do, and goes on after that.
/// Sealed files are left alone: they are the image's, or a violation.
pub(super) fn apply(look: &Look<'_>, rules: &RuleSet) -> Vec<String> {
    let accounts = match database::accounts(look) {
        Ok(accounts) => accounts,
        Err(unseen) => return vec![failed(&unseen)],
    };
    let Found { keys, missed } = find(look, &accounts);
    let mut problems: Vec<String> = missed.into_iter().map(|missed| missed.why.into()).collect();
    for keys in plan(keys.into_iter().map(|(keys, _)| keys).collect(), rules) {
        if let Err(problem) = put_aside(look, &keys) {
            problems.push(format!("failed to put aside '{}': {problem}", keys.path()));
        }
    }
    problems
}

/// Those that lie in state directories.
fn plan(found: BTreeSet<Keys>, rules: &RuleSet) -> Vec<Keys> {
    let is_state = |keys: &Keys| {
        // A rule of class `state` names a directory; what lies beneath it has no class of its own.
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

fn failed(unseen: &Unseen) -> String {
    format!("failed to look for authorized keys: {}", unseen.text())
}

/// The files that hold a key, each with whose hands it is in, and the homes that could not be looked into.
#[derive(Default)]
struct Found {
    keys: BTreeSet<(Keys, Cause)>,
    missed: Vec<Missed>,
}

impl Found {
    /// The files in these hands, or the reason why it is not known whether there is one.
    fn seen(&self, hands: Cause) -> Seen {
        let keys = self.keys.iter().filter(|(_, found)| *found == hands);
        let paths = keys.map(|(keys, _)| keys.path()).collect::<Vec<_>>();
        if !paths.is_empty() {
            return Seen::Open(few(&paths));
        }
        let missed = self.missed.iter().filter(|missed| missed.hands == hands);
        let missed = || missed.clone().map(|missed| &missed.why);
        let texts = |wanted: &dyn Fn(&&Unseen) -> bool| {
            let texts = missed().filter(wanted).map(|why| why.text().to_owned());
            few(&texts.collect::<Vec<_>>())
        };
        // A doubt that is root's counts for more than one that another row says who can bring about.
        let hidden = texts(&|why| matches!(why, Unseen::Hidden(_)));
        let unfit = missed().find_map(|why| match why {
            Unseen::Unfit(row, _) => Some(*row),
            Unseen::Hidden(_) => None,
        });
        match unfit {
            _ if !hidden.is_empty() => Seen::Hidden(hidden),
            Some(row) => Seen::Unfit(row, texts(&|_| true)),
            None => Seen::Shut(Strength::Reversible, "none".to_owned()),
        }
    }
}

/// Looks for two names in each home. Nothing is listed: what else is in a home costs nothing.
fn find(look: &Look<'_>, accounts: &[Account]) -> Found {
    let mut found = Found::default();
    // An account without a home has the root, and sshd puts a slash before whatever it has.
    let homes = accounts
        .iter()
        .map(|account| account.home.trim_matches('/'));
    // Each once: many system accounts share `/` or /nonexistent.
    for home in homes.collect::<BTreeSet<_>>() {
        let directory = format!("{home}/.ssh");
        let directory = directory.trim_start_matches('/');
        match look.reach(directory) {
            Ok(Some(reached)) if reached.kind.is_dir() => {
                for name in NAMES {
                    if let Some(hands) = holder(look, &reached.place, name) {
                        let directory = directory.to_owned();
                        let keys = Keys { directory, name };
                        // A user who may write a directory on the way can replace the file, even one that is root's.
                        found.keys.insert((keys, hands.max(reached.hands)));
                    }
                }
            }
            Ok(_) => {}
            Err(missed) => found.missed.push(missed),
        }
    }
    found
}

/// Whose hands a file with keys is in; nothing, if it lets nobody in. An empty file lets nobody in. One that cannot be
/// read may, and so may a link, wherever it leads.
fn holder(look: &Look<'_>, directory: impl AsFd, name: &str) -> Option<Cause> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(&directory, name, flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR) => return None,
        file => file,
    };
    let stat = file.and_then(attributes);
    let Ok(stat) = stat else {
        // In doubt it lets somebody in, by root's doing unless the way to it says otherwise.
        return Some(Cause::Root);
    };
    let is_directory = FileType::from_raw_mode(stat.stx_mode.into()).is_dir();
    if is_directory || !look.has_content(&directory, name) {
        return None;
    }
    Some(look.hands(&stat))
}

/// In a directory that belongs to whom the keys do. It is opened without following links, and both
/// names are fixed ones in it: whoever swaps it meanwhile has another file of this name put aside,
/// which was theirs to rename before.
fn put_aside(look: &Look<'_>, keys: &Keys) -> Result<(), String> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let root = look.root().as_fd();
    let directory = &keys.directory;
    let directory = earmark_scan::openat2(root, directory.as_str(), flags, resolve)
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
        Err(unseen) => return vec![failed(&unseen)],
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
    let directory = match earmark_scan::openat2(root, path, flags, resolve) {
        // What is put aside is put aside without following a link, too.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        opened => opened?,
    };
    let aside = format!("{}{ASIDE}", keys.name);
    // The kernel decides: between a check and the rename the account could write new keys, which would be lost.
    let flags = RenameFlags::NOREPLACE;
    match rustix::fs::renameat_with(&directory, aside.as_str(), &directory, keys.name, flags) {
        Err(Errno::NOENT | Errno::EXIST) => Ok(()),
        renamed => renamed.and_then(|()| rustix::fs::fsync(&directory)),
    }
}

#[cfg(test)]
mod tests;
