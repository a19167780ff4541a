//! The units of an image that cannot be held back, because what the verification waits for waits for
//! them: a drop-in that orders them after it would be a cycle.

use std::collections::{BTreeMap, BTreeSet};

use earmark_scan::Root;

use super::{
    is_held, is_listed, reason,
    unit::Unit,
    units::{Units, read, template},
};
use crate::boot::units::{UNITS, VERIFY};

/// Units that the verification waits for: its own `After=`, the journal that it writes to, and the services
/// behind the devices of local file systems, which no ordering names.
const NEEDED: [&str; 12] = [
    "cryptsetup-pre.target",
    "local-fs.target",
    "local-fs-pre.target",
    "systemd-fsck@.service",
    "systemd-cryptsetup@.service",
    "systemd-integritysetup@.service",
    "systemd-journald.service",
    "systemd-journald.socket",
    "systemd-udev-trigger.service",
    "systemd-udevd.service",
    "systemd-veritysetup@.service",
    VERIFY,
];

/// Units of the root that are not as the list has it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Order {
    /// Units that are not listed and would have to start before the verdict, with what waits for each.
    pub(crate) early: BTreeMap<String, String>,
    /// Units that would have to, too, and that no root starts by itself: masked, they take nothing away.
    pub(crate) idle: BTreeSet<String>,
    /// Directories of drop-ins in which ours has to come before somebody else's.
    pub(crate) claimed: BTreeSet<String>,
    /// Other names of units, which links give them, and where each leads.
    pub(crate) aliases: BTreeMap<String, String>,
    /// Problems with units that could not be read.
    pub(crate) problems: Vec<String>,
}

/// Looks for them in the unit files of `root`.
pub(crate) fn find(root: &Root) -> Order {
    let mut units = read(root);
    for unit in &UNITS {
        // The early directory has their text from the program: files of their names on the disk do not count.
        units.known.remove(unit.name);
    }
    let mut claimed: BTreeSet<String> = std::mem::take(&mut units.claimed).into_iter().collect();
    // The list frees instances and prefixes for what generators and udev make. A file that takes such a
    // name is the image's own; so is a link, since systemd adds the drop-ins of a unit's other names.
    let files = units.known.iter().filter(|(_, unit)| unit.has_file);
    let names = files.map(|(name, _)| name).chain(units.aliases.keys());
    let own = names.filter(|name| is_held(name) && reason(name).is_some() && !is_listed(name));
    claimed.extend(own.map(|unit| format!("{unit}.d")));
    let (early, idle) = early(&units);
    Order {
        early,
        idle,
        claimed,
        aliases: units.aliases,
        problems: units.problems,
    }
}

/// Shells that systemd opens before udev or its mounts for a word of the command line, from its version 258 on.
const BREAKPOINTS: &str = "breakpoint-pre-";

/// Walks from what the verification needs to all that has to be there before: what is found with what waits for it, and
/// what of it no root starts by itself.
fn early(units: &Units) -> (BTreeMap<String, String>, BTreeSet<String>) {
    let canonical = |name: &str| {
        let name = units.aliases.get(name).map_or(name, String::as_str);
        if units.known.contains_key(name) {
            name.to_owned()
        } else {
            template(name)
        }
    };
    let mut ahead: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, unit) in &units.known {
        for later in &unit.before {
            ahead.entry(canonical(later)).or_default().push(name);
        }
    }
    let local = units
        .known
        .iter()
        .filter(|(name, unit)| is_local(name, unit));
    let mut open: Vec<String> = NEEDED.iter().map(|name| (*name).to_owned()).collect();
    open.extend(local.map(|(name, _)| name.clone()));
    let mut seen: BTreeSet<String> = open.iter().cloned().collect();
    let (mut found, mut idle) = (BTreeMap::new(), BTreeSet::new());
    while let Some(name) = open.pop() {
        let own = units.known.get(&name).map(|unit| &unit.after);
        let after = own.into_iter().flatten().map(|other| canonical(other));
        let before = ahead.get(&name).into_iter().flatten();
        let before = before.map(|other| (*other).to_owned());
        for other in after.chain(before) {
            if !seen.insert(other.clone()) {
                continue;
            }
            // One with default dependencies waits for sysinit.target already, which waits for us.
            let unit = units.known.get(&other);
            if is_held(&other) && unit.is_some_and(|unit| !unit.without_defaults) {
                continue;
            }
            if let Some(unit) = unit
                && is_held(&other)
                && reason(&other).is_none()
            {
                if unit.is_of_initrd || other.starts_with(BREAKPOINTS) {
                    idle.insert(other);
                } else {
                    found.insert(other, name.clone());
                }
                continue;
            }
            open.push(other);
        }
    }
    (found, idle)
}

/// Returns whether local-fs.target waits for a mount that a file of the image describes.
fn is_local(name: &str, unit: &Unit) -> bool {
    let kind = name.rsplit_once('.').map_or("", |(_, kind)| kind);
    // systemd orders a mount before local-fs.target by its default dependencies alone.
    matches!(kind, "mount" | "automount") && !unit.without_defaults && !unit.is_remote
}
