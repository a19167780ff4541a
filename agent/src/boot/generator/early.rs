//! Units that may start before the verdict, and what keeps every other one from it.
//!
//! systemd takes a drop-in of `service.d` for each service, wherever it comes from: the image, a
//! generator that runs after this one, `systemd-run`. So the world is closed without knowing the
//! units: all of them are ordered after the verification, except those in [`LISTED`].
//!
//! Protects against changed or added code that a unit without default dependencies would run before
//! the verdict. Does not protect against changes of the listed units themselves, of their programs
//! and of generators: these run first, and are in the critical set (tier T0).

mod order;
mod unit;
mod units;

use std::path::{Path, PathBuf};

use earmark_manifest::declaration::OnFailure;

use super::plan::Item;
use crate::boot::units::{UNITS, VERIFY};

pub(super) use order::{Order, find};

/// The drop-in that orders a unit after the verification. Nobody else's file may be called so.
pub(super) const GATE: &str = "50-earmark.conf";
/// Unit types that run programs or open ports, and have drop-ins for the whole type.
///
/// The others are not held back. Targets, slices, scopes and devices run nothing. Mounts and swaps
/// are a part of the verdict, which says what is mounted where: `local-fs.target` waits for them,
/// and the verification for it. `mount` and its helpers are in the critical set.
pub(super) const KINDS: [&str; 4] = ["service", "socket", "path", "timer"];
/// The target of a masked drop-in.
const MASK: &str = "/dev/null";

/// Units with one reason to be no part of the closed world.
struct Listed {
    why: &'static str,
    units: &'static [&'static str],
}

/// Units that the verification itself waits for, or could wait for on a host with such file systems.
/// `NAME@.service` is each instance, `NAME-*` each unit whose name begins so and that is in no file.
const LISTED: &[Listed] = &[
    Listed {
        why: "the journal keeps why a host was refused, also across the power-off that follows",
        units: &[
            "syslog.socket",
            "systemd-journal-flush.service",
            "systemd-journald-audit.socket",
            "systemd-journald-dev-log.socket",
            "systemd-journald.service",
            "systemd-journald.socket",
        ],
    },
    Listed {
        why: "a local file system is mounted once udev has announced its device",
        units: &[
            "systemd-udev-settle.service",
            "systemd-udev-trigger.service",
            "systemd-udevd-control.socket",
            "systemd-udevd-kernel.socket",
            "systemd-udevd-varlink.socket",
            "systemd-udevd.service",
        ],
    },
    Listed {
        why: "udev, or the device nodes that local-fs-pre.target asks for, wait for it",
        units: &[
            "kmod-static-nodes.service",
            "systemd-firstboot.service",
            "systemd-hwdb-update.service",
            "systemd-network-generator.service",
            "systemd-sysusers.service",
            "systemd-tmpfiles-setup-dev-early.service",
            "systemd-tmpfiles-setup-dev.service",
            "systemd-udev-load-credentials.service",
        ],
    },
    Listed {
        why: "checks, makes, grows or remounts a local file system before it counts as mounted",
        units: &[
            "quotaon-root.service",
            "systemd-fsck-root.service",
            "systemd-fsck@.service",
            "systemd-fsckd.service",
            "systemd-fsckd.socket",
            "systemd-growfs-root.service",
            "systemd-growfs@.service",
            "systemd-makefs@.service",
            "systemd-quotacheck-root.service",
            "systemd-remount-fs.service",
        ],
    },
    Listed {
        why: "makes swap space, for which a /tmp in memory waits before local-fs.target",
        units: &["systemd-mkswap@.service", "systemd-zram-setup@.service"],
    },
    Listed {
        why: "opens or assembles the volume that a local file system lies on",
        units: &[
            "clevis-luks-askpass.path",
            "clevis-luks-askpass.service",
            "dm-event.service",
            "dm-event.socket",
            "lvm-activate-*.service",
            "lvm2-activation-early.service",
            "lvm2-activation.service",
            "lvm2-monitor.service",
            "lvm2-pvscan@.service",
            "mdadm-last-resort@.service",
            "mdadm-last-resort@.timer",
            "mdmon@.service",
            "multipathd.service",
            "multipathd.socket",
            "systemd-cryptsetup@.service",
            "systemd-integritysetup@.service",
            "systemd-tpm2-setup-early.service",
            "systemd-veritysetup@.service",
        ],
    },
    Listed {
        why: "somebody may have to type the passphrase of a volume",
        units: &[
            "keyboard-setup.service",
            "systemd-ask-password-console.path",
            "systemd-ask-password-console.service",
        ],
    },
    Listed {
        why: "does nothing outside an initrd",
        units: &[
            "systemd-battery-check.service",
            "systemd-hibernate-resume.service",
            "systemd-hibernate-resume@.service",
            "systemd-pcrphase-initrd.service",
        ],
    },
];

