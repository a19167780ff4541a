use std::fs;

use super::*;
use crate::testing::TestRoot;

const UNITS: &str = "/usr/lib/systemd/system";

fn units(remote_access: &str) -> Units {
    let declaration = format!(
        "[image]\nname = \"web\"\nplatform = \"file\"\n[lockdown]\nremote_access = {remote_access}\n"
    );
    let declaration = Declaration::parse(declaration.as_bytes()).unwrap();
    Units::of(&declaration, LockName::RemoteAccess).unwrap()
}

/// As Debian has it, with the server running, and sessions of three ways.
fn host() -> TestRoot {
    let root = TestRoot::bare();
    for unit in ["ssh.service", "ssh.socket", "getty@.service", "web.service"] {
        root.write(&format!("{UNITS}/{unit}"), b"[Unit]\n");
    }
    let etc = "/etc/systemd/system";
    root.link(&format!("{etc}/multi-user.target.wants/ssh.service"), "x");
    root.link(&format!("{etc}/multi-user.target.wants/web.service"), "x");
    root.link(&format!("{etc}/getty.target.wants/getty@tty1.service"), "x");
    for group in [
        "system.slice",
        "system.slice/ssh.service",
        "system.slice/web.service",
        "system.slice/system-getty.slice",
        "system.slice/system-getty.slice/getty@tty1.service",
        "user.slice",
        "user.slice/user-0.slice",
        "user.slice/user-0.slice/session-1.scope",
        "user.slice/user-0.slice/session-2.scope",
        "user.slice/user-0.slice/session-c3.scope",
        "user.slice/user-0.slice/session-4.scope",
    ] {
        let group = format!("/sys/fs/cgroup/{group}");
        root.write(&format!("{group}/cgroup.events"), b"populated 1\n");
        root.write(&format!("{group}/cgroup.kill"), b"");
    }
    for (session, text) in [
        ("1", "SERVICE=sshd\nCLASS=user\n"),
        ("2", "SERVICE=login\nCLASS=user\n"),
        ("c3", "SERVICE=cron\nCLASS=background\n"),
    ] {
        root.write(&format!("{SESSIONS}/{session}"), text.as_bytes());
    }
    root
}

fn left(root: &TestRoot, remote_access: &str) -> Vec<String> {
    let root = root.open();
    let found = units(remote_access).left(&Look::new(&root)).unwrap();
    let name = |path: &String| path.rsplit('/').next().unwrap().to_owned();
    let mut names: Vec<String> = found.iter().map(name).collect();
    names.sort();
    names
}

#[test]
fn units_to_start_are_those_of_the_lock_that_the_image_enables() {
    let host = host();
    let root = host.open();
    let enabled = Look::new(&root).enabled(&units("\"deny\"").names).unwrap();
    assert_eq!(enabled, ["getty@tty1.service", "ssh.service"]);
    // A console that is enabled, and masked by the image itself, would not start.
    drop(root);
    host.link("/etc/systemd/system/getty@.service", "/dev/null");
    let root = host.open();
    let enabled = Look::new(&root).enabled(&units("\"deny\"").names).unwrap();
    assert_eq!(enabled, ["ssh.service"]);
    host.remove("/etc/systemd/system/getty@.service");
    // What the image leaves open by itself is none of the lock's.
    let but_sshd = units("{ allow = [\"sshd\"] }");
    let enabled = Look::new(&root).enabled(&but_sshd.names).unwrap();
    assert_eq!(enabled, ["getty@tty1.service"]);
}

#[test]
fn units_to_stop_are_those_of_the_lock_that_run_or_may_listen() {
    let root = host();
    let root = root.open();
    let stopped = units("\"deny\"").to_stop(&Look::new(&root));
    let expected = ["getty@tty1.service", "ssh.service", "ssh.socket"];
    assert_eq!(stopped, (expected.map(str::to_owned).into(), None));
}

#[test]
fn sessions_of_the_lock_are_killed_after_a_grant_and_others_are_spared() {
    let root = host();
    let way = ["getty@tty1.service"];
    let all = [
        "session-1.scope",
        "session-2.scope",
        "session-4.scope",
        "ssh.service",
    ];
    assert_eq!(left(&root, "\"deny\""), [&way[..], &all].concat());
    // A session by a way that the image leaves open stays; one that nobody knows of goes.
    let but_sshd = "{ allow = [\"sshd\"] }";
    let others = ["session-2.scope", "session-4.scope"];
    assert_eq!(left(&root, but_sshd), [&way[..], &others].concat());

    for group in left(&root, but_sshd)
        .iter()
        .filter(|name| name.contains("session"))
    {
        let group = format!("sys/fs/cgroup/user.slice/user-0.slice/{group}");
        kill(&root.open(), &group).unwrap();
    }
    let killed = |session: &str| {
        let path = format!("/sys/fs/cgroup/user.slice/user-0.slice/{session}/cgroup.kill");
        fs::read(root.at(&path)).unwrap()
    };
    assert_eq!(killed("session-4.scope"), b"1");
    assert_eq!(killed("session-1.scope"), b"");
    kill(&root.open(), "sys/fs/cgroup/gone.service").unwrap();
}
