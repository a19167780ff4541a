//! Proven by trying: what root does to a host that is locked down, and the same on the same image without
//! a lock. What root on such a host (tier T0) still can is found by the next look.

mod attempts;
mod crash;

use std::collections::BTreeSet;

use earmark_tests::{
    boot::{Boot, Disk, REPORT, Sealing, Seen, image},
    imds::{Imds, UPLINK},
};
use serde_json::Value;
use tempfile::TempDir;

use self::attempts::{ATTEMPTS, MIXED, ORDINARY, PROGRAMS, STILL, UNSEEN, VERIFIED};

/// Every lock, as it is if nothing is declared. Under `quarantine` the look of every minute would end the
/// attempts that it finds.
const LOCKED: Sealing = Sealing {
    name: "locked",
    platform: "ec2",
    rest: "[lockdown]\nkernel = { modules = [\"virtio_input\"] }\n",
    files: FILES,
    ..REPORT
};
/// The control. What is done to it is found in the background, and must not stop what is tried next.
const OPEN: Sealing = Sealing {
    name: "unlocked",
    platform: "ec2",
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
    PROGRAMS[0],
    PROGRAMS[1],
    PROGRAMS[2],
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
fn look(sealing: &Sealing) -> String {
    let mut look = String::new();
    let mut step = |name: &str, command: &str| {
        let quoted = command.replace('\'', "'\\''");
        look.push_str(&format!("step {name} sh -c '{quoted}'\n"));
    };
    step("locks", CHECK);
    step("module-declared", "grep virtio_input /proc/modules");
    for (name, command) in ORDINARY {
        step(name, command);
    }
    for (name, command, _) in ATTEMPTS {
        step(name, command);
    }
    if sealing.name == OPEN.name {
        return look;
    }
    step("again", CHECK);
    step(
        "look-shut",
        "systemctl start earmark-lockdown-again.service",
    );
    step("told-shut", "earmark-agent status --json");
    for (name, command, _, undo) in STILL {
        step(name, command);
        step(&format!("{name}-seen"), CHECK);
        step(&format!("{name}-undone"), undo);
    }
    for (name, command) in UNSEEN {
        step(name, command);
    }
    step("unseen", CHECK);
    step(VERIFIED.0, VERIFIED.1);
    step("verify", "earmark-agent verify --json");
    let (name, undone, ..) = STILL[0];
    step(&format!("{name}-for-good"), undone);
    step("look", "systemctl start earmark-lockdown-again.service");
    step("told", "earmark-agent status --json");
    look
}

const CHECK: &str = "earmark-agent lockdown --check --json";

#[track_caller]
fn boot(sealing: &Sealing) -> Seen {
    let beside = TempDir::new().unwrap();
    let imds = Imds::of_instance("i-0123456789abcdef0", "secret = 1\n");
    let disk = Disk::new(image(), sealing, sealing.name);
    let boot = Boot {
        append: "net.ifnames=0",
        devices: &imds.network(beside.path()),
        prepare: UPLINK,
        look: &look(sealing),
        ..Boot::default()
    };
    disk.boot(&boot).settled()
}

/// The locks, as a step saw them.
#[track_caller]
fn locks(seen: &Seen, step: &str) -> Vec<Value> {
    let said = seen.step(step).out;
    let shown: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{step}: {said}"));
    shown["locks"].as_array().unwrap().clone()
}

/// Returns the items that a step found not enforced: the name of the lock, and the item as JSON.
#[track_caller]
fn open(seen: &Seen, step: &str) -> BTreeSet<(String, String)> {
    let mut open = BTreeSet::new();
    for lock in locks(seen, step) {
        for item in lock["items"].as_array().unwrap() {
            if item["state"] == "not-enforced" {
                open.insert((lock["lock"].as_str().unwrap().to_owned(), item.to_string()));
            }
        }
    }
    open
}

/// Returns a line for each attempt that ended otherwise than it must.
fn wrong(open: &Seen, locked: &Seen) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut must = |seen: &Seen, host: &str, name: &str, is_right: &dyn Fn(i32, &str) -> bool| {
        let run = seen.step(name);
        if !is_right(run.code, &run.out) {
            let said: String = run.out.chars().take(500).collect();
            wrong.push(format!("{name} on the {host} host: {} {said}", run.code));
        }
    };
    for (name, _, reasons) in ATTEMPTS {
        must(open, "open", name, &|code, _| code == 0);
        must(locked, "locked", name, &|code, said| {
            let is_refused = reasons.split('|').any(|reason| said.contains(reason));
            code != 0 && code != MIXED && is_refused
        });
    }
    for (name, _) in ORDINARY {
        must(open, "open", name, &|code, _| code == 0);
        must(locked, "locked", name, &|code, _| code == 0);
    }
    for (name, ..) in STILL {
        must(locked, "locked", name, &|code, _| code == 0);
        must(locked, "locked", &format!("{name}-seen"), &|code, _| {
            code == 13
        });
        must(locked, "locked", &format!("{name}-undone"), &|code, _| {
            code == 0
        });
    }
    for (name, _) in UNSEEN {
        must(locked, "locked", name, &|code, _| code == 0);
    }
    wrong
}

