//! Proven by trying: what root does to a host that is locked down, and the same on the same image without
//! a lock. What root on such a host (tier T0) still can is found by the next look.

use earmark_tests::boot::{Boot, Disk, QUARANTINE, REPORT, Sealing, Seen, image};
use serde_json::Value;

/// Every lock, as it is if nothing is declared.
const LOCKED: Sealing = Sealing {
    name: "locked",
    rest: "[lockdown]\n",
    files: FILES,
    ..QUARANTINE
};
/// The control. What is done to it is found in the background, and must not stop what is tried next.
const OPEN: Sealing = Sealing {
    name: "unlocked",
    files: FILES,
    ..REPORT
};

const FILES: &[(&str, &str, u32)] = &[
    (
        "usr/lib/systemd/system/ordinary.service",
        ORDINARY_SERVICE,
        0o644,
    ),
    (
        "usr/lib/systemd/system/private.service",
        PRIVATE_SERVICE,
        0o644,
    ),
];
/// As services keep what they write. The image declares the directory, and does not have it.
const ORDINARY_SERVICE: &str = "\
[Service]
Type=oneshot
StateDirectory=ordinary
LogsDirectory=ordinary
ExecStart=/bin/sh -c 'echo x > /var/lib/ordinary/x; echo x > /var/log/ordinary/x'
";
/// As they protect the rest from themselves.
const PRIVATE_SERVICE: &str = "\
[Service]
Type=oneshot
User=nobody
PrivateTmp=yes
ProtectSystem=strict
ProtectHome=yes
StateDirectory=ordinary
ExecStart=/bin/sh -c 'echo x > /var/lib/ordinary/y; echo x > /tmp/y'
";
/// A package of somebody's own.
const DPKG: &str = "mkdir -p /tmp/evil.d/DEBIAN && cd /tmp && \
    printf 'Package: evil\\nVersion: 1\\nArchitecture: all\\nMaintainer: e\\nDescription: e\\n' > evil.d/DEBIAN/control && \
    dpkg-deb --build evil.d evil.deb && dpkg --install evil.deb";

/// Each is one thing that root does to make a pet of a host, by its name.
const ATTEMPTS: &[(&str, &str)] = &[
    ("create-etc", "touch /etc/evil"),
    ("create-usr", "touch /usr/bin/evil"),
    ("create-root", "touch /root/evil"),
    ("create-opt", "touch /opt/evil"),
    ("create-boot", "touch /boot/evil"),
    ("create-top", "mkdir /evil"),
    ("write", "echo x >> /usr/share/debconf/confmodule"),
    ("rename", "mv /usr/bin/nsenter /usr/bin/renter"),
    ("delete", "rm /usr/bin/lastb"),
    ("chmod", "chmod 0777 /etc/passwd"),
    ("chown", "chown 1:1 /etc/debian_version"),
    ("link", "ln /usr/bin/true /usr/bin/yes-man"),
    (
        "unit",
        "echo '[Service]' > /etc/systemd/system/evil.service",
    ),
    ("drop-in", "mkdir -p /etc/systemd/system/workload.service.d"),
    ("cron", "mkdir -p /etc/cron.d && touch /etc/cron.d/evil"),
    ("udev", "touch /etc/udev/rules.d/evil.rules"),
    ("user", "useradd evil"),
    ("password", "echo root:evil | chpasswd"),
    (
        "keys",
        "mkdir -p /root/.ssh && echo key > /root/.ssh/authorized_keys",
    ),
    ("preload", ": > /etc/ld.so.preload"),
    ("dpkg", DPKG),
    ("module", "modprobe virtio_balloon"),
    // Where the door is open already, there is nothing to open.
    (
        "modules-door",
        "cd /proc/sys/kernel; grep 0 modules_disabled || echo 0 > modules_disabled",
    ),
    (
        "kexec-door",
        "cd /proc/sys/kernel; grep 0 kexec_load_disabled || echo 0 > kexec_load_disabled",
    ),
    (
        "lockdown-door",
        "grep '\\[none\\]' /sys/kernel/security/lockdown || echo none > /sys/kernel/security/lockdown",
    ),
    ("sshd", "systemctl start ssh.service"),
    ("getty", "systemctl start getty@tty2.service"),
    ("run-tmp", "cp /usr/bin/true /tmp/evil && /tmp/evil"),
    (
        "run-var-tmp",
        "cp /usr/bin/true /var/tmp/evil && /var/tmp/evil",
    ),
    ("run-run", "cp /usr/bin/true /run/evil && /run/evil"),
    ("run-shm", "cp /usr/bin/true /dev/shm/evil && /dev/shm/evil"),
    (
        "run-data",
        "cp /usr/bin/true /srv/data/evil && /srv/data/evil",
    ),
    ("run-lib", "cp /usr/bin/true /var/lib/evil && /var/lib/evil"),
];
/// What a workload and a host do all the time, which goes on.
const ORDINARY: &[(&str, &str)] = &[
    ("data", "echo x > /srv/data/ordinary"),
    ("log", "logger ordinary && journalctl --sync"),
    ("tmp", "echo x > /tmp/ordinary"),
    (
        "service",
        "systemctl start ordinary.service && systemctl start private.service",
    ),
    ("tmpfiles", "systemd-tmpfiles --create"),
];
/// What root on this host still can, in the tier T0; the next look finds it.
const STILL: &[(&str, &str, &str)] = &[
    ("remount", "mount -o remount,bind,rw /", "filesystems"),
    (
        "bind",
        "mount --bind /tmp /usr/share/debconf",
        "filesystems",
    ),
    ("sysrq", "echo 1 > /proc/sys/kernel/sysrq", "kernel"),
    (
        "sshd-by-hand",
        "mkdir -p /run/sshd && ssh-keygen -q -N '' -t ed25519 -f /run/key && /usr/sbin/sshd -h /run/key -p 22",
        "remote_access",
    ),
];

