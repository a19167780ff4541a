//! `earmark-agent lockdown --check`: a table of every lock and item, for people and for machines.

use std::fmt::Write;

use anyhow::Result;
use serde::Serialize;

use super::item::{Measured, Strength};
use crate::{
    host::{self, output},
    status::summary::clean,
};

/// Document that is printed. Its JSON is schema 1.
#[derive(Serialize)]
struct Shown<'a> {
    schema: u32,
    locks: &'a [Measured],
}

pub fn print(measured: &[Measured], json: bool) -> Result<()> {
    let shown = Shown {
        schema: 1,
        locks: measured,
    };
    output::write(&if json {
        format!("{}\n", serde_json::to_string_pretty(&shown)?)
    } else {
        table(measured)
    });
    Ok(())
}

fn table(measured: &[Measured]) -> String {
    let mut text = String::new();
    let items = || measured.iter().flat_map(|lock| &lock.items);
    let width = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or_default();
    let name = width(&mut items().map(|item| item.name.chars().count()));
    let desired = width(&mut items().map(|item| item.desired.chars().count()));
    for lock in measured {
        let mut declared = lock.declared.name().to_owned();
        if !lock.except.is_empty() {
            let _ = write!(declared, " but for {}", lock.except.join(", "));
        }
        if let Some(until) = lock.granted_until {
            let _ = write!(declared, ", granted until {}", host::utc(until));
        }
        let _ = writeln!(
            text,
            "{:14}  {:15}  {}",
            lock.lock,
            lock.state.words(),
            clean(&declared)
        );
        for item in &lock.items {
            let strength = match item.strength {
                Some(Strength::UntilReboot) => ", until reboot",
                Some(Strength::Reversible) => ", reversible",
                None => "",
            };
            // All of it is cleaned below: users choose the names of mounts, and this goes to a terminal.
            let (cause, consequence) = (item.cause.name(), item.cause.consequence());
            let _ = writeln!(
                text,
                "  {:name$}  {:desired$}  {}{strength}: {}  [{}; {cause} can cause it: {consequence}]",
                clean(&item.name),
                clean(&item.desired),
                item.state.words(),
                clean(&item.found),
                clean(&item.probe),
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use earmark_manifest::declaration::{Lock, LockName};

    use super::*;
    use crate::lockdown::{
        cause::Probe,
        item::{Item, Seen},
    };

    #[test]
    fn lockdown_table_is_golden_and_replaces_control_characters() {
        let shut = Seen::Shut(Strength::UntilReboot, "1".to_owned());
        let open = Seen::Open("\x1b[2J".to_owned());
        let items = vec![
            Item::new(
                Probe::KernelSetting,
                "kexec",
                "1",
                "/proc/sys/kernel/kexec_load_disabled",
                shut,
            ),
            Item::new(Probe::MountByAnybody, "a mount", "1", "/proc", open),
        ];
        let lock = Lock::Deny {
            except: vec!["nf_tables".to_owned()],
        };
        let table = table(&[Measured::new(LockName::Kernel, lock, items, None)]);
        assert!(!table.contains('\x1b'), "{table:?}");
        earmark_tests::golden!("lockdown", table);
    }
}
