use std::{cell::RefCell, fs};

use super::{settings::Right, *};
use crate::status::model::LockState;
use crate::testing::TestRoot;

/// As a distribution leaves it.
const OPEN: &[(&str, &str)] = &[
    ("kernel/osrelease", "6.1.0"),
    ("kernel/modules_disabled", "0"),
    ("kernel/kexec_load_disabled", "0"),
    ("kernel/yama/ptrace_scope", "0"),
    ("kernel/unprivileged_bpf_disabled", "2"),
    ("kernel/kptr_restrict", "0"),
    ("kernel/perf_event_paranoid", "4"),
    ("kernel/sysrq", "438"),
    ("fs/suid_dumpable", "2"),
    ("fs/protected_fifos", "1"),
];

fn host(settings: &[(&str, &str)]) -> TestRoot {
    let root = TestRoot::bare();
    for (name, value) in settings {
        let value = format!("{value}\n");
        root.write(&format!("/proc/sys/{name}"), value.as_bytes());
    }
    root
}

fn rules() -> RuleSet {
    let text = b"[image]\nname = \"web\"\nplatform = \"file\"\n";
    let declaration = earmark_manifest::declaration::Declaration::parse(text);
    declaration.unwrap().rule_set().unwrap()
}

fn item(root: &TestRoot, name: &str) -> Item {
    let root = root.open();
    let items = probe(&Look::new(&root), &rules(), &["nf_tables".to_owned()]);
    items.into_iter().find(|item| item.name == name).unwrap()
}

fn found(root: &TestRoot, name: &str) -> (LockState, Option<Strength>) {
    let item = item(root, name);
    (item.state, item.strength)
}

fn value(root: &TestRoot, name: &str) -> String {
    let text = fs::read_to_string(root.at(&format!("/proc/sys/{name}"))).unwrap();
    text.trim().to_owned()
}

#[test]
fn kernel_setting_state_and_strength_follow_its_value() {
    use LockState::{Enforced, NotApplicable, NotEnforced, Unknown};

    let root = host(OPEN);
    assert_eq!(found(&root, "kernel.modules_disabled"), (NotEnforced, None));
    assert_eq!(found(&root, "kernel.sysrq"), (NotEnforced, None));
    assert_eq!(found(&root, "kernel.yama.ptrace_scope").0, NotEnforced);
    assert_eq!(found(&root, "vm.unprivileged_userfaultfd").0, NotApplicable);
    let bpf = "kernel.unprivileged_bpf_disabled";
    let reversible = (Enforced, Some(Strength::Reversible));
    assert_eq!(found(&root, bpf), reversible);
    assert_eq!(found(&root, "kernel.perf_event_paranoid"), reversible);

    root.write("/proc/sys/kernel/modules_disabled", b"1\n");
    root.write("/proc/sys/kernel/yama/ptrace_scope", b"2\n");
    root.write("/proc/sys/kernel/unprivileged_bpf_disabled", b"1\n");
    let sticks = (Enforced, Some(Strength::UntilReboot));
    assert_eq!(found(&root, "kernel.modules_disabled"), sticks);
    assert_eq!(found(&root, bpf), sticks);
    assert_eq!(found(&root, "kernel.yama.ptrace_scope"), reversible);

    // What is no number, and a host whose settings cannot be seen, are nothing that is known.
    root.write("/proc/sys/kernel/modules_disabled", b"yes\n");
    assert_eq!(found(&root, "kernel.modules_disabled").0, Unknown);
    assert_eq!(found(&TestRoot::bare(), "kernel.sysrq").0, Unknown);
}

#[test]
fn kernel_lockdown_level_is_read_from_securityfs() {
    let root = host(OPEN);
    let lockdown = || {
        let item = item(&root, "kernel lockdown");
        (item.state, item.found)
    };
    assert_eq!(lockdown().0, LockState::NotApplicable);
    fs::create_dir_all(root.at(SECURITY)).unwrap();
    assert_eq!(lockdown().0, LockState::Unknown);
    root.write(MODULES_OF_SECURITY, b"capability,yama");
    assert_eq!(lockdown().0, LockState::NotApplicable);
    root.write(LOCKDOWN, b"none [integrity] confidentiality\n");
    assert_eq!(lockdown().0, LockState::NotApplicable, "not active");
    root.write(MODULES_OF_SECURITY, b"capability,lockdown,yama");
    for (text, state, level) in [
        (
            "[none] integrity confidentiality\n",
            LockState::NotEnforced,
            "none",
        ),
        (
            "none [integrity] confidentiality\n",
            LockState::Enforced,
            "integrity",
        ),
        (
            "none integrity [confidentiality]\n",
            LockState::Enforced,
            "confidentiality",
        ),
        (
            "[integrity-not] integrity\n",
            LockState::NotEnforced,
            "integrity-not",
        ),
    ] {
        root.write(LOCKDOWN, text.as_bytes());
        assert_eq!(lockdown(), (state, level.to_owned()));
    }
    root.write(LOCKDOWN, b"none integrity confidentiality\n");
    assert_eq!(lockdown().0, LockState::Unknown);
}

