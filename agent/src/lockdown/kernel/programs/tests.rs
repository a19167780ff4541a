use earmark_manifest::declaration::Declaration;

use super::*;
use crate::status::model::LockState;
use crate::testing::TestRoot;

fn host() -> TestRoot {
    let root = TestRoot::bare();
    root.write("/proc/sys/kernel/osrelease", b"6.1.0\n");
    root.write("/usr/lib/systemd/systemd-coredump", b"ELF");
    root.link("/lib", "usr/lib");
    root
}

fn rules(rest: &str) -> RuleSet {
    let text = format!(
        "[image]\nname = \"web\"\nplatform = \"file\"\n[tree]\nstate = [\"/var/crash\"]\n{rest}"
    );
    Declaration::parse(text.as_bytes())
        .unwrap()
        .rule_set()
        .unwrap()
}

fn seen(root: &TestRoot, path: &str) -> (LockState, Option<&'static str>) {
    let open = root.open();
    let items = probe(&Look::new(&open), &rules(""));
    let found = items.into_iter().find(|(item, _)| item.probe == path);
    let (item, write) = found.expect("an item");
    assert_eq!(item.cause, Cause::Root);
    (item.state, write.map(|(_, value)| value))
}

#[test]
fn kernel_helper_program_is_open_unless_usual_or_empty() {
    let shut = (LockState::Enforced, None);
    for knob in KNOBS {
        let root = host();
        assert_eq!(seen(&root, knob.path), (LockState::NotApplicable, None));
        let usual = knob.usual.iter().copied().chain(["", "\n"]);
        for value in usual {
            root.write(knob.path, value.as_bytes());
            assert_eq!(seen(&root, knob.path), shut, "{} {value:?}", knob.path);
        }
        for value in [
            "/tmp/x",
            "/bin/sh",
            "/var/lib/evil",
            "/sbin/modprobe -x",
            "|/tmp/x",
        ] {
            root.write(knob.path, value.as_bytes());
            let open = (LockState::NotEnforced, Some(knob.write));
            assert_eq!(seen(&root, knob.path), open, "{} {value}", knob.path);
        }
        // What is written over it is right.
        root.write(knob.path, knob.write.as_bytes());
        assert_eq!(seen(&root, knob.path), shut);
    }
}

#[test]
fn core_pattern_is_open_unless_a_safe_file_or_a_sealed_known_handler() {
    let root = host();
    let state = |pattern: &str| {
        root.write(CORE_PATTERN, pattern.as_bytes());
        seen(&root, CORE_PATTERN).0
    };
    for good in [
        "core",
        "core.%p",
        "%e-%p",
        "/var/crash/core.%e",
        "/dev/null",
        "|/usr/lib/systemd/systemd-coredump %P %u",
        "|/lib/systemd/systemd-coredump %P",
    ] {
        assert_eq!(state(good), LockState::Enforced, "{good}");
    }
    for bad in [
        "|/tmp/x",
        "|/bin/sh -c x",
        "| /tmp/x",
        "|/usr/bin/python3 /var/crash/x",
        "/etc/cron.d/%e",
        "/var/crash/../../etc/cron.d/x",
        "@/run/x",
        "@@/run/x",
        // Not there.
        "|/usr/share/apport/apport %p",
    ] {
        assert_eq!(state(bad), LockState::NotEnforced, "{bad}");
    }
    // The known program is another file than the sealed one.
    root.remove("/usr/lib/systemd/systemd-coredump");
    root.write("/var/crash/x", b"ELF");
    root.link("/usr/lib/systemd/systemd-coredump", "/var/crash/x");
    let pattern = "|/usr/lib/systemd/systemd-coredump %P";
    assert_eq!(state(pattern), LockState::NotEnforced);
}

