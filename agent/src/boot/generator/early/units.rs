//! Unit files as far as ordering goes: a tolerant reader, which takes what systemd would take.

use std::{collections::BTreeMap, io::Read, os::unix::ffi::OsStrExt, path::Path};

use earmark_scan::Root;
use rustix::fs::{OFlags, ResolveFlags, readlinkat};

use super::{super::overrides::PLACES, GATE, unit::Unit};

/// Bytes of a unit file or drop-in that are read: stock ones have a few thousand.
const BOUND: u64 = 64 * 1024;
/// Unit files and drop-ins that are read: a large server has 600.
const FILES: usize = 8192;

/// All units that files of the root describe.
#[derive(Debug, Default)]
pub(super) struct Units {
    /// By name. A template is `NAME@.TYPE`.
    pub(super) known: BTreeMap<String, Unit>,
    /// Other names of units.
    pub(super) aliases: BTreeMap<String, String>,
    /// Directories `UNIT.d` that have a drop-in with the name of ours.
    pub(super) claimed: Vec<String>,
    /// Directories that could not be listed, and files beyond the bound.
    pub(super) problems: Vec<String>,
}

/// `NAME@.TYPE` of an instance, and every other name as it is.
pub(super) fn template(unit: &str) -> String {
    match (unit.split_once('@'), unit.rsplit_once('.')) {
        (Some((name, _)), Some((_, kind))) => format!("{name}@.{kind}"),
        _ => unit.to_owned(),
    }
}

/// Reads the directories in systemd's order: the first file of a name counts.
pub(super) fn read(root: &Root) -> Units {
    let mut all = Units::default();
    // By file name first: systemd reads the drop-ins of all directories of a unit in that order.
    let mut drop_ins = BTreeMap::new();
    let mut masked = std::collections::BTreeSet::new();
    let mut left = FILES;
    for place in PLACES {
        let listed = match root.list(place) {
            Ok(listed) => listed.unwrap_or_default(),
            Err(errno) => {
                all.problems
                    .push(format!("failed to list '/{place}': {errno}"));
                continue;
            }
        };
        for entry in listed {
            // systemd has no units whose names are not ASCII.
            let Ok(name) = String::from_utf8(entry.name) else {
                continue;
            };
            let path = format!("{place}/{name}");
            if let Some(unit) = name.strip_suffix(".d") {
                for file in root.list(&path).ok().flatten().unwrap_or_default() {
                    let Ok(file) = String::from_utf8(file.name) else {
                        continue;
                    };
                    if file == GATE && !all.claimed.contains(&name) {
                        all.claimed.push(name.clone());
                    }
                    if Path::new(&file).extension().is_some_and(|it| it == "conf") {
                        let path = format!("{path}/{file}");
                        // The first directory counts: systemd takes one file for each name of a drop-in.
                        drop_ins.entry((file, unit.to_owned())).or_insert(path);
                    }
                }
                continue;
            }
            let is_unit = name.rsplit_once('.').is_some_and(|(_, kind)| is_kind(kind));
            let is_known = all.known.contains_key(&name)
                || all.aliases.contains_key(&name)
                || masked.contains(&name);
            if !is_unit || is_known {
                continue;
            }
            match link(root, &path).as_deref() {
                Some("/dev/null") => {
                    masked.insert(name);
                    continue;
                }
                Some(target) => {
                    let target = target.rsplit('/').next().unwrap_or_default();
                    if target != name && template(target) != template(&name) {
                        all.aliases.insert(name, target.to_owned());
                        continue;
                    }
                }
                None => {}
            }
            left = left.saturating_sub(1);
            if let Some(text) = text(root, &path, left, &mut all.problems) {
                let unit = all.known.entry(name.clone()).or_default();
                unit.has_file = true;
                unit.take(&name, &text);
            }
        }
    }
    for ((_, unit), path) in drop_ins {
        left = left.saturating_sub(1);
        let unit = all.aliases.get(&unit).cloned().unwrap_or(unit);
        let Some(text) = text(root, &path, left, &mut all.problems) else {
            continue;
        };
        let shared = all
            .known
            .iter_mut()
            .filter(|(name, _)| is_shared(&unit, name));
        shared.for_each(|(name, unit)| unit.take(name, &text));
        // One for a unit that only a generator makes counts, too.
        let name = unit.clone();
        all.known.entry(unit).or_default().take(&name, &text);
    }
    all
}

/// Tells whether `unit` takes the drop-ins in `directory`, a name without `.d`, with other units: `TYPE`,
/// `PREFIX-.TYPE` or `NAME@.TYPE`.
fn is_shared(directory: &str, unit: &str) -> bool {
    let Some((stem, kind)) = unit.rsplit_once('.') else {
        return false;
    };
    match directory.rsplit_once('.') {
        None => directory == kind,
        Some((prefix, of)) => {
            let is_longer = prefix.ends_with('-') && stem.len() > prefix.len();
            of == kind && is_longer && stem.starts_with(prefix)
                || directory != unit && directory == template(unit)
        }
    }
}

fn is_kind(kind: &str) -> bool {
    const OTHERS: [&str; 4] = ["target", "mount", "automount", "swap"];
    super::KINDS.contains(&kind) || OTHERS.contains(&kind)
}

fn link(root: &Root, path: &str) -> Option<String> {
    let target = readlinkat(root.as_fd(), path, Vec::new()).ok()?;
    let target = Path::new(std::ffi::OsStr::from_bytes(target.as_bytes()));
    Some(target.to_string_lossy().into_owned())
}

/// A link is followed, as systemd follows it, but not out of the root.
fn text(root: &Root, path: &str, left: usize, problems: &mut Vec<String>) -> Option<Vec<u8>> {
    if left == 0 {
        let problem = format!("more than {FILES} unit files: the others are not read");
        if problems.last() != Some(&problem) {
            problems.push(problem);
        }
        return None;
    }
    // A pipe must not hold the boot up.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = earmark_scan::openat2(root.as_fd(), path, flags, resolve).ok()?;
    let mut bytes = Vec::new();
    let file = std::fs::File::from(file);
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    file.take(BOUND + 1).read_to_end(&mut bytes).ok()?;
    // systemd would read on: an order behind the bound holds, and is not known here.
    if u64::try_from(bytes.len()).is_ok_and(|size| size > BOUND) {
        problems.push(format!(
            "'/{path}' has more than {BOUND} bytes: the others are not read"
        ));
    }
    Some(bytes)
}
