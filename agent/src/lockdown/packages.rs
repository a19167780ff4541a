//! The lock `packages`: nothing installs or upgrades packages on its own, and who tries to by hand
//! is told what this host is.
//!
//! The first is done by masks, the second by [`answer`]. Neither keeps root from doing by hand what the
//! units did: that is for the sealed directories to be read-only.

pub mod answer;
mod commands;

use super::{actions::LockActions, item::Item, look::Look};

pub(super) const LOCK: LockActions = LockActions {
    units: Some(|_| masks()),
    prepare: None,
    shut: None,
    open: None,
    probe: |target| probe(target.look),
};

/// Units that install, upgrade, or fetch what is to be installed. A timer is masked with its
/// service: something else may start that.
const UPGRADERS: [(&str, &[&str]); 8] = [
    (
        "apt",
        &[
            "apt-daily.timer",
            "apt-daily.service",
            "apt-daily-upgrade.timer",
            "apt-daily-upgrade.service",
            // At shutdown it installs what is left to install.
            "unattended-upgrades.service",
            "update-notifier-download.timer",
            "update-notifier-download.service",
            // Ubuntu Pro: attaching a host adds package sources and installs from them.
            "apt-news.service",
            "esm-cache.service",
            "pro-auto-attach-retry.service",
            "ua-auto-attach.path",
            "ua-auto-attach.service",
            "ua-reboot-cmds.service",
            "ua-timer.timer",
            "ua-timer.service",
            "ubuntu-advantage.service",
        ],
    ),
    (
        "dnf",
        &[
            "dnf-automatic.timer",
            "dnf-automatic.service",
            "dnf-automatic-download.timer",
            "dnf-automatic-download.service",
            "dnf-automatic-install.timer",
            "dnf-automatic-install.service",
            "dnf-automatic-notifyonly.timer",
            "dnf-automatic-notifyonly.service",
            "dnf5-automatic.timer",
            "dnf5-automatic.service",
            "dnf-makecache.timer",
            "dnf-makecache.service",
            "dnf5-makecache.timer",
            "dnf5-makecache.service",
            // What was downloaded to be installed at the next boot.
            "dnf-system-upgrade.service",
            "dnf5-offline-transaction.service",
            // Installs for whoever asks it by D-Bus, as packagekit does.
            "dnf5daemon-server.service",
            // Red Hat: fetches certificates of package sources, and writes these.
            "rhsmcertd.service",
            "yum-cron.service",
            // Amazon Linux: asks the repositories for newer releases, to tell people to upgrade.
            "update-motd.timer",
            "update-motd.service",
        ],
    ),
    (
        "packagekit",
        &["packagekit.service", "packagekit-offline-update.service"],
    ),
    (
        // snapd refreshes all snaps, four times a day. Those that are services run without it.
        // `snapd.apparmor.service` is left alone: it loads the profiles that confine them.
        "snap",
        &[
            "snapd.service",
            "snapd.socket",
            // Without snapd it would wait for ever, and the boot with it.
            "snapd.seeded.service",
            "snapd.snap-repair.timer",
            "snapd.snap-repair.service",
            "snapd.refresh.timer",
            "snapd.refresh.service",
            "snapd.autoimport.service",
            "snapd.core-fixup.service",
            "snapd.failure.service",
            // It patches the running kernel.
            "snap.canonical-livepatch.canonical-livepatchd.service",
        ],
    ),
    ("flatpak", &["flatpak-system-helper.service"]),
    (
        "firmware",
        &[
            "fwupd-refresh.timer",
            "fwupd-refresh.service",
            "fwupd-offline-update.service",
        ],
    ),
    (
        // It pulls newer images of containers and starts them.
        "containers",
        &["podman-auto-update.timer", "podman-auto-update.service"],
    ),
    (
        // They put another image in the place of this one, that of somebody else's trust.
        "whole images",
        &[
            "bootc-fetch-apply-updates.timer",
            "bootc-fetch-apply-updates.service",
            "rpm-ostreed-automatic.timer",
            "rpm-ostreed-automatic.service",
            "systemd-sysupdate.timer",
            "systemd-sysupdate.service",
            "systemd-sysupdate-reboot.timer",
            "systemd-sysupdate-reboot.service",
        ],
    ),
];

/// The units that are masked where this is declared.
fn masks() -> Vec<&'static str> {
    UPGRADERS
        .iter()
        .flat_map(|(_, units)| *units)
        .copied()
        .collect()
}

fn probe(look: &Look<'_>) -> Vec<Item> {
    let units = UPGRADERS
        .iter()
        .flat_map(|(name, units)| look.masked_units(name, units));
    units.chain([commands::item(look)]).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{status::model::LockState, testing::TestRoot};

    const ON_DEBIAN: [&str; 5] = [
        "apt-daily.timer",
        "apt-daily.service",
        "apt-daily-upgrade.timer",
        "apt-daily-upgrade.service",
        "unattended-upgrades.service",
    ];

    fn debian() -> TestRoot {
        let root = TestRoot::bare();
        for unit in ON_DEBIAN {
            root.write(&format!("/usr/lib/systemd/system/{unit}"), b"[Unit]\n");
        }
        root
    }

    fn states(root: &TestRoot) -> Vec<(String, LockState)> {
        let root = root.open();
        let items = probe(&Look::new(&root)).into_iter();
        let items = items.filter(|item| item.state != LockState::NotApplicable);
        items.map(|item| (item.name, item.state)).collect()
    }

    #[test]
    fn packages_lock_requires_masks_for_installed_units_only() {
        let all = |state| ON_DEBIAN.map(|unit| (unit.to_owned(), state));
        let root = debian();
        assert_eq!(states(&root), all(LockState::NotEnforced));
        for unit in masks() {
            root.link(&format!("/run/systemd/generator.early/{unit}"), "/dev/null");
        }
        assert_eq!(states(&root), all(LockState::Enforced));
        root.remove("/run/systemd/generator.early/apt-daily.service");
        let open = ("apt-daily.service".to_owned(), LockState::NotEnforced);
        assert!(states(&root).contains(&open));
        assert_eq!(states(&TestRoot::bare()), []);
    }

    #[test]
    fn packages_lock_covers_the_units_of_the_rpm_family() {
        // By dnf 4 and dnf5's sources, update-motd of Amazon Linux, subscription-manager and rpm-ostree.
        for unit in [
            "dnf-automatic.timer",
            "dnf-automatic-install.service",
            "dnf-makecache.timer",
            "dnf-makecache.service",
            "dnf5-automatic.timer",
            "dnf5-makecache.service",
            "dnf5-offline-transaction.service",
            "dnf5daemon-server.service",
            "rhsmcertd.service",
            "rpm-ostreed-automatic.timer",
            "update-motd.service",
        ] {
            assert!(masks().contains(&unit), "{unit}");
            let root = TestRoot::bare();
            root.write(&format!("/usr/lib/systemd/system/{unit}"), b"[Unit]\n");
            let open = (unit.to_owned(), LockState::NotEnforced);
            assert_eq!(states(&root), [open]);
        }
    }

    #[test]
    fn packages_masks_are_unique_and_pair_each_timer_with_its_service() {
        let all = masks();
        let different = all.iter().copied().collect::<BTreeSet<_>>();
        assert_eq!(different.len(), all.len());
        for unit in &all {
            if let Some(stem) = unit.strip_suffix(".timer") {
                let service = format!("{stem}.service");
                assert!(different.contains(service.as_str()), "{unit}");
            }
        }
    }
}