fn look() -> String {
    let mut look = String::new();
    let mut step = |name: &str, command: &str| {
        let quoted = command.replace('\'', "'\\''");
        look.push_str(&format!("step {name} sh -c '{quoted}'\n"));
    };
    step("locks", "earmark-agent lockdown --check --json");
    for (name, command) in ATTEMPTS.iter().chain(ORDINARY) {
        step(name, command);
    }
    step("again", "earmark-agent lockdown --check --json");
    for (name, command, _) in STILL {
        step(name, command);
        step(
            &format!("{name}-seen"),
            "earmark-agent lockdown --check --json",
        );
    }
    look
}

#[track_caller]
fn boot(sealing: &Sealing) -> Seen {
    let disk = Disk::new(image(), sealing, sealing.name);
    let look = look();
    let boot = Boot {
        look: &look,
        ..Boot::default()
    };
    disk.boot(&boot).settled()
}

/// The state of each lock, as a step saw it.
#[track_caller]
fn states(seen: &Seen, step: &str) -> Vec<(String, String)> {
    let said = seen.step(step).out;
    let shown: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let locks = shown["locks"].as_array().unwrap().iter();
    locks
        .map(|lock| (text(&lock["lock"]), text(&lock["state"])))
        .collect()
}

#[test]
fn vm_what_root_does_to_a_host_fails_where_it_is_locked_down() {
    let (open, locked) = std::thread::scope(|threads| {
        let open = threads.spawn(|| boot(&OPEN));
        let locked = boot(&LOCKED);
        (open.join().expect("the control"), locked)
    });

    let mut wrong = Vec::new();
    for (name, _) in ATTEMPTS {
        for (seen, host, succeeds) in [(&open, "open", true), (&locked, "locked", false)] {
            let run = seen.step(name);
            if (run.code == 0) != succeeds {
                wrong.push(format!(
                    "{name} on the {host} host: {} {}",
                    run.code, run.out
                ));
            }
        }
    }
    for (name, _) in ORDINARY {
        for (seen, host) in [(&open, "open"), (&locked, "locked")] {
            let run = seen.step(name);
            if run.code != 0 {
                wrong.push(format!(
                    "{name} on the {host} host: {} {}",
                    run.code, run.out
                ));
            }
        }
    }
    let table = locked.step("locks").out;
    assert!(wrong.is_empty(), "{}\n{table}", wrong.join("\n"));

    // Measured, not meant: before and after all of it.
    for step in ["locks", "again"] {
        assert_eq!(locked.step(step).code, 0, "{}", locked.step(step).out);
        for (lock, state) in states(&locked, step) {
            assert!(
                ["enforced", "not-applicable"].contains(&&*state),
                "{step}: {lock}: {state}: {table}"
            );
        }
    }
    assert_eq!(locked.violations(), [""; 0]);
    assert!(locked.is_active("workload.service"));
    for unit in ["ssh.service", "console-getty.service"] {
        assert!(
            open.has_started(unit) && !locked.has_started(unit),
            "{unit}"
        );
    }
    let screen = locked.step("screen").out;
    assert!(screen.contains("Locks         enforced: "), "{screen}");

    for (name, _, lock) in STILL {
        locked.step(name).must(0);
        let seen = states(&locked, &format!("{name}-seen"));
        let state = seen.iter().find(|(found, _)| found == lock).unwrap();
        assert_eq!(state.1, "not-enforced", "{name}");
        assert_eq!(locked.step(&format!("{name}-seen")).code, 13, "{name}");
    }
}
