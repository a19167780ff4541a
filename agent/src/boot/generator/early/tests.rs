//! Each order of units in a root, and what follows from it.

use std::{collections::BTreeMap, fs};

use earmark_scan::cmdline::CommandLine;

use super::*;
use crate::{
    boot::{
        generator::{check, plan},
        policy::Policy,
    },
    testing::TestRoot,
};

const UNITS: &str = "/etc/systemd/system";
/// No default dependencies, and this in `[Unit]`.
fn early(lines: &str) -> String {
    format!("[Unit]\nDefaultDependencies=no\n{lines}\n[Service]\nExecStart=/bin/true\n")
}

fn unit(root: &TestRoot, name: &str, text: &str) {
    root.write(&format!("{UNITS}/{name}"), text.as_bytes());
}

/// The units that cannot be held back, and what waits for each.
fn found(root: &TestRoot) -> Vec<String> {
    let order = find(&root.open());
    assert_eq!(order.problems, [""; 0]);
    let line = |(unit, later): (&String, &String)| format!("{unit} < {later}");
    order.early.iter().map(line).collect()
}

/// Returns what the generator writes for a root, by path.
fn written(root: &TestRoot, policy: OnFailure) -> BTreeMap<String, Item> {
    let gates = gates(policy, &find(&root.open()));
    let by_path = gates.into_iter();
    by_path
        .map(|(path, item)| (path.display().to_string(), item))
        .collect()
}

fn mask() -> Item {
    Item::Link("/dev/null".to_owned())
}

#[test]
fn every_unit_type_that_runs_programs_waits_for_the_verdict() {
    let root = TestRoot::bare();
    for (policy, lines) in [
        (OnFailure::Report, "[Unit]\nAfter=earmark-verify.service\n"),
        (
            OnFailure::Quarantine,
            "[Unit]\nRequires=earmark-verify.service\nAfter=earmark-verify.service\n",
        ),
        (
            OnFailure::Halt,
            "[Unit]\nRequires=earmark-verify.service\nAfter=earmark-verify.service\n",
        ),
    ] {
        let written = written(&root, policy);
        let is_gate = |path: &str| match &written[path] {
            Item::File(text) => text.ends_with(lines),
            Item::Link(_) => false,
        };
        for kind in ["service", "socket", "path", "timer"] {
            assert!(is_gate(&format!("{kind}.d/50-earmark.conf")), "{kind}");
        }
        for unit in ["earmark-verify.service", "earmark-report.timer"] {
            assert_eq!(written[&format!("{unit}.d/50-earmark.conf")], mask());
        }
        for unit in [
            "systemd-udevd.service",
            "systemd-fsck@.service",
            "lvm-activate-.service",
        ] {
            assert_eq!(written[&format!("{unit}.d/50-earmark.conf")], mask());
        }
        // A start of the verification while the host goes down would keep it on.
        let Item::File(last) = &written["systemd-poweroff.service.d/50-earmark.conf"] else {
            panic!("a link");
        };
        assert!(last.ends_with("[Unit]\nAfter=earmark-verify.service\n"));
    }
}

