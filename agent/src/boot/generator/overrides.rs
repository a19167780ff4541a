//! Configuration by the image, or by somebody, against our units: drop-ins and added dependencies.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use earmark_manifest::escape::Escaped;
use earmark_scan::Root;
use rustix::fs::{FileType, readlinkat};

use crate::boot::units::{READY, UNITS};

/// Directories in which systemd looks for units after the generators' early directory. `/run/systemd/generator` is
/// left out: it is being written by other generators right now, which are sealed like this one.
pub(super) const PLACES: [&str; 8] = [
    "etc/systemd/system",
    "etc/systemd/system.attached",
    "run/systemd/system",
    "run/systemd/system.attached",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
    "run/systemd/generator.late",
];

/// Something that would change one of our units. In the early directory, a link to `/dev/null` at
/// the same path takes its effect away.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Override {
    /// `UNIT.d/NAME.conf`, `UNIT.wants/OTHER` and the like.
    pub(super) path: PathBuf,
    /// True if it is meant for our units alone, false if for all services or targets. The latter may come and
    /// go with other software.
    pub(super) is_for_us: bool,
}

/// Finds them all, and says what could not be listed.
pub(super) fn find(root: &Root) -> (BTreeSet<Override>, Vec<String>) {
    let (links, mut problems) = links(root);
    let mut found = BTreeSet::new();
    for (place, unit) in PLACES
        .iter()
        .flat_map(|place| UNITS.iter().map(move |unit| (place, unit.name)))
    {
        for (suffix, directories) in directories(unit, &other_names(unit, &links)) {
            for (directory, is_for_us) in directories {
                let path = format!("{place}/{directory}");
                // A link is followed, as systemd follows it.
                match root.list(&path) {
                    Ok(names) => {
                        let names = names.unwrap_or_default().into_iter();
                        let names = names.filter(|found| counts(suffix, &found.name));
                        found.extend(names.map(|listed| {
                            Override {
                                path: PathBuf::from(format!("{unit}.{suffix}"))
                                    .join(std::ffi::OsStr::from_bytes(&listed.name)),
                                is_for_us,
                            }
                        }));
                    }
                    Err(errno) => problems.push(format!(
                        "failed to list '/{path}': {errno}: what is in it can change {unit}"
                    )),
                }
            }
        }
    }
    (found, problems)
}

/// Lists the links among the unit files: by the name that each gives, the names of the units that it leads to. Of several
/// of one name systemd takes the first; which one that is is not decided here, where too much does no harm.
fn links(root: &Root) -> (BTreeMap<String, BTreeSet<String>>, Vec<String>) {
    let (mut links, mut problems) = (BTreeMap::<String, BTreeSet<String>>::new(), Vec::new());
    for place in PLACES {
        let listed = match root.list(place) {
            Ok(listed) => listed.unwrap_or_default(),
            Err(errno) => {
                problems.push(format!(
                    "failed to list '/{place}': {errno}: a link in it can give a unit of the agent another name"
                ));
                continue;
            }
        };
        for entry in listed {
            // Not every file system says what an entry is.
            if !matches!(entry.kind, FileType::Symlink | FileType::Unknown) {
                continue;
            }
            // systemd has no units whose names are not ASCII.
            let Ok(name) = String::from_utf8(entry.name) else {
                continue;
            };
            let path = format!("{place}/{name}");
            let Ok(target) = readlinkat(root.as_fd(), path, Vec::new()) else {
                continue;
            };
            let target = target.to_string_lossy();
            let target = target.rsplit('/').next().unwrap_or_default().to_owned();
            links.entry(target).or_default().insert(name);
        }
    }
    (links, problems)
}

/// Returns the other names that links give a unit, also by way of each other: systemd adds the drop-ins and dependencies of
/// these to the unit's own, wherever its file lies.
fn other_names(unit: &str, links: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let (mut names, mut open) = (BTreeSet::new(), vec![unit.to_owned()]);
    while let Some(name) = open.pop() {
        for other in links.get(&name).into_iter().flatten() {
            if other != unit && names.insert(other.clone()) {
                open.push(other.clone());
            }
        }
    }
    names
}

/// The directories that add to a unit under its own name and these others, by what they add.
fn directories(unit: &str, others: &BTreeSet<String>) -> Vec<(&'static str, Vec<(String, bool)>)> {
    let names = || std::iter::once(unit).chain(others.iter().map(String::as_str));
    let own = |suffix: &str| -> Vec<(String, bool)> {
        names()
            .map(|name| (format!("{name}.{suffix}"), true))
            .collect()
    };
    let mut drop_ins = own("d");
    for name in names() {
        let (stem, kind) = name.rsplit_once('.').unwrap_or((name, ""));
        // `earmark-first-.service.d` and `earmark-.service.d`: for each name that begins so.
        let prefixes = stem.match_indices('-').filter_map(|(at, _)| stem.get(..at));
        drop_ins.extend(prefixes.map(|prefix| (format!("{prefix}-.{kind}.d"), true)));
        drop_ins.push((format!("{kind}.d"), false));
    }
    let mut directories = vec![("d", drop_ins)];
    // A workload may well be wanted by the target that is made for it.
    if unit != READY {
        directories.extend(["wants", "requires", "upholds"].map(|suffix| (suffix, own(suffix))));
    }
    directories
}

fn counts(suffix: &str, name: &[u8]) -> bool {
    // systemd reads files named *.conf in a drop-in directory, and no others.
    suffix != "d" || name.ends_with(b".conf")
}

/// For messages.
pub(super) fn show(path: &Path) -> String {
    Escaped(path.as_os_str().as_bytes()).to_string()
}
