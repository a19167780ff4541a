//! The running host, as probes look at it: small texts of `/proc` and `/sys`, files, units. Nothing
//! is started for a look, and nothing is changed by it.

use std::{cell::OnceCell, collections::BTreeSet, fmt::Display, fs::File, io::Read};

use earmark_manifest::{escape::Escaped, path::ImagePath};
use earmark_scan::Root;
use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
};

use super::item::{Item, LockState, Seen, Strength};

/// What is read of a file.
const BOUND: usize = 1024 * 1024;
/// Control groups are not nested deeper than this by anybody's units.
const DEEPEST: usize = 16;
const CGROUPS: &str = "sys/fs/cgroup";
/// There in the unified hierarchy alone, which every system has that there is a profile for.
const UNIFIED: &str = "/sys/fs/cgroup/cgroup.controllers";
/// Where systemd looks for a unit, in its order.
const PLACES: [&str; 12] = [
    "etc/systemd/system.control",
    "run/systemd/system.control",
    "run/systemd/transient",
    "run/systemd/generator.early",
    "etc/systemd/system",
    "etc/systemd/system.attached",
    "run/systemd/system",
    "run/systemd/system.attached",
    "run/systemd/generator",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "run/systemd/generator.late",
];
const MASKED: &str = "masked, not running";
const UNIT_PROBE: &str = "unit files, control groups";

/// A host.
pub struct Look<'a> {
    root: &'a Root,
    running: OnceCell<Result<BTreeSet<String>, String>>,
}

/// What is known of a unit's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UnitFile {
    /// There is none.
    Absent,
    /// systemd is told that there is none.
    Masked,
    /// This one counts.
    Present,
}

impl<'a> Look<'a> {
    pub fn new(root: &'a Root) -> Self {
        Self {
            root,
            running: OnceCell::new(),
        }
    }

    /// The root that is looked at.
    pub fn root(&self) -> &Root {
        self.root
    }