#[test]
fn listed_units_are_held_types_with_one_reason_and_are_documented() {
    let docs = include_str!("../../../../../docs/units.md");
    let mut names: Vec<&str> = LISTED.iter().flat_map(|it| it.units).copied().collect();
    for listed in LISTED {
        assert!(listed.units.is_sorted(), "{:?}", listed.units);
        assert!(docs.contains(listed.why), "{}", listed.why);
    }
    names.extend(LAST);
    for name in &names {
        assert!(is_held(name), "{name}");
        assert!(docs.contains(&format!("`{name}`")), "{name}");
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(reason("systemd-fsck@dev-vda1.service").is_some());
    assert!(reason("lvm-activate-data.service").is_some());
    for unit in [
        "cloud-init-main.service",
        "modprobe@fuse.service",
        "ssh.socket",
    ] {
        assert_eq!(reason(unit), None, "{unit}");
    }
}

/// The controls: such units can wait, and the drop-in of their type has them wait.
#[test]
fn unit_without_default_dependencies_that_can_wait_is_not_singled_out() {
    let root = TestRoot::bare();
    unit(&root, "race.service", &early("Before=sysinit.target"));
    unit(
        &root,
        "main.service",
        &early("After=systemd-remount-fs.service"),
    );
    unit(&root, "late.service", &early("Before=shutdown.target"));
    unit(&root, "plain.service", "[Service]\nExecStart=/bin/true\n");
    unit(
        &root,
        "keyboard-setup.service",
        &early("Before=local-fs-pre.target"),
    );
    unit(
        &root,
        "share.mount",
        "[Mount]\nType=nfs\n[Unit]\nAfter=race.service\n",
    );
    assert_eq!(found(&root), [""; 0]);
    let written = written(&root, OnFailure::Halt);
    assert!(!written.keys().any(|path| path.starts_with("race.")));
}

#[test]
fn unlisted_unit_that_the_verification_waits_for_is_masked_and_a_violation() {
    /// The unit that is found, the files of the root, and what waits for the unit.
    type Case<'a> = (&'a str, &'a [(&'a str, String)], &'a str);
    let cases: [Case; 10] = [
        (
            "evil.service",
            &[("evil.service", early("Before=local-fs-pre.target"))],
            "local-fs-pre.target",
        ),
        (
            "evil.socket",
            &[("evil.socket", early("Before=local-fs.target"))],
            "local-fs.target",
        ),
        (
            "evil.service",
            &[("evil.service", early("Before=systemd-udevd.service"))],
            "systemd-udevd.service",
        ),
        (
            "evil.service",
            &[("evil.service", early("Before=earmark-verify.service"))],
            "earmark-verify.service",
        ),
        (
            "evil.service",
            &[(
                "evil.service",
                early("# Before=x\nBefore = sysinit.target \\\n  \"systemd-journald.socket\""),
            )],
            "systemd-journald.socket",
        ),
        // By another unit's drop-in, through a target of its own, and by another name.
        (
            "evil.service",
            &[
                ("evil.service", early("")),
                (
                    "local-fs.target.d/x.conf",
                    "[Unit]\nAfter=evil.service\n".to_owned(),
                ),
            ],
            "local-fs.target",
        ),
        (
            "evil.service",
            &[
                ("evil.service", early("Before=between.target")),
                (
                    "between.target",
                    "[Unit]\nBefore=local-fs.target\n".to_owned(),
                ),
            ],
            "between.target",
        ),
        // By drop-ins that are for each unit whose name begins so, and for each instance.
        (
            "evil-1.service",
            &[
                ("evil-1.service", early("")),
                (
                    "evil-.service.d/x.conf",
                    "[Unit]\nBefore=local-fs.target\n".to_owned(),
                ),
            ],
            "local-fs.target",
        ),
        (
            "evil@1.service",
            &[
                ("evil@1.service", early("")),
                (
                    "evil@.service.d/x.conf",
                    "[Unit]\nBefore=local-fs.target\n".to_owned(),
                ),
            ],
            "local-fs.target",
        ),
        (
            "evil@.service",
            &[
                ("evil@.service", early("")),
                (
                    "srv.mount",
                    "[Unit]\nAfter=evil@1.service\n[Mount]\nType=ext4\n".to_owned(),
                ),
            ],
            "srv.mount",
        ),
    ];
    for (name, files, later) in cases {
        let root = TestRoot::sealed("on_failure = \"halt\"");
        for (path, text) in files {
            unit(&root, path, text);
        }
        assert_eq!(found(&root), [format!("{name} < {later}")]);
        assert_eq!(written(&root, OnFailure::Halt)[name], mask());
        assert_eq!(written(&root, OnFailure::Quarantine)[name], mask());
        let report = written(&root, OnFailure::Report);
        assert_eq!(report[&format!("{name}.d/50-earmark.conf")], mask());
        assert!(!report.contains_key(name));
        let place = "/run/systemd/generator.early";
        assert!(checked(&root).contains(&format!("{place}/{name}")));
    }
}

#[test]
fn unit_of_an_initrd_is_masked_and_no_violation() {
    const CONDITION: &str =
        "Before=systemd-udevd.service\nConditionPathExists=/usr/lib/initrd-release";
    let root = TestRoot::sealed("on_failure = \"quarantine\"");
    unit(&root, "dracut-pre-udev.service", &early(CONDITION));
    unit(
        &root,
        "breakpoint-pre-udev.service",
        &early("Before=systemd-udevd.service"),
    );
    assert_eq!(found(&root), [""; 0]);
    for policy in [OnFailure::Report, OnFailure::Quarantine, OnFailure::Halt] {
        let written = written(&root, policy);
        for name in ["dracut-pre-udev.service", "breakpoint-pre-udev.service"] {
            assert_eq!(written[name], mask(), "{policy:?}: {name}");
        }
    }
    // The control: the same without its condition.
    let name = "dracut-pre-udev.service";
    unit(&root, name, &early("Before=systemd-udevd.service"));
    assert_eq!(found(&root), [format!("{name} < systemd-udevd.service")]);
}

#[test]
fn drop_in_of_a_unit_type_orders_each_unit_of_that_type() {
    let root = TestRoot::bare();
    unit(&root, "evil.service", &early(""));
    unit(&root, "plain.service", "[Service]\nExecStart=/bin/true\n");
    unit(&root, "socket.d/x.conf", "[Unit]\nBefore=local-fs.target\n");
    assert_eq!(found(&root), [""; 0]);
    unit(
        &root,
        "service.d/x.conf",
        "[Unit]\nBefore=local-fs.target\n",
    );
    assert_eq!(found(&root), ["evil.service < local-fs.target"]);
}

