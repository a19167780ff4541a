//! Plan of what is written, as data: each file and link of the early directory.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use earmark_manifest::declaration::{Declaration, LockName, OnFailure};

use super::{
    early::{self, Order},
    needs,
    overrides::Override,
    reports,
};
use crate::{
    boot::{
        policy::Policy,
        units::{
            AGENT, CORRUPTION, CORRUPTION_TIMER, FETCH_TIMER, FIRST_BOOT, GRANTS, GRANTS_PATH,
            LOCKDOWN, LOCKDOWN_AGAIN, LOCKDOWN_EARLY, LOCKDOWN_TIMER, QUARANTINE, READY,
            REPORT_PATH, REPORT_TIMER, UNITS, Unit, VERIFY,
        },
    },
    lockdown,
};

/// One file or link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// A file with this text.
    File(String),
    /// A symbolic link to this.
    Link(String),
}

/// By path beneath the early directory.
pub(super) type Plan = BTreeMap<PathBuf, Item>;

/// Link target of a masked unit or drop-in.
const MASK: &str = "/dev/null";

/// Makes the plan from the policy, from the units that this boot is asked to start, and from what is
/// configured against ours.
///
/// The units of the locks in `open`, which a grant opened in this boot, are not masked.
pub(super) fn plan(
    policy: &Policy,
    targets: &[String],
    overrides: &BTreeSet<Override>,
    order: &Order,
    open: &BTreeSet<LockName>,
) -> Plan {
    let declaration = policy.declaration();
    let needs = declaration.map_or_else(String::new, needs::needs);
    let reports = declaration
        .and_then(|it| it.report.as_ref())
        .map(reports::settings);
    let masks = lockdown::masks(policy, open);
    let policy = policy.on_failure();
    let mut plan = Plan::new();
    let mut put = |path: String, item| plan.insert(PathBuf::from(path), item);
    // Copies, not links to the installed files: systemd skips a link to a unit of the same name, and
    // would go on to the one in /etc.
    for unit in &UNITS {
        put(unit.name.to_owned(), Item::File(text(unit, policy)));
    }
    // Masked before any unit starts: no port opens for a moment. Also where the declaration is not believed.
    for unit in masks {
        put(unit.to_owned(), Item::Link(MASK.to_owned()));
    }
    if let Some(declaration) = declaration {
        if lockdown::has_early_part(declaration) {
            put(
                format!("sysinit.target.wants/{LOCKDOWN_EARLY}"),
                dependency(LOCKDOWN_EARLY),
            );
        }
        if declaration.channel.is_some() {
            put(
                format!("multi-user.target.wants/{FETCH_TIMER}"),
                dependency(FETCH_TIMER),
            );
        }
        if declaration.report.is_some() {
            // Also where a host is put that did not verify.
            for (target, unit) in [
                ("multi-user.target", REPORT_TIMER),
                ("multi-user.target", REPORT_PATH),
                (QUARANTINE, REPORT_TIMER),
                (QUARANTINE, REPORT_PATH),
            ] {
                put(format!("{target}.wants/{unit}"), dependency(unit));
            }
        }
        if lockdown::denies_anything(declaration) {
            // What a grant opened before the reboot is opened as soon as the host is ready; and what is
            // open is shut where the host is put that must not go on.
            for (target, unit) in [
                (READY, LOCKDOWN_TIMER),
                (READY, GRANTS_PATH),
                (READY, GRANTS),
                (QUARANTINE, GRANTS),
            ] {
                put(format!("{target}.wants/{unit}"), dependency(unit));
            }
        }
    }
    // Whoever removes the links in /etc that enable them changes nothing.
    for unit in [AGENT, READY] {
        put(format!("multi-user.target.wants/{unit}"), dependency(unit));
    }
    // Whatever is started, by default or because the command line asks for it, is started with the
    // verification, and fails with it unless the policy is to go on; the service completes it.
    let strength = match policy {
        OnFailure::Report => "wants",
        OnFailure::Quarantine | OnFailure::Halt => "requires",
    };
    put(
        format!("sysinit.target.{strength}/{VERIFY}"),
        dependency(VERIFY),
    );
    let asked = targets.iter().map(String::as_str);
    for target in ["default.target"].into_iter().chain(asked) {
        put(format!("{target}.{strength}/{VERIFY}"), dependency(VERIFY));
        // A boot that is asked for another target does not reach multi-user.target, and would stay at `partial`.
        put(format!("{target}.wants/{AGENT}"), dependency(AGENT));
    }
    if policy != OnFailure::Report {
        // These open a shell, and ask for nothing that fails with the verification.
        for service in ["emergency.service", "rescue.service"] {
            let text = format!("{HEAD}[Unit]\nRequires={VERIFY}\nAfter={VERIFY}\n");
            put(format!("{service}.d/50-earmark.conf"), Item::File(text));
        }
        // A root shell on tty9 that asks for no login.
        let debug_shell = Item::Link(MASK.to_owned());
        put("debug-shell.service".to_owned(), debug_shell);
    }
    plan.extend(early::gates(policy, order));
    plan.extend(declaration.into_iter().flat_map(corruption));
    for found in overrides {
        let mask = Item::Link(MASK.to_owned());
        plan.insert(found.path.clone(), mask);
    }
    // Last, so that no drop-in of the same name takes its place.
    for (unit, settings) in settings(policy) {
        let needs = if unit == FIRST_BOOT { &*needs } else { "" };
        let text = format!("{HEAD}{settings}{needs}");
        let path = PathBuf::from(format!("{unit}.d/50-policy.conf"));
        plan.insert(path, Item::File(text));
    }
    for (unit, settings) in reports.into_iter().flatten() {
        let path = PathBuf::from(format!("{unit}.d/50-policy.conf"));
        plan.insert(path, Item::File(format!("{HEAD}{settings}")));
    }
    plan
}

