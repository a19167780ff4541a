//! Unit files as far as ordering goes: a tolerant reader, which takes what systemd would take.

use std::{collections::BTreeMap, io::Read, os::unix::ffi::OsStrExt, path::Path};

use earmark_scan::Root;
use rustix::fs::{OFlags, ResolveFlags, readlinkat};

use super::{super::overrides::PLACES, GATE};

/// Bytes of a unit file or drop-in that are read: stock ones have a few thousand.
const BOUND: u64 = 64 * 1024;
/// Unit files and drop-ins that are read: a large server has 600.
const FILES: usize = 8192;

/// The ordering of one unit, its drop-ins included.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) before: Vec<String>,
    pub(super) after: Vec<String>,
    pub(super) without_defaults: bool,
    /// A mount of a file system that is not on this machine.
    pub(super) is_remote: bool,
    /// Described by a file of its own, and not by drop-ins alone.
    pub(super) has_file: bool,
}

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
                let unit = all.known.entry(name).or_default();
                unit.has_file = true;
                unit.take(&text);
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
        shared.for_each(|(_, unit)| unit.take(&text));
        // One for a unit that only a generator makes counts, too.
        all.known.entry(unit).or_default().take(&text);
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
fn text(root: &Root, path: &str, left: usize, problems: &mut Vec<String>) -> Option<String> {
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
    file.take(BOUND).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

impl Unit {
    /// Adds what a file says. Ordering adds up: an empty `Before=` takes nothing back.
    fn take(&mut self, text: &str) {
        let mut section = String::new();
        for line in joined(text) {
            if let Some(name) = line.strip_prefix('[') {
                name.trim_end_matches(']').clone_into(&mut section);
                continue;
            }
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            let (key, value) = (key.trim(), value.trim());
            match (&*section, key) {
                ("Unit", "Before") => self.before.extend(names(value)),
                ("Unit", "After") => self.after.extend(names(value)),
                ("Unit", "DefaultDependencies") => {
                    let no = ["no", "n", "false", "f", "off", "0"];
                    self.without_defaults = no.iter().any(|word| value.eq_ignore_ascii_case(word));
                }
                ("Mount", "Options") => {
                    self.is_remote |= value.split(',').any(|option| option == "_netdev");
                }
                ("Mount", "Type") => {
                    const REMOTE: [&str; 7] =
                        ["afs", "ceph", "cifs", "glusterfs", "nfs", "nfs4", "smb3"];
                    self.is_remote |= REMOTE.contains(&value);
                }
                _ => {}
            }
        }
    }
}

/// Lines without comments; one that ends with a backslash goes on in the next.
fn joined(text: &str) -> Vec<String> {
    let (mut lines, mut whole) = (Vec::new(), String::new());
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(begun) = line.strip_suffix('\\') {
            whole.push_str(begun);
            whole.push(' ');
            continue;
        }
        whole.push_str(line);
        lines.push(std::mem::take(&mut whole));
    }
    lines.push(whole);
    lines
}

/// Names with a specifier are known only once a unit is started: those are left out.
fn names(value: &str) -> impl Iterator<Item = String> {
    let words = value.split_whitespace();
    let words = words.map(|word| word.trim_matches(['"', '\'']));
    words.filter(|word| !word.contains('%')).map(str::to_owned)
}