#[test]
fn alias_of_a_unit_is_followed() {
    let root = TestRoot::bare();
    unit(&root, "evil.service", &early(""));
    root.link(&format!("{UNITS}/good.service"), "evil.service");
    unit(
        &root,
        "local-fs.target.d/x.conf",
        "[Unit]\nAfter=good.service\n",
    );
    assert_eq!(found(&root), ["evil.service < local-fs.target"]);
    // A masked unit starts never.
    root.remove(&format!("{UNITS}/evil.service"));
    root.link(&format!("{UNITS}/evil.service"), "/dev/null");
    assert_eq!(found(&root), [""; 0]);
}

/// A drop-in of the gate's name would take its effect away, and so would a name that the list frees.
#[test]
fn drop_in_or_name_that_would_free_a_unit_has_no_effect() {
    let root = TestRoot::bare();
    for directory in ["evil.service.d", "evil-.service.d", "srv.mount.d"] {
        root.link(&format!("{UNITS}/{directory}/50-earmark.conf"), "/dev/null");
    }
    for name in [
        "lvm-activate-evil.service",
        "systemd-fsck@evil.service",
        "systemd-fsck@.evil.service",
        "other.service",
        "other@.service",
    ] {
        unit(&root, name, &early(""));
    }
    // Other names of a unit bring their drop-ins to it.
    for (name, to) in [
        ("lvm-activate-other.service", "other.service"),
        ("systemd-growfs@other.service", "other@.service"),
    ] {
        root.link(&format!("{UNITS}/{name}"), to);
    }
    // The control: an instance that a generator makes, and that has settings in the image, stays free.
    let settings = b"[Service]\nTimeoutSec=1h\n";
    let path = format!("{UNITS}/systemd-fsck@dev-vda.service.d/x.conf");
    root.write(&path, settings);
    let policy = OnFailure::Quarantine;
    let gate = Item::File(text(policy));
    let written = written(&root, policy);
    for directory in [
        "evil.service.d",
        "evil-.service.d",
        "lvm-activate-evil.service.d",
        "lvm-activate-other.service.d",
        "systemd-fsck@.evil.service.d",
        "systemd-fsck@evil.service.d",
        "systemd-growfs@other.service.d",
    ] {
        assert_eq!(
            written[&format!("{directory}/50-earmark.conf")],
            gate,
            "{directory}"
        );
    }
    // The others that the list frees stay free, and a mount waits for nothing.
    for directory in ["lvm-activate-.service.d", "systemd-fsck@.service.d"] {
        assert_eq!(
            written[&format!("{directory}/50-earmark.conf")],
            mask(),
            "{directory}"
        );
    }
    for directory in ["srv.mount.d", "systemd-fsck@dev-vda.service.d"] {
        let path = format!("{directory}/50-earmark.conf");
        assert!(!written.contains_key(&path), "{path}");
    }
}

/// The violations of a root whose early directory is as the generator leaves it.
fn checked(root: &TestRoot) -> Vec<String> {
    let opened = root.open();
    let (policy, line) = (Policy::of(&opened), CommandLine::read(&opened));
    let overrides = super::super::overrides::find(&opened, &BTreeMap::new()).0;
    let open = crate::fleet::grants::Opened::read(&opened).open();
    let plan = plan::plan(&policy, &line.targets(), &overrides, &find(&opened), &open);
    let place = root.at("/run/systemd/generator.early");
    fs::create_dir_all(&place).unwrap();
    assert_eq!(super::super::apply::apply(&plan, &place), [""; 0]);
    let violations = check::violations(&opened, &policy, &line);
    violations.iter().map(|it| it.path.to_string()).collect()
}

#[test]
fn drop_in_that_frees_a_unit_after_the_generator_ran_is_a_violation() {
    for place in [
        "/run/systemd/system.control",
        "/run/systemd/transient",
        "/run/systemd/generator",
        "/run/systemd/generator.early",
    ] {
        let root = TestRoot::sealed("on_failure = \"quarantine\"");
        assert_eq!(checked(&root), [""; 0], "the control");
        let path = format!("{place}/evil.service.d/50-earmark.conf");
        root.link(&path, "/dev/null");
        assert_eq!(checked(&root), [path]);
    }
    // A gate that is gone, or says another thing.
    let root = TestRoot::sealed("on_failure = \"quarantine\"");
    assert_eq!(checked(&root), [""; 0]);
    root.write(
        "/run/systemd/generator.early/service.d/50-earmark.conf",
        b"",
    );
    let opened = root.open();
    let found = check::violations(&opened, &Policy::of(&opened), &CommandLine::read(&opened));
    let paths: Vec<String> = found.iter().map(|it| it.path.to_string()).collect();
    assert_eq!(
        paths,
        ["/run/systemd/generator.early/service.d/50-earmark.conf"]
    );
}
