use std::os::unix::fs::symlink;

use super::*;
use crate::status::model::LockState;
use crate::testing::TestRoot;

fn found(root: &TestRoot, unit: &str) -> String {
    let root = root.open();
    Look::new(&root).masked_unit(unit).found
}

#[test]
fn unit_counts_as_shut_only_if_masked_and_not_running() {
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
fn unit_instance_with_its_own_file_is_found_despite_a_masked_template() {
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
fn absent_units_yield_one_not_applicable_item() {
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
fn long_name_list_is_shortened_and_control_characters_are_escaped() {
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

#[test]
fn privileged_cgroup_nested_in_a_unit_or_owned_by_a_user_is_not_a_running_unit() {
    use std::os::unix::fs::chown;

    let root = TestRoot::bare();
    root.write("/usr/lib/systemd/system/ssh.service", b"");
    root.link("/run/systemd/generator.early/ssh.service", "/dev/null");
    let group = |path: &str, owner: Option<u32>| {
        let directory = format!("/sys/fs/cgroup/{path}");
        root.write(&format!("{directory}/cgroup.events"), b"populated 1\n");
        chown(root.at(&directory), owner, None).unwrap();
    };
    group("user.slice", None);
    // A container of root's, in which a service manager has the names of its own units.
    for path in [
        "machine.slice",
        "machine.slice/web.scope",
        "machine.slice/web.scope/system.slice",
        "machine.slice/web.scope/system.slice/ssh.service",
    ] {
        group(path, None);
    }
    group("user.slice/user@1000.service", Some(1000));
    let mut deep = "user.slice/user@1000.service".to_owned();
    for name in ["ssh.service", "a", "b"].into_iter().cycle().take(120) {
        deep = format!("{deep}/{name}");
        group(&deep, Some(1000));
    }
    assert_eq!(found(&root, "ssh.service"), "masked, not running");
    let running = |unit: &str| {
        let root = root.open();
        Look::new(&root).running().unwrap().contains(unit)
    };
    // The group itself is the system's, and what root has in another is found.
    assert!(running("user@1000.service") && running("web.scope") && !running("a"));
    group("system.slice", None);
    group("system.slice/ssh.service", None);
    assert_eq!(found(&root, "ssh.service"), "'ssh.service' runs");
}