#[test]
fn core_pattern_set_by_a_sealed_sysctl_file_is_enforced() {
    let pattern = "|/opt/dumper/take %p %e";
    let root = host();
    root.write(CORE_PATTERN, pattern.as_bytes());
    assert_eq!(seen(&root, CORE_PATTERN).0, LockState::NotEnforced);
    for (file, line) in [
        (
            "/usr/lib/sysctl.d/50.conf",
            format!("kernel.core_pattern={pattern}"),
        ),
        (
            "/etc/sysctl.d/50.conf",
            format!("-kernel/core_pattern = {pattern}\n"),
        ),
        (
            "/etc/sysctl.conf",
            format!("# x\nkernel.core_pattern = {pattern}\n"),
        ),
    ] {
        let root = host();
        root.write(CORE_PATTERN, pattern.as_bytes());
        root.write(file, line.as_bytes());
        assert_eq!(seen(&root, CORE_PATTERN).0, LockState::Enforced, "{file}");
        root.write(file, b"kernel.core_pattern=|/opt/other\n");
        assert_eq!(seen(&root, CORE_PATTERN).0, LockState::NotEnforced);
    }
    // What is made at run time is nobody's word.
    let line = format!("kernel.core_pattern={pattern}");
    root.write("/run/sysctl.d/50.conf", line.as_bytes());
    assert_eq!(seen(&root, CORE_PATTERN).0, LockState::NotEnforced);
}

#[test]
fn cgroup_v1_release_agent_is_open_unless_empty_or_systemds() {
    let path = "/sys/fs/cgroup/systemd/release_agent";
    let root = host();
    for (agent, expected) in [
        ("", LockState::Enforced),
        ("/lib/systemd/systemd-cgroups-agent\n", LockState::Enforced),
        ("/tmp/x\n", LockState::NotEnforced),
    ] {
        root.write(path, agent.as_bytes());
        // A file of the unified hierarchy, beneath which nothing can lie.
        root.write("/sys/fs/cgroup/cgroup.procs", b"1\n");
        assert_eq!(seen(&root, path).0, expected, "{agent}");
        let opened = root.open();
        let items = probe(&Look::new(&opened), &rules(""));
        let mut paths = items.iter().map(|(item, _)| &item.probe);
        assert!(paths.all(|path| !path.contains("cgroup.procs")));
    }
    // The kernel names one that is mounted where its program is not seen; and the controls.
    root.write(path, b"");
    for (hierarchies, expected) in [
        ("1:name=systemd:/init.scope\n0::/init.scope\n", None),
        ("2:name=x:/\n1:name=systemd:/\n", Some(LockState::Unknown)),
        ("3:cpu,cpuacct:/\n", Some(LockState::Unknown)),
    ] {
        root.write(HIERARCHIES, hierarchies.as_bytes());
        let opened = root.open();
        let items = probe(&Look::new(&opened), &rules(""));
        let other = items.iter().find(|(item, _)| {
            item.probe.ends_with("/release_agent") && !item.probe.contains("/systemd/")
        });
        assert_eq!(other.map(|(item, _)| item.state), expected, "{hierarchies}");
        assert_eq!(other.and_then(|(_, write)| write.as_ref()), None);
    }
}

#[test]
fn sysctl_file_that_is_a_link_counts_if_its_target_is_sealed() {
    let root = host();
    let pattern = "|/usr/local/bin/dump %p";
    root.write(CORE_PATTERN, pattern.as_bytes());
    let line = format!("kernel.core_pattern={pattern}\n");
    root.write("/usr/share/dump/sysctl.conf", line.as_bytes());
    root.write("/var/crash/sysctl.conf", line.as_bytes());
    for (target, expected) in [
        ("/usr/share/dump/sysctl.conf", LockState::Enforced),
        ("../../usr/share/dump/sysctl.conf", LockState::Enforced),
        // What is there nobody signed.
        ("/var/crash/sysctl.conf", LockState::NotEnforced),
        ("/nowhere", LockState::NotEnforced),
    ] {
        for place in ["/etc/sysctl.d/50-dump.conf", "/etc/sysctl.conf"] {
            let target = match target.strip_prefix("../../") {
                Some(rest) if place == "/etc/sysctl.conf" => &format!("../{rest}"),
                _ => target,
            };
            root.link(place, target);
            assert_eq!(seen(&root, CORE_PATTERN).0, expected, "{place} -> {target}");
            std::fs::remove_file(root.at(place)).unwrap();
        }
    }
}