#[test]
fn kernel_settings_become_stricter_and_never_looser() {
    for setting in SETTINGS {
        for found in -2..=5 {
            let right = setting.right;
            match right.stricter_than(found) {
                None => assert!(right.accepts(found), "{} {found}", setting.path),
                Some(value) => {
                    assert!(right.accepts(value), "{} {found}", setting.path);
                    assert_eq!(right.stricter_than(value), None, "{}", setting.path);
                }
            }
        }
        assert!(setting.path.starts_with("/proc/sys/"));
    }
    assert_eq!(Right::AtLeast(2).stricter_than(3), None);
    assert_eq!(Right::Either(1, 2).stricter_than(2), Some(1));
}

#[test]
fn kernel_plan_loads_missing_modules_and_disables_loading_last() {
    let root = host(OPEN);
    fs::create_dir_all(root.at("/sys/module/br_netfilter")).unwrap();
    let open = root.open();
    let look = Look::new(&open);
    let modules = ["nf_tables", "br-netfilter"].map(str::to_owned);
    let planned = plan(&look, &modules);
    assert_eq!(planned.load, ["nf_tables"]);
    assert_eq!(planned.problems, [""; 0]);
    let last = (MODULES_DISABLED, "1".to_owned());
    assert_eq!(planned.write.last(), Some(&last));
    let written: Vec<_> = planned.write.iter().map(|(path, _)| *path).collect();
    assert!(!written.contains(&"/proc/sys/kernel/perf_event_paranoid"));

    // With the door shut nobody is asked for a module.
    root.write(MODULES_DISABLED, b"1\n");
    assert_eq!(plan(&look, &modules).load, [""; 0]);
}

#[test]
fn kernel_apply_continues_after_a_failure_and_a_second_plan_is_empty() {
    let root = host(OPEN);
    root.write(MODULES_OF_SECURITY, b"capability,lockdown");
    root.write(LOCKDOWN, b"[none] integrity confidentiality\n");
    // Whoever could put a link there would have something else written to.
    root.remove("/proc/sys/kernel/sysrq");
    root.write("/elsewhere", b"438\n");
    root.link("/proc/sys/kernel/sysrq", "/elsewhere");
    let open = root.open();
    let asked = RefCell::new(Vec::new());
    let load = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned());
        asked.borrow_mut().extend(names);
        // The door is open as long as modules are loaded.
        assert_eq!(value(&root, "kernel/modules_disabled"), "0");
        vec!["nf_tables: no such module".to_owned()]
    };
    let modules = ["nf_tables".to_owned()];
    let problems = apply(&open, &rules(), &modules, &load);
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(
        problems[0].contains("/proc/sys/kernel/sysrq"),
        "{problems:?}"
    );
    assert!(problems[1].contains("nf_tables"), "{problems:?}");
    assert_eq!(*asked.borrow(), ["nf_tables"]);
    for (name, expected) in [
        ("kernel/modules_disabled", "1"),
        ("kernel/kexec_load_disabled", "1"),
        ("kernel/yama/ptrace_scope", "2"),
        ("kernel/unprivileged_bpf_disabled", "1"),
        ("kernel/perf_event_paranoid", "4"),
        ("fs/suid_dumpable", "0"),
        ("fs/protected_fifos", "2"),
    ] {
        assert_eq!(value(&root, name), expected, "{name}");
    }
    assert_eq!(fs::read(root.at("/elsewhere")).unwrap(), b"438\n");
    let written = fs::read_to_string(root.at(LOCKDOWN)).unwrap();
    assert!(written.starts_with(INTEGRITY), "{written}");

    root.remove("/proc/sys/kernel/sysrq");
    root.write(LOCKDOWN, b"none [integrity] confidentiality\n");
    let again = plan(&Look::new(&open), &modules);
    assert_eq!(again, Plan::default());
}

#[test]
fn kernel_apply_resets_unsigned_helper_programs_and_binfmt_entries() {
    let root = host(OPEN);
    root.write("/proc/sys/kernel/modprobe", b"/tmp/x\n");
    root.write("/proc/sys/kernel/core_pattern", b"|/tmp/x\n");
    root.write("/proc/sys/kernel/poweroff_cmd", b"/sbin/poweroff\n");
    root.write("/proc/filesystems", b"nodev\tbinfmt_misc\n");
    let entry = "/proc/sys/fs/binfmt_misc/x";
    root.write(
        entry,
        b"enabled\ninterpreter /tmp/x\nflags: \nextension .x\n",
    );
    let open = root.open();
    let load = |_: &[&str]| {
        // Whoever loads a module by then is who should.
        assert!(value(&root, "kernel/modprobe").starts_with("/sbin/modprobe"));
        Vec::new()
    };
    assert_eq!(apply(&open, &rules(), &[], &load), [""; 0]);
    assert!(value(&root, "kernel/core_pattern").starts_with("core"));
    assert_eq!(value(&root, "kernel/poweroff_cmd"), "/sbin/poweroff");
    assert!(
        fs::read_to_string(root.at(entry))
            .unwrap()
            .starts_with("-1")
    );
}