    /// The text of a small file, without white space at its ends. Nothing, if there is no such
    /// file.
    pub fn text(&self, path: &str) -> Result<Option<String>, String> {
        let path = absolute(path)?;
        let bytes = self.root.read_opt(&path, BOUND);
        let bytes = bytes.map_err(|error| error.to_string())?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()))
    }

    /// The text of a small file that may be reached through links, but not out of the root.
    pub fn text_through_links(&self, path: &str) -> Result<Option<String>, String> {
        let failed = |problem: &dyn Display| format!("failed to read '{path}': {problem}");
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let file = match rustix::fs::openat2(self.root.as_fd(), path, flags, Mode::empty(), resolve)
        {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(errno) => return Err(failed(&errno)),
        };
        let stat = rustix::fs::fstat(&file).map_err(|errno| failed(&errno))?;
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err(failed(&"it is not a regular file"));
        }
        let mut bytes = Vec::new();
        let most = u64::try_from(BOUND).unwrap_or(u64::MAX);
        File::from(file)
            .take(most.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| failed(&error))?;
        if bytes.len() > BOUND {
            return Err(failed(&"it is too large"));
        }
        Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()))
    }

    /// Whether something is there, itself and not what it leads to. Links on the way are followed, but
    /// not out of the root.
    pub fn exists(&self, path: &str) -> Result<bool, String> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(self.root.as_fd(), path, flags, Mode::empty(), resolve) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
            Err(errno) => Err(format!("failed to look at '{path}': {errno}")),
        }
    }

    /// The names in a directory; nothing, if there is no such directory. Links on the way to it are
    /// followed, but not out of the root.
    pub fn list(&self, path: &str) -> Result<Option<Vec<(String, FileType)>>, String> {
        let names = self.root.list(path);
        let names = names.map_err(|errno| format!("failed to list '{path}': {errno}"))?;
        let text = |name: Vec<u8>| String::from_utf8_lossy(&name).into_owned();
        Ok(names.map(|names| {
            let names = names.into_iter();
            names.map(|found| (text(found.name), found.kind)).collect()
        }))
    }

    /// Where a link leads, if it is one.
    pub fn link(&self, path: &str) -> Option<String> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let link = rustix::fs::openat2(self.root.as_fd(), path, flags, Mode::empty(), resolve);
        let target = rustix::fs::readlinkat(link.ok()?, c"", Vec::new()).ok()?;
        Some(target.to_string_lossy().into_owned())
    }

    /// The units that have processes, by the control groups that they are in: what runs, whatever
    /// anybody's records say. A process that was started from another unit is in that one's group.
    pub fn running(&self) -> Result<&BTreeSet<String>, String> {
        let running = self.running.get_or_init(|| {
            // Of another hierarchy nothing could be told by this: that is not to be taken for "none".
            if !self.exists(UNIFIED)? {
                return Err(format!(
                    "'{UNIFIED}' is not there: control groups are not unified"
                ));
            }
            let mut running = BTreeSet::new();
            self.populated(CGROUPS, 0, &mut running)?;
            Ok(running)
        });
        running.as_ref().map_err(Clone::clone)
    }

    /// The control groups that have processes, as paths beneath the root.
    pub fn groups(&self) -> Result<Vec<String>, String> {
        let (mut groups, mut todo) = (Vec::new(), vec![(CGROUPS.to_owned(), 0_usize)]);
        while let Some((path, depth)) = todo.pop() {
            if depth > DEEPEST {
                return Err(format!("'/{path}' is nested too deep"));
            }
            for (name, kind) in self.list(&path)?.unwrap_or_default() {
                let inner = format!("{path}/{name}");
                if kind != FileType::Directory || !self.is_populated(&inner)? {
                    continue;
                }
                todo.push((inner.clone(), depth.saturating_add(1)));
                groups.push(inner);
            }
        }
        Ok(groups)
    }

    fn is_populated(&self, group: &str) -> Result<bool, String> {
        let events = self.text(&format!("/{group}/cgroup.events"))?;
        Ok(events.is_some_and(|events| events.lines().any(|line| line == "populated 1")))
    }

    /// The units among these, or made of them, that something starts with the host, and that nothing
    /// masks.
    pub fn enabled(&self, units: &[&str]) -> Result<Vec<String>, String> {
        let mut enabled = BTreeSet::new();
        for place in PLACES {
            for (target, kind) in self.list(place)?.unwrap_or_default() {
                let list = target.rsplit_once('.').map(|(_, list)| list);
                let is_list = matches!(list, Some("wants" | "requires"));
                if kind != FileType::Directory || !is_list {
                    continue;
                }
                let names = self.list(&format!("{place}/{target}"))?;
                let names = names.unwrap_or_default().into_iter();
                let ours = names.map(|(name, _)| name);
                enabled.extend(ours.filter(|name| units.iter().any(|unit| is_of(unit, name))));
            }
        }
        // What the image masks by itself would not start.
        let is_masked = |unit: &str| Ok::<_, String>(self.unit_file(unit)? == UnitFile::Masked);
        let mut starts = Vec::new();
        for name in enabled {
            let is_template_masked = match name.split_once('@') {
                Some((stem, rest)) if self.unit_file(&name)? == UnitFile::Absent => {
                    let kind = rest.rsplit_once('.').map_or("service", |(_, kind)| kind);
                    is_masked(&format!("{stem}@.{kind}"))?
                }
                _ => false,
            };
            if !is_template_masked && !is_masked(&name)? {
                starts.push(name);
            }
        }
        Ok(starts)
    }

    /// Whether the host has this unit, masked or not.
    pub fn has_unit(&self, unit: &str) -> Result<bool, String> {
        Ok(self.unit_file(unit)? != UnitFile::Absent)
    }

    fn populated(
        &self,
        path: &str,
        depth: usize,
        running: &mut BTreeSet<String>,
    ) -> Result<(), String> {
        if depth > DEEPEST {
            return Err(format!("'/{path}' is nested too deep"));
        }
        // A group that went meanwhile has no processes.
        for (name, kind) in self.list(path)?.unwrap_or_default() {
            if kind != FileType::Directory {
                continue;
            }
            let inner = format!("{path}/{name}");
            if !self.is_populated(&inner)? {
                continue;
            }
            self.populated(&inner, depth.saturating_add(1), running)?;
            running.insert(name);
        }
        Ok(())
    }

    /// A unit that is to be masked and not to run: `ssh.service`, or a template such as
    /// `getty@.service` with all that was made of it.
    pub fn masked_unit(&self, unit: &str) -> Item {
        let seen = self.see_unit(unit).unwrap_or_else(Seen::Hidden);
        Item::new(unit, MASKED, UNIT_PROBE, seen)
    }

    /// Units that are to be masked and not to run: an item for each that there is, or a single one
    /// of this name if there is none of them.
    pub fn masked_units(&self, name: &str, units: &[&str]) -> Vec<Item> {
        let items = units.iter().map(|unit| self.masked_unit(unit));
        let mut items = items
            .filter(|item| item.state != LockState::NotApplicable)
            .collect::<Vec<_>>();
        if items.is_empty() {
            let seen = Seen::Absent("no such unit".to_owned());
            items.push(Item::new(name, MASKED, UNIT_PROBE, seen));
        }
        items
    }

    fn see_unit(&self, unit: &str) -> Result<Seen, String> {
        let running = self.running()?;
        if let Some(name) = running.iter().find(|name| is_of(unit, name)) {
            return Ok(Seen::Open(format!("'{name}' runs")));
        }
        if let Some(name) = self.open_instance(unit)? {
            return Ok(Seen::Open(format!("'{name}' is not masked")));
        }
        Ok(match self.unit_file(unit)? {
            UnitFile::Absent => Seen::Absent("no such unit".to_owned()),
            UnitFile::Masked => Seen::Shut(Strength::Reversible, MASKED.to_owned()),
            UnitFile::Present => Seen::Open("not masked".to_owned()),
        })
    }

    /// A unit of a template that has a file of its own. systemd takes that before the template's,
    /// and so before the mask of the template.
    fn open_instance(&self, unit: &str) -> Result<Option<String>, String> {
        if !unit.contains("@.") {
            return Ok(None);
        }
        for place in PLACES {
            for (name, _) in self.list(place)?.unwrap_or_default() {
                let is_instance = name != unit && is_of(unit, &name);
                if is_instance && self.unit_file(&name)? == UnitFile::Present {
                    return Ok(Some(name));
                }
            }
        }
        Ok(None)
    }

    /// What systemd finds first. A mask of what does not exist is no lock.
    fn unit_file(&self, unit: &str) -> Result<UnitFile, String> {
        let mut is_masked = false;
        for place in PLACES {
            let path = format!("{place}/{unit}");
            if self.link(&path).as_deref() == Some("/dev/null") {
                is_masked = true;
            } else if self.exists(&path)? {
                return Ok(if is_masked {
                    UnitFile::Masked
                } else {
                    UnitFile::Present
                });
            }
        }
        Ok(UnitFile::Absent)
    }
}

