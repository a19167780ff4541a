//! Configuration by the image, or by somebody, against our units: drop-ins and added dependencies.

use std::{collections::BTreeSet, os::unix::ffi::OsStrExt, path::PathBuf};

use crate::boot::units::{READY, UNITS};
use earmark_manifest::escape::Escaped;
use earmark_scan::Root;

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
    let (mut found, mut problems) = (BTreeSet::new(), Vec::new());
    for (place, unit) in PLACES
        .iter()
        .flat_map(|place| UNITS.iter().map(move |unit| (place, unit.name)))
    {
        for (suffix, directories) in directories(unit) {
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

/// The directories that add to a unit, by what they add.
fn directories(unit: &str) -> Vec<(&'static str, Vec<(String, bool)>)> {
    let (stem, kind) = unit.rsplit_once('.').unwrap_or((unit, ""));
    let own = |suffix: &str| vec![(format!("{unit}.{suffix}"), true)];
    let mut drop_ins = own("d");
    // `earmark-first-.service.d` and `earmark-.service.d`: for each name that begins so.
    let prefixes = stem.match_indices('-').filter_map(|(at, _)| stem.get(..at));
    drop_ins.extend(prefixes.map(|prefix| (format!("{prefix}-.{kind}.d"), true)));
    drop_ins.push((format!("{kind}.d"), false));
    let mut directories = vec![("d", drop_ins)];
    // A workload may well be wanted by the target that is made for it.
    if unit != READY {
        directories.extend(["wants", "requires", "upholds"].map(|suffix| (suffix, own(suffix))));
    }
    directories
}

fn counts(suffix: &str, name: &[u8]) -> bool {
    suffix != "d" || name.ends_with(b".conf")
}

/// For messages.
pub(super) fn show(path: &std::path::Path) -> String {
    Escaped(path.as_os_str().as_bytes()).to_string()
}