#[test]
fn vm_root_actions_fail_or_are_detected_on_a_locked_down_host() {
    let (open, locked) = std::thread::scope(|threads| {
        let open = threads.spawn(|| boot(&OPEN));
        let locked = boot(&LOCKED);
        (open.join().expect("the control"), locked)
    });

    let wrong = wrong(&open, &locked);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    must_be_shut_and_at_work(&open, &locked);
    must_be_found(&locked);
}

#[track_caller]
fn must_be_shut_and_at_work(open: &Seen, locked: &Seen) {
    // Measured, not meant: before and after all of it.
    for step in ["locks", "again"] {
        let said = locked.step(step).must(0).out;
        for lock in locks(locked, step) {
            let state = lock["state"].as_str().unwrap();
            assert!(
                ["enforced", "not-applicable"].contains(&state),
                "{step}: {lock:#}: {said}"
            );
        }
    }
    locked.step("module-declared").must(0);
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
    // It was in all the places where something can be written that a program was put to be run.
    let run = locked.step("run").out;
    for place in [
        "/dev/shm",
        "/run",
        "/srv/data",
        "/tmp",
        "/var/log",
        "/etc/hostname",
    ] {
        assert!(
            run.lines()
                .any(|line| line.starts_with(place) && line.ends_with("denied")),
            "{place}: {run}"
        );
    }
}

/// Checks that the next look finds each attempt of [`STILL`] by its own lock alone, so that those before it are undone.
#[track_caller]
fn must_be_found(locked: &Seen) {
    for (name, _, lock, _) in STILL {
        let found = self::open(locked, &format!("{name}-seen"));
        let all = found.iter().all(|(found, _)| found == lock);
        assert!(all && !found.is_empty(), "{name}: {found:#?}");
    }
    // Or it is not, and that is written down.
    let unseen = locked.step("unseen");
    assert_eq!(unseen.code, 0, "{}", unseen.out);

    // The timer's own look finds what a person's does, with the capabilities that it has, and tells everybody.
    for (look, told, is_enforced) in [("look-shut", "told-shut", true), ("look", "told", false)] {
        locked.step(look).must(0);
        let told: Value = serde_json::from_str(&locked.step(told).out).unwrap();
        assert_eq!(told["lockdown"]["is_enforced"], is_enforced, "{told:#}");
    }
    let said = "NOT LOCKED DOWN: ";
    assert!(locked.console.contains(said), "{}", locked.console);

    let (name, _, violation) = VERIFIED;
    locked.step(name).must(0);
    let verified = locked.step("verify").must(10);
    assert!(
        verified.violations().iter().any(|found| found == violation),
        "{}",
        verified.out
    );
}
