//! The lock `schedules`: nobody has something run later that the image does not bring.
//!
//! Scheduled jobs lie in two places. The image's own timers are units, sealed with
//! it, and stay; of what it has in `/etc/crontab`, `/etc/cron.d` and `/etc/cron.daily`, sealed as
//! well, nothing runs while this lock is shut, since the daemon that would run it is masked: an
//! image that needs it makes a timer of it. Jobs that people add lie in spools, which are state on some
//! systems, and in their own service managers. The daemons that read those are masked, and the
//! spools are looked at: what waits there would run as soon as a daemon does.

mod spool;

use super::{
    actions::LockActions,
    cause::Probe,
    item::{Item, Seen, Strength, Unseen},
    look::{Look, few},
};

pub(super) const LOCK: LockActions = LockActions {
    units: Some(|_| masks()),
    prepare: None,
    shut: None,
    open: None,
    probe: |target| probe(target.look),
};

/// Daemons that run jobs later for people, and the units that bring them.
const DAEMONS: [(&str, &[&str]); 5] = [
    (
        "cron",
        &[
            "cron.service",
            "crond.service",
            "cronie.service",
            "fcron.service",
            "fcrond.service",
            // Timers that systemd-cron makes of crontabs.
            "cron.target",
            "cron-update.path",
        ],
    ),
    ("anacron", &["anacron.service", "anacron.timer"]),
    ("at", &["atd.service"]),
    // It runs what is to run when a file changes.
    ("incron", &["incron.service", "incrond.service"]),
    // A service manager of each user who logs in or lingers: timers of their own, among others. A
    // login goes on without it.
    ("user managers", &["user@.service"]),
];

/// The directories in which something waits to be run, and how its files say whose they are.
const SPOOLS: [(&str, Spool, &[&str]); 3] = [
    (
        "crontabs",
        Spool::OfNames,
        &[
            "/var/spool/cron",
            "/var/spool/cron/crontabs",
            "/var/spool/cron/tabs",
            "/var/spool/fcron",
        ],
    ),
    (
        "at jobs",
        Spool::OfOwners,
        &[
            "/var/spool/at",
            "/var/spool/atjobs",
            "/var/spool/cron/atjobs",
        ],
    ),
    ("incron tables", Spool::OfNames, &["/var/spool/incron"]),
];

const LINGER: &str = "/var/lib/systemd/linger";
/// Directories of units that neither the image nor one of its generators brings.
const RUN_TIME: [&str; 6] = [
    "/etc/systemd/system.attached",
    "/etc/systemd/system.control",
    "/run/systemd/system",
    "/run/systemd/system.attached",
    "/run/systemd/system.control",
    "/run/systemd/transient",
];

/// The units that are masked where this is declared.
fn masks() -> Vec<&'static str> {
    DAEMONS
        .iter()
        .flat_map(|(_, units)| *units)
        .copied()
        .collect()
}

fn probe(look: &Look<'_>) -> Vec<Item> {
    let mut items = Vec::new();
    for (name, units) in DAEMONS {
        items.extend(look.masked_units(name, units));
    }
    for (name, spool, places) in SPOOLS {
        let (of_root, of_others) = match spool {
            Spool::OfNames => (Probe::CrontabsOfRoot, Probe::CrontabsOfOthers),
            Spool::OfOwners => (Probe::JobsOfRoot, Probe::JobsOfOthers),
        };
        let [root, others] = spool::waiting(look, spool, places);
        let looked = places.join(", ");
        let name_of_root = format!("{name} of root");
        items.push(Item::new(of_root, name_of_root, "none", &*looked, root));
        items.push(Item::new(of_others, name, "none", looked, others));
    }
    let [root, others] = lingering(look);
    items.push(Item::new(
        Probe::LingeringRoot,
        "lingering root",
        "none",
        LINGER,
        root,
    ));
    items.push(Item::new(
        Probe::LingeringOthers,
        "lingering users",
        "none",
        LINGER,
        others,
    ));
    let seen = timers(look).unwrap_or_else(Seen::from);
    let name = "timers made at run time";
    let looked = RUN_TIME.join(", ");
    items.push(Item::new(Probe::Timers, name, "none", looked, seen));
    items
}

/// Root, and other users, whose service manager starts with the host. Who is masked does not start, but is still
/// there when the mask is gone. A user may have it so for themselves, and nobody but root for root.
fn lingering(look: &Look<'_>) -> [Seen; 2] {
    let names = match look.list(beneath(LINGER)) {
        Err(unseen) => return [Seen::from(unseen.clone()), Seen::from(unseen)],
        Ok(None) => return ["", ""].map(|_| Seen::Absent("no such directory".to_owned())),
        Ok(Some(names)) => names.into_iter().map(|(name, _)| name),
    };
    let (root, others): (Vec<_>, Vec<_>) = names.partition(|name| name == "root");
    [none_of(&root), none_of(&others)]
}

/// `systemd-run --on-calendar` makes such timers, and so does root by hand.
fn timers(look: &Look<'_>) -> Result<Seen, Unseen> {
    let mut timers = Vec::new();
    for place in RUN_TIME {
        for (name, _) in look.list(beneath(place))?.unwrap_or_default() {
            let path = format!("{}/{name}", beneath(place));
            let kind = name.rsplit_once('.').map(|(_, kind)| kind);
            // A mask starts nothing.
            if kind == Some("timer") && look.link(&path)?.as_deref() != Some("/dev/null") {
                timers.push(name);
            }
        }
    }
    Ok(none_of(&timers))
}

fn none_of(names: &[String]) -> Seen {
    if names.is_empty() {
        Seen::Shut(Strength::Reversible, "none".to_owned())
    } else {
        Seen::Open(few(names))
    }
}

