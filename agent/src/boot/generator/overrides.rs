//! Configuration by the image, or by somebody, against our units: drop-ins and added dependencies.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use earmark_manifest::escape::Escaped;
use earmark_scan::Root;

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

/// Finds them all, and says what could not be listed. `aliases` are the names that links give units.
pub(super) fn find(
    root: &Root,
    aliases: &BTreeMap<String, String>,
) -> (BTreeSet<Override>, Vec<String>) {
    let (mut found, mut problems) = (BTreeSet::new(), Vec::new());
    for unit in UNITS.iter().map(|unit| unit.name) {
        for directory in directories(unit, &other_names(unit, aliases)) {
            for place in PLACES {
                let path = format!("{place}/{}", directory.name);
                // A link is followed, as systemd follows it.
                let names = match root.list(&path) {
                    Ok(names) => names.unwrap_or_default(),
                    Err(errno) => {
                        problems.push(format!(
                            "failed to list '/{path}': {errno}: what is in it can change {unit}"
                        ));
                        continue;
                    }
                };
                let names = names.into_iter().map(|listed| listed.name);
                let names = names.filter(|name| counts(directory.suffix, name));
                found.extend(names.map(|name| {
                    Override {
                        path: PathBuf::from(format!("{unit}.{}", directory.suffix))
                            .join(std::ffi::OsStr::from_bytes(&name)),
                        is_for_us: directory.is_for_us,
                    }
                }));
            }
        }
    }
    (found, problems)
}

/// Returns the other names that links give a unit, also by way of each other: systemd adds the drop-ins and dependencies of
/// these to the unit's own, wherever its file lies.
pub(super) fn other_names<'a>(
    unit: &str,
    aliases: &'a BTreeMap<String, String>,
) -> BTreeSet<&'a str> {
    let leads_here = |name: &str| {
        let chain = std::iter::successors(aliases.get(name), |name| aliases.get(*name));
        // Links can lead round: one more than there are has met each.
        chain.take(aliases.len()).any(|name| name == unit)
    };
    let names = aliases.keys().map(String::as_str);
    names.filter(|name| leads_here(name)).collect()
}

/// A directory that adds to a unit.
struct Directory {
    /// Such as `earmark-verify.service.d` or `service.d`.
    name: String,
    /// `d`, `wants`, `requires` or `upholds`.
    suffix: &'static str,
    /// See [`Override::is_for_us`].
    is_for_us: bool,
}

/// Lists the directories that add to a unit under its own name and these others.
fn directories(unit: &str, others: &BTreeSet<&str>) -> Vec<Directory> {
    let kind = unit.rsplit_once('.').map_or("", |(_, kind)| kind);
    let mut directories = vec![Directory {
        name: format!("{kind}.d"),
        suffix: "d",
        is_for_us: false,
    }];
    for name in std::iter::once(unit).chain(others.iter().copied()) {
        let mut add = |suffix, name| {
            directories.push(Directory {
                name,
                suffix,
                is_for_us: true,
            });
        };
        add("d", format!("{name}.d"));
        let (stem, kind) = name.rsplit_once('.').unwrap_or((name, ""));
        // `earmark-first-.service.d` and `earmark-.service.d`: for each name that begins so.
        for prefix in stem.match_indices('-').filter_map(|(at, _)| stem.get(..at)) {
            add("d", format!("{prefix}-.{kind}.d"));
        }
        // A workload may well be wanted by the target that is made for it.
        if unit != READY {
            for suffix in ["wants", "requires", "upholds"] {
                add(suffix, format!("{name}.{suffix}"));
            }
        }
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