/// A unit's own text. Under `report`, also a stage that could not be started, or was not done in
/// time, holds nothing up: there is no exit code for that, which settings could take for success.
fn text(unit: &Unit, policy: OnFailure) -> String {
    let stages = match policy {
        OnFailure::Report => &[VERIFY, FIRST_BOOT, LOCKDOWN][..],
        OnFailure::Quarantine | OnFailure::Halt => &[],
    };
    stages.iter().fold(unit.text.to_owned(), |text, stage| {
        text.replace(&format!("Requires={stage}"), &format!("Wants={stage}"))
    })
}

fn dependency(unit: &str) -> Item {
    Item::Link(format!("../{unit}"))
}

pub(super) const HEAD: &str =
    "# Written at each boot by earmark-generator, from the policy of this image.\n";

/// The look for corrupted blocks, where there is fs-verity, and the settings by which the service manager does what
/// `verify.on_corruption` says.
fn corruption(declaration: &Declaration) -> Vec<(PathBuf, Item)> {
    if !declaration.boot.verity {
        return Vec::new();
    }
    let settings = match declaration.verify.on_corruption() {
        OnFailure::Report => "[Service]\nSuccessExitStatus=10\n".to_owned(),
        OnFailure::Quarantine => isolate(),
        OnFailure::Halt => format!("[Unit]\n{OFF}"),
    };
    vec![
        (
            PathBuf::from(format!("{READY}.wants/{CORRUPTION_TIMER}")),
            dependency(CORRUPTION_TIMER),
        ),
        (
            PathBuf::from(format!("{CORRUPTION}.d/50-policy.conf")),
            Item::File(format!("{HEAD}{settings}")),
        ),
    ]
}

fn isolate() -> String {
    format!("[Unit]\nOnFailure={QUARANTINE}\nOnFailureJobMode=isolate\n")
}

/// Irreversibly: no job that is queued later, such as a timer's, takes the power-off back.
const OFF: &str = "OnFailure=poweroff.target\nOnFailureJobMode=replace-irreversibly\n";

/// Returns the settings by which the service manager carries the policy out, with the unit of each.
fn settings(policy: OnFailure) -> Vec<(&'static str, String)> {
    match policy {
        // What a stage found and told lets the boot go on. So does one that was killed or crashed, since nothing
        // requires it (see `text`); but that is a failure, and is shown and kept as one.
        OnFailure::Report => {
            let goes_on = |codes: &str| format!("[Service]\nSuccessExitStatus={codes}\n");
            vec![
                (VERIFY, goes_on("10 11")),
                (FIRST_BOOT, goes_on("10 11 12")),
                (LOCKDOWN, goes_on("11 13")),
                // Its own settings say of a look that was killed that the next one is soon.
                (LOCKDOWN_AGAIN, goes_on("11 13")),
            ]
        }
        OnFailure::Quarantine => {
            let isolate = isolate();
            [AGENT, FIRST_BOOT, LOCKDOWN, LOCKDOWN_AGAIN, VERIFY]
                .map(|unit| (unit, isolate.clone()))
                .into()
        }
        // A start that fails because something that it requires failed is no failure of the unit,
        // so that FailureAction= alone would miss it. The service has only the other: systemd acts
        // on FailureAction= at each crash, also of a service that it is about to start again. So has
        // first boot: its host did verify, and goes down in order, with its journal on the disk.
        OnFailure::Halt => {
            vec![
                (AGENT, format!("[Unit]\n{OFF}")),
                (FIRST_BOOT, format!("[Unit]\n{OFF}")),
                (LOCKDOWN, format!("[Unit]\n{OFF}")),
                (LOCKDOWN_AGAIN, format!("[Unit]\n{OFF}")),
                (
                    VERIFY,
                    // -force: no stop job of a root that did not verify is run, or can delay this.
                    format!("[Unit]\nFailureAction=poweroff-force\n{OFF}"),
                ),
            ]
        }
    }
}