/// Owner of a file in a spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spool {
    /// Its name is that of the account, as `crontab` has it; its owner differs from one cron to another.
    OfNames,
    /// Its owner, as `at` has it.
    OfOwners,
}

fn beneath(path: &str) -> &str {
    path.trim_start_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{status::model::LockState, testing::TestRoot};

    fn item(root: &TestRoot, name: &str) -> (LockState, String) {
        let root = root.open();
        let items = probe(&Look::new(&root));
        let item = items.into_iter().find(|item| item.name == name).unwrap();
        (item.state, item.found)
    }

    fn state(root: &TestRoot) -> LockState {
        let root = root.open();
        let items = probe(&Look::new(&root));
        items.iter().map(|item| item.state).max().unwrap()
    }

    /// With cron and at, as Debian has them, and nothing waiting.
    fn debian() -> TestRoot {
        let root = TestRoot::bare();
        for unit in ["cron.service", "atd.service", "user@.service"] {
            root.write(&format!("/usr/lib/systemd/system/{unit}"), b"[Unit]\n");
        }
        for directory in [
            "/var/spool/cron/crontabs",
            "/var/spool/cron/atjobs",
            "/var/lib/systemd/linger",
        ] {
            std::fs::create_dir_all(root.at(directory)).unwrap();
        }
        root.write("/var/spool/cron/atjobs/.SEQ", b"0\n");
        for unit in masks() {
            root.link(&format!("/run/systemd/generator.early/{unit}"), "/dev/null");
        }
        root
    }

    fn open(text: &str) -> (LockState, String) {
        (LockState::NotEnforced, text.to_owned())
    }

    #[test]
    fn schedules_lock_is_enforced_with_masks_and_empty_spools() {
        let root = debian();
        assert_eq!(state(&root), LockState::Enforced);
        assert_eq!(
            item(&root, "crontabs"),
            (LockState::Enforced, "none".to_owned())
        );
        for unit in ["cron.service", "atd.service", "user@.service"] {
            let root = debian();
            root.remove(&format!("/run/systemd/generator.early/{unit}"));
            assert_eq!(item(&root, unit), open("not masked"));
            assert_eq!(state(&root), LockState::NotEnforced);
        }
        let root = debian();
        for group in ["user.slice", "user.slice/user@1000.service"] {
            let path = format!("/sys/fs/cgroup/{group}/cgroup.events");
            root.write(&path, b"populated 1\n");
        }
        assert_eq!(
            item(&root, "user@.service"),
            open("'user@1000.service' runs")
        );
    }

    #[test]
    fn spool_entries_are_counted_and_not_shown() {
        let root = debian();
        let jobs = b"* * * * * root /tmp/secret\n";
        root.write("/var/spool/cron/crontabs/alice", jobs);
        assert_eq!(item(&root, "crontabs"), open("1 not empty"));
        root.write("/var/spool/cron/crontabs/bob", b"\n");
        assert_eq!(item(&root, "crontabs"), open("1 not empty"));
        root.write("/var/spool/cron/root", jobs);
        // It cannot be read without being followed.
        root.link("/var/spool/cron/crontabs/carol", "/tmp/jobs");
        assert_eq!(item(&root, "crontabs"), open("2 not empty"));
        assert_eq!(item(&root, "crontabs of root"), open("1 not empty"));
        assert_eq!(item(&root, "at jobs of root").0, LockState::Enforced);
        root.write("/var/spool/cron/atjobs/a00001019c5d3a", jobs);
        assert_eq!(item(&root, "at jobs of root"), open("1 not empty"));
        assert_eq!(item(&root, "at jobs").0, LockState::Enforced);
        assert_eq!(item(&root, "incron tables").0, LockState::NotApplicable);
        root.write("/var/spool/incron/alice", jobs);
        assert_eq!(item(&root, "incron tables"), open("1 not empty"));
        // A link in the place of a spool leads to what the daemon would read.
        let root = debian();
        root.write("/srv/at/a00001019c5d3a", jobs);
        root.link("/var/spool/at", "/srv/at");
        assert_eq!(item(&root, "at jobs of root"), open("1 not empty"));
    }

    #[test]
    fn lingering_users_and_runtime_timers_are_found() {
        let root = debian();
        root.write("/var/lib/systemd/linger/alice", b"");
        assert_eq!(item(&root, "lingering users"), open("alice"));
        assert_eq!(item(&root, "lingering root").0, LockState::Enforced);
        root.write("/var/lib/systemd/linger/root", b"");
        assert_eq!(item(&root, "lingering root"), open("root"));
        let name = "timers made at run time";
        root.write("/usr/lib/systemd/system/fstrim.timer", b"[Timer]\n");
        root.write("/run/systemd/transient/run-1.service", b"");
        root.link("/run/systemd/system/apt-daily.timer", "/dev/null");
        assert_eq!(item(&root, name).0, LockState::Enforced);
        root.write("/run/systemd/transient/run-1.timer", b"[Timer]\n");
        root.write("/run/systemd/system/\x1b.timer", b"[Timer]\n");
        assert_eq!(item(&root, name), open("\\x1b.timer, run-1.timer"));
    }

    #[test]
    fn crontabs_and_timers_of_the_image_leave_the_lock_enforced() {
        let root = debian();
        root.write(
            "/etc/cron.d/sysstat",
            b"* * * * * root /usr/lib/sysstat/sa1\n",
        );
        root.write("/etc/crontab", b"* * * * * root true\n");
        root.write("/usr/lib/systemd/system/fstrim.timer", b"[Timer]\n");
        assert_eq!(state(&root), LockState::Enforced);
    }
}
