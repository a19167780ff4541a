use std::collections::BTreeSet;

use super::*;
use crate::status::model::LockState;
use crate::testing::TestRoot;

/// The names of ways in that a declaration can leave open.
const WORDS: [&str; 4] = ["sshd", "ec2-instance-connect", "amazon-ssm-agent", "getty"];

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// A host of Debian's: sshd, a serial console, nobody listening.
fn debian() -> TestRoot {
    let root = TestRoot::bare();
    for unit in [
        "ssh.service",
        "ssh.socket",
        "getty@.service",
        "serial-getty@.service",
        "debug-shell.service",
    ] {
        root.write(&format!("/usr/lib/systemd/system/{unit}"), b"[Unit]\n");
    }
    root.link(
        "/etc/systemd/system/sshd.service",
        "/lib/systemd/system/ssh.service",
    );
    root.write(
        "/proc/1/net/tcp",
        b"  sl  local_address rem_address   st\n   0: 00000000:0050 00000000:0000 0A 0:0 0:0 0 0 0\n",
    );
    root
}

fn mask(root: &TestRoot, except: &[&str]) {
    for unit in masks(&words(except)) {
        root.link(&format!("/run/systemd/generator.early/{unit}"), "/dev/null");
    }
}

fn state_of(root: &TestRoot, except: &[&str]) -> LockState {
    let root = root.open();
    let items = probe(&Look::new(&root), &words(except));
    items.iter().map(|item| item.state).max().unwrap()
}

fn item(root: &TestRoot, except: &[&str], name: &str) -> Option<Item> {
    let root = root.open();
    let items = probe(&Look::new(&root), &words(except));
    items.into_iter().find(|item| item.name == name)
}

#[test]
fn remote_access_masks_are_valid_unit_names_without_duplicates() {
    let all = masks(&[]);
    let different = all.iter().collect::<BTreeSet<_>>();
    assert_eq!(different.len(), all.len());
    for unit in all {
        let (name, kind) = unit.rsplit_once('.').unwrap();
        assert!(["service", "socket"].contains(&kind), "{unit}");
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-@.".contains(&byte);
        assert!(!name.is_empty() && name.bytes().all(good), "{unit}");
    }
}

#[test]
fn remote_access_exception_unmasks_only_its_own_units() {
    let all = masks(&[]).into_iter().collect::<BTreeSet<_>>();
    for word in WORDS {
        let left = masks(&words(&[word])).into_iter().collect::<BTreeSet<_>>();
        let way = WAYS.iter().find(|way| way.word == Some(word)).unwrap();
        let open = way.units.iter().copied().collect::<BTreeSet<_>>();
        assert_eq!(
            all.difference(&left).copied().collect::<BTreeSet<_>>(),
            open
        );
        assert!(left.is_subset(&all));
    }
    assert_eq!(
        masks(&words(&["debug-shell", "other shells"])).len(),
        all.len()
    );
    assert!(masks(&words(&WORDS)).contains(&"debug-shell.service"));
}

#[test]
fn remote_access_is_enforced_with_all_masks_and_open_if_one_is_missing() {
    let root = debian();
    assert_eq!(state_of(&root, &[]), LockState::NotEnforced);
    mask(&root, &[]);
    assert_eq!(state_of(&root, &[]), LockState::Enforced);
    for unit in ["ssh.socket", "serial-getty@.service", "sshd.service"] {
        let root = debian();
        mask(&root, &[]);
        root.remove(&format!("/run/systemd/generator.early/{unit}"));
        assert_eq!(state_of(&root, &[]), LockState::NotEnforced, "{unit}");
        assert_eq!(item(&root, &[], unit).unwrap().found, "not masked");
    }
}