/// Units that switch the host off. They wait for the verdict and do not require it: it is being
/// stopped by then, and a job that starts it again would keep the host on.
const LAST: &[&str] = &[
    "plymouth-halt.service",
    "plymouth-kexec.service",
    "plymouth-poweroff.service",
    "plymouth-reboot.service",
    "plymouth-switch-root-initramfs.service",
    "snapd.system-shutdown.service",
    "systemd-exit.service",
    "systemd-halt.service",
    "systemd-kexec.service",
    "systemd-poweroff.service",
    "systemd-reboot.service",
    "systemd-soft-reboot.service",
];

/// Returns why a unit may start before the verdict; nothing, if it has to wait.
pub(super) fn reason(unit: &str) -> Option<&'static str> {
    let matches = |listed: &&&str| match listed.split_once('*') {
        Some((start, end)) => unit.starts_with(start) && unit.ends_with(end),
        None => **listed == unit || **listed == units::template(unit),
    };
    let listed = LISTED
        .iter()
        .find(|listed| listed.units.iter().any(|name| matches(&name)))?;
    Some(listed.why)
}

/// Tells whether a unit is listed by this very name, and not as an instance or by how it begins.
pub(super) fn is_listed(unit: &str) -> bool {
    LISTED.iter().any(|listed| listed.units.contains(&unit))
}

/// Tells whether a unit is of a type that is held back.
pub(super) fn is_held(unit: &str) -> bool {
    let kind = unit.rsplit_once('.').map(|(_, kind)| kind);
    kind.is_some_and(|kind| KINDS.contains(&kind))
}

/// The drop-ins that close the world, and those that take their effect away for what is listed.
pub(super) fn gates(policy: OnFailure, order: &Order) -> Vec<(PathBuf, Item)> {
    let gate = Item::File(text(policy));
    let free = Item::Link(MASK.to_owned());
    let at = |unit: &str| Path::new(&format!("{unit}.d")).join(GATE);
    let mut gates: Vec<(PathBuf, Item)> = KINDS.map(|kind| (at(kind), gate.clone())).into();
    let listed = LISTED.iter().flat_map(|listed| listed.units);
    gates.extend(listed.map(|unit| (at(&unit.replace('*', "")), free.clone())));
    let ours = UNITS.iter().filter(|unit| is_held(unit.name));
    gates.extend(ours.map(|unit| (at(unit.name), free.clone())));
    let last = Item::File(text(OnFailure::Report));
    gates.extend(LAST.iter().map(|unit| (at(unit), last.clone())));
    // Wherever somebody has put a drop-in of this name, ours comes first.
    let claimed: Vec<(PathBuf, Item)> = order
        .claimed
        .iter()
        .filter(|directory| directory.strip_suffix(".d").is_some_and(is_held))
        .map(|directory| (Path::new(directory).join(GATE), gate.clone()))
        .filter(|(path, _)| !gates.iter().any(|(other, _)| other == path))
        .collect();
    gates.extend(claimed);
    // dracut's units lie in the roots that it makes initrds of. Protects against whoever adds what their conditions look
    // for: a masked unit starts under no condition.
    gates.extend(
        order
            .idle
            .iter()
            .map(|unit| (PathBuf::from(unit), free.clone())),
    );
    for unit in order.early.keys() {
        // It cannot wait for what waits for it. A verification that is only wanted would lose its job
        // to the cycle, so that under `report` the unit goes ahead; otherwise it does not start.
        gates.push(match policy {
            OnFailure::Report => (at(unit), free.clone()),
            OnFailure::Quarantine | OnFailure::Halt => (PathBuf::from(unit), free.clone()),
        });
    }
    gates
}

fn text(policy: OnFailure) -> String {
    // Under `report` nothing depends on how it ends, and no start of a service may start it again.
    let required = match policy {
        OnFailure::Report => String::new(),
        OnFailure::Quarantine | OnFailure::Halt => format!("Requires={VERIFY}\n"),
    };
    format!("{}[Unit]\n{required}After={VERIFY}\n", super::plan::HEAD)
}

#[cfg(test)]
mod tests;
