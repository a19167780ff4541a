//! Unit files, as systemd finds them, and whether a unit is masked and does not run.

use std::collections::BTreeSet;

use rustix::fs::FileType;

use super::{
    super::{
        cause::Probe,
        item::{Item, Seen, Strength, Unseen},
    },
    Look,
};
use crate::status::model::LockState;

/// Directories in which systemd looks for a unit, in its order.
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

/// State of a unit's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UnitFile {
    /// There is none.
    Absent,
    /// systemd is told that there is none.
    Masked,
    /// This one counts.
    Present,
}

impl Look<'_> {
    /// The units among these, or made of them, that something starts with the host, and that nothing
    /// masks.
    pub fn enabled(&self, units: &[&str]) -> Result<Vec<String>, Unseen> {
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
        let is_masked = |unit: &str| Ok::<_, Unseen>(self.unit_file(unit)? == UnitFile::Masked);
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

    /// Returns whether the host has this unit, masked or not.
    pub fn has_unit(&self, unit: &str) -> Result<bool, Unseen> {
        Ok(self.unit_file(unit)? != UnitFile::Absent)
    }

    /// A unit that is to be masked and not to run: `ssh.service`, or a template such as
    /// `getty@.service` with all that was made of it.
    pub fn masked_unit(&self, unit: &str) -> Item {
        let seen = self.see_unit(unit).unwrap_or_else(Seen::from);
        Item::new(Probe::Unit, unit, MASKED, UNIT_PROBE, seen)
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
            items.push(Item::new(Probe::Unit, name, MASKED, UNIT_PROBE, seen));
        }
        items
    }

    fn see_unit(&self, unit: &str) -> Result<Seen, Unseen> {
        let running = self.running()?;
        // Before any file: a mask keeps a unit from starting, and stops none that runs.
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
    fn open_instance(&self, unit: &str) -> Result<Option<String>, Unseen> {
        if !unit.contains("@.") {
            return Ok(None);
        }
        for name in self.unit_names()?.iter().flatten() {
            let is_instance = name != unit && is_of(unit, name);
            if is_instance && self.unit_file(name)? == UnitFile::Present {
                return Ok(Some(name.clone()));
            }
        }
        Ok(None)
    }

    /// Lists the directories of units, in their order.
    fn unit_names(&self) -> Result<&[BTreeSet<String>], Unseen> {
        let names = self.units.get_or_init(|| {
            let list = |place: &&str| {
                let names = self.list(place)?.unwrap_or_default().into_iter();
                Ok(names.map(|(name, _)| name).collect())
            };
            PLACES.iter().map(list).collect()
        });
        names.as_deref().map_err(Clone::clone)
    }

    /// Finds the file that systemd finds first. A mask of what does not exist is no lock.
    fn unit_file(&self, unit: &str) -> Result<UnitFile, Unseen> {
        let mut is_masked = false;
        for (place, names) in PLACES.iter().zip(self.unit_names()?) {
            if !names.contains(unit) {
                continue;
            }
            let path = format!("{place}/{unit}");
            // systemd takes an empty file for a mask as well. Here it is a unit without one: the stricter answer.
            if self.link(&path)?.as_deref() == Some("/dev/null") {
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

/// Returns whether `name` is this unit or, if `unit` is a template, an instance of it.
pub fn is_of(unit: &str, name: &str) -> bool {
    match unit.split_once("@.") {
        None => name == unit,
        Some((stem, kind)) => name
            .strip_prefix(stem)
            .and_then(|rest| rest.strip_prefix('@'))
            .is_some_and(|rest| rest.ends_with(&format!(".{kind}"))),
    }
}