#[test]
fn remote_access_exception_is_shown_as_allowed() {
    let root = debian();
    mask(&root, &["getty"]);
    assert_eq!(state_of(&root, &["getty"]), LockState::Enforced);
    assert_eq!(state_of(&root, &[]), LockState::NotEnforced);
    let getty = item(&root, &["getty"], "getty").unwrap();
    assert_eq!(getty.state, LockState::NotApplicable);
    assert_eq!(getty.found, "allowed by the declaration");
    assert_eq!(item(&root, &["getty"], "getty@.service"), None);
}

#[test]
fn running_masked_unit_or_listening_port_is_not_enforced() {
    let root = debian();
    mask(&root, &[]);
    for group in ["system.slice", "system.slice/ssh.service"] {
        let path = format!("/sys/fs/cgroup/{group}/cgroup.events");
        root.write(&path, b"populated 1\n");
    }
    let ssh = item(&root, &[], "ssh.service").unwrap();
    assert_eq!(
        (ssh.state, ssh.found.as_str()),
        (LockState::NotEnforced, "'ssh.service' runs")
    );

    let root = debian();
    mask(&root, &[]);
    let name = "TCP ports 22, 23, 2222, root";
    assert_eq!(item(&root, &[], name).unwrap().state, LockState::Enforced);
    root.write(
        "/proc/1/net/tcp",
        b"  sl  local_address rem_address   st\n   0: 00000000:0016 00000000:0000 0A 0:0 0:0 0 0 0\n",
    );
    let port = item(&root, &[], name).unwrap();
    assert_eq!(port.found, "somebody listens at 0.0.0.0:22 (user id 0)");
    assert_eq!(port.state, LockState::NotEnforced);
    assert_eq!(
        item(&root, &["sshd"], name).unwrap().state,
        LockState::NotApplicable
    );
    root.remove("/proc/1/net/tcp");
    assert_eq!(item(&root, &[], name).unwrap().state, LockState::Unknown);
    assert_eq!(state_of(&root, &[]), LockState::Unknown);
}

#[test]
fn ec2_instance_connect_program_is_open_if_only_sshd_is_allowed() {
    let name = "keys by ec2-instance-connect";
    for program in CONNECT {
        let root = debian();
        mask(&root, &["sshd"]);
        assert_eq!(
            item(&root, &["sshd"], name).unwrap().state,
            LockState::NotApplicable
        );
        assert_eq!(state_of(&root, &["sshd"]), LockState::Enforced);
        root.write(program, b"#!/bin/sh\n");
        assert_eq!(
            item(&root, &["sshd"], name).unwrap().state,
            LockState::NotEnforced
        );
        assert_eq!(item(&root, &["sshd", "ec2-instance-connect"], name), None);
        assert_eq!(item(&root, &[], name), None);
    }
    let alone = item(&debian(), &["ec2-instance-connect"], "ec2-instance-connect").unwrap();
    assert_eq!(
        alone.found,
        "allowed by the declaration, but of no use without sshd"
    );
}

#[test]
fn listener_of_another_user_than_root_leads_to_no_policy() {
    let others = "TCP ports 22, 23, 2222, others";
    let roots = "TCP ports 22, 23, 2222, root";
    let listening = |port: &str, user: &str| {
        let root = debian();
        mask(&root, &[]);
        let list = format!(
            "  sl  local_address rem_address   st\n   0: 0100007F:{port} 00000000:0000 0A 0:0 0:0 0 {user} 0\n"
        );
        root.write("/proc/1/net/tcp", list.as_bytes());
        let is_policy = |name| item(&root, &[], name).unwrap().leads_to_policy();
        (is_policy(roots), is_policy(others), state_of(&root, &[]))
    };
    for port in ["0016", "0017", "08AE"] {
        assert_eq!(listening(port, "0"), (true, false, LockState::NotEnforced));
        for user in ["33", "1000", "65534"] {
            let found = listening(port, user);
            assert_eq!(found, (false, false, LockState::NotEnforced), "{port}");
        }
    }
    assert_eq!(listening("0050", "33"), (false, false, LockState::Enforced));
}