/// Whether this is the unit, or made of it where it is a template.
pub fn is_of(unit: &str, name: &str) -> bool {
    match unit.split_once("@.") {
        None => name == unit,
        Some((stem, kind)) => name
            .strip_prefix(stem)
            .and_then(|rest| rest.strip_prefix('@'))
            .is_some_and(|rest| rest.ends_with(&format!(".{kind}"))),
    }
}

/// Names for a finding, escaped: the first few, and how many more there are.
pub fn few(names: &[String]) -> String {
    const FEW: usize = 4;
    let shown = names.iter().take(FEW);
    let mut text = shown
        .map(|name| Escaped(name.as_bytes()).to_string())
        .collect::<Vec<_>>()
        .join(", ");
    if let Some(more @ 1..) = names.len().checked_sub(FEW) {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

fn absolute(path: &str) -> Result<ImagePath, String> {
    ImagePath::from_absolute(path.as_bytes()).map_err(|error| format!("'{path}': {error}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::testing::TestRoot;

    fn found(root: &TestRoot, unit: &str) -> String {
        let root = root.open();
        Look::new(&root).masked_unit(unit).found
    }

    #[test]
    fn a_unit_is_shut_if_systemd_finds_a_mask_first_and_nothing_of_it_runs() {
        let root = TestRoot::bare();
        assert_eq!(found(&root, "ssh.service"), "no such unit");
        root.write("/usr/lib/systemd/system/ssh.service", b"");
        root.write("/usr/lib/systemd/system/getty@.service", b"");
        assert_eq!(found(&root, "ssh.service"), "not masked");
        root.write("/run/systemd/generator.early/.keep", b"");
        for unit in ["ssh.service", "getty@.service", "gone.service"] {
            let mask = root.at(&format!("/run/systemd/generator.early/{unit}"));
            symlink("/dev/null", mask).unwrap();
        }
        assert_eq!(found(&root, "ssh.service"), "masked, not running");
        assert_eq!(found(&root, "getty@.service"), "masked, not running");
        assert_eq!(found(&root, "gone.service"), "no such unit");
        for (group, populated) in [
            ("system.slice", true),
            ("system.slice/ssh.service", false),
            ("system.slice/system-getty.slice", true),
            ("system.slice/system-getty.slice/getty@tty1.service", true),
        ] {
            let events = format!("populated {}\nfrozen 0\n", u8::from(populated));
            let path = format!("/sys/fs/cgroup/{group}/cgroup.events");
            root.write(&path, events.as_bytes());
        }
        assert_eq!(found(&root, "ssh.service"), "masked, not running");
        assert_eq!(found(&root, "getty@.service"), "'getty@tty1.service' runs");
    }

    #[test]
    fn an_instance_with_a_file_of_its_own_goes_round_the_mask_of_its_template() {
        let root = TestRoot::bare();
        root.write("/usr/lib/systemd/system/getty@.service", b"");
        root.link("/run/systemd/generator.early/getty@.service", "/dev/null");
        root.link("/etc/systemd/system/getty@tty1.service", "/dev/null");
        assert_eq!(found(&root, "getty@.service"), "masked, not running");
        root.write("/usr/lib/systemd/system/getty@tty9.service", b"");
        assert_eq!(
            found(&root, "getty@.service"),
            "'getty@tty9.service' is not masked"
        );
    }

    #[test]
    fn units_that_are_not_there_are_one_item() {
        let root = TestRoot::bare();
        let names = |root: &TestRoot| {
            let root = root.open();
            let items = Look::new(&root).masked_units("ways", &["a.service", "b.socket"]);
            items
                .into_iter()
                .map(|item| (item.name, item.state))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            names(&root),
            [("ways".to_owned(), LockState::NotApplicable)]
        );
        root.write("/usr/lib/systemd/system/b.socket", b"");
        assert_eq!(
            names(&root),
            [("b.socket".to_owned(), LockState::NotEnforced)]
        );
    }

    #[test]
    fn of_many_names_the_first_are_shown_and_none_drives_a_terminal() {
        let names = |count| {
            (0..count)
                .map(|name: usize| name.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(few(&[]), "");
        assert_eq!(few(&names(4)), "0, 1, 2, 3");
        assert_eq!(few(&names(7)), "0, 1, 2, 3 and 3 more");
        assert_eq!(few(&["a\n\x1b".to_owned()]), "a\\x0a\\x1b");
    }
}
