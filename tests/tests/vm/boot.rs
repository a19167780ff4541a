//! Real boots of a sealed image: as it was signed, and with a byte of it changed, under each policy.

use std::{fs, os::unix::fs::FileExt, path::Path};

use earmark_tests::boot::{
    Boot, Disk, HALT, QUARANTINE, QUARANTINED, REPORT, Seen, image, lived, verdict,
};
use serde_json::Value;

/// Verified before the boot goes on, like all of `/etc`.
const CRITICAL: &str = "etc/ssh/moduli";
/// Verified in the background.
const OTHER: &str = "usr/share/common-licenses/GPL-3";
/// A network card, so that there is something to keep off it.
const NETWORK: &str = "-netdev user,id=net,restrict=on -device virtio-net-pci,netdev=net,romfile=";

/// Changes one bit in the middle of a file: its size, owner, mode and times stay.
fn spoil(root: &Path, path: &str) {
    let path = root.join(path);
    let metadata = fs::metadata(&path).unwrap();
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, metadata.len() / 2).unwrap();
    file.write_all_at(&[byte[0] ^ 1], metadata.len() / 2)
        .unwrap();
    let times = fs::FileTimes::new().set_modified(metadata.modified().unwrap());
    file.set_times(times).unwrap();
}

/// The agent's entries of the journal, of the last boot.
fn entries(disk: &Disk) -> Vec<Value> {
    disk.journal(&["--boot", "SYSLOG_IDENTIFIER=earmark-agent"])
}

/// The last entry that tells of a verdict has these fields.
#[track_caller]
fn must_tell(disk: &Disk, verdict: &str, policy: &str) {
    let entries = entries(disk);
    let entry = entries.iter().rfind(|entry| entry["VERDICT"] == verdict);
    let entry = entry.unwrap_or_else(|| panic!("no entry says {verdict}: {entries:#?}"));
    for (field, value) in [
        ("IMAGE_ID", "host"),
        ("IMAGE_VERSION", "1.0.0"),
        ("IMAGE_EPOCH", "2"),
        ("TIER", "T0"),
        ("POLICY", policy),
    ] {
        assert_eq!(entry[field], value, "{field}: {entry:#}");
    }
    let id = entry["MESSAGE_ID"].as_str().expect("a MESSAGE_ID");
    assert!(
        id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{id}"
    );
    assert!(
        entry["MANIFEST"].as_str().unwrap().starts_with("sha256:"),
        "{entry:#}"
    );
    let unnamed = entry
        .as_object()
        .unwrap()
        .keys()
        .find(|key| key.starts_with("F_"));
    assert_eq!(unnamed, None);
}

#[track_caller]
fn must_name(seen: &Seen, path: &str) {
    let status = seen.status();
    assert_eq!(status["verdict"], "violated", "{status:#}");
    assert_eq!(seen.violations(), [format!("content /{path}")]);
    let said = seen.said();
    assert!(said.iter().any(|line| line.contains(path)), "{said:?}");
    let screen = seen.step("screen").must(10).out;
    assert!(screen.contains(path), "{screen}");
    // What is shown at a login, where there are logins.
    let motd = seen.step("motd").must(0).out;
    assert!(motd.to_lowercase().contains("violated"), "{motd}");
}

/// Anything that reads `os-release` knows which image this is.
#[track_caller]
fn must_be_stamped(seen: &Seen) {
    let release = seen.step("os-release").must(0).out;
    for line in ["IMAGE_ID=\"host\"", "IMAGE_VERSION=\"1.0.0\""] {
        assert!(release.lines().any(|found| found == line), "{release}");
    }
}

#[test]
fn vm_unmodified_image_is_verified_before_the_network_and_gets_ready() {
    let disk = Disk::new(image(), &QUARANTINE, "clean");
    let until = verdict("verified");
    let seen = disk
        .boot(&Boot {
            until: &until,
            devices: NETWORK,
            ..Boot::default()
        })
        .settled();
    seen.must_be_verified();
    let status = seen.status();
    assert_eq!(status["image"]["name"], "host");
    assert_eq!(status["image"]["version"], "1.0.0");
    assert_eq!(status["gate"], "full");
    assert!(status["boot_id"].is_string() && status["time"].is_number());
    seen.step("screen").must(0);
    let motd = seen.step("motd").must(0).out;
    assert!(
        motd.contains("host 1.0.0") && motd.contains("VERIFIED"),
        "{motd}"
    );
    must_be_stamped(&seen);

    // Verified before anything that could be turned by what is not verified.
    let verified = seen.micros("earmark-verify.service", "ExecMainExitTimestampMonotonic");
    assert!(verified > 0);
    for unit in [
        "systemd-tmpfiles-setup.service",
        "sysinit.target",
        "network-pre.target",
        "uplink.service",
        "ssh.service",
        "workload.service",
    ] {
        let started = seen.micros(unit, "InactiveExitTimestampMonotonic");
        assert!(
            started > verified,
            "{unit} at {started}, verified at {verified}"
        );
    }
    let ready = seen.micros("earmark-ready.target", "ActiveEnterTimestampMonotonic");
    assert!(seen.micros("workload.service", "InactiveExitTimestampMonotonic") >= ready);

    must_tell(&disk, "partial", "quarantine");
    must_tell(&disk, "verified", "quarantine");
}

#[test]
fn vm_quarantine_starts_no_network_or_workload_on_a_violated_host() {
    let disk = lived(&QUARANTINE, "quarantine");
    disk.change(|root| {
        fs::remove_file(root.join("srv/data/workload")).unwrap();
        spoil(root, CRITICAL);
    });
    let seen = disk
        .boot(&Boot {
            until: QUARANTINED,
            devices: NETWORK,
            ..Boot::default()
        })
        .settled();
    seen.must_be_quarantined();
    for unit in ["network-pre.target", "uplink.service"] {
        assert!(!seen.has_started(unit), "{unit}");
    }
    must_name(&seen, CRITICAL);
    must_tell(&disk, "violated", "quarantine");
    disk.change(|root| assert!(!root.join("srv/data/workload").exists()));
}

#[test]
fn vm_report_policy_boots_a_violated_host_and_shows_the_violation() {
    let disk = lived(&REPORT, "report");
    disk.change(|root| spoil(root, CRITICAL));
    let seen = disk.boot(&Boot::default()).settled();
    seen.must_be_at_work();
    must_name(&seen, CRITICAL);
    must_tell(&disk, "violated", "report");
    must_be_stamped(&seen);
}

#[test]
fn vm_halt_switches_the_host_off() {
    let disk = lived(&HALT, "halt");
    disk.change(|root| {
        fs::remove_file(root.join("srv/data/workload")).unwrap();
        spoil(root, CRITICAL);
    });
    let seen = disk.boot_until_off(&Boot {
        until: "false",
        ..Boot::default()
    });
    let said = seen.said();
    assert!(said.iter().any(|line| line.contains(CRITICAL)), "{said:?}");
    assert!(!seen.console.contains("login:"), "{}", seen.console);
    must_tell(&disk, "violated", "halt");
    disk.change(|root| assert!(!root.join("srv/data/workload").exists()));
}

/// Checks that a change outside the gate is found while the host is at work, and that the policy applies then.
#[test]
fn vm_changed_byte_outside_the_critical_set_is_quarantined_in_the_background() {
    let disk = lived(&QUARANTINE, "background");
    disk.change(|root| spoil(root, OTHER));
    let seen = disk
        .boot(&Boot {
            until: QUARANTINED,
            ..Boot::default()
        })
        .settled();
    seen.must_be_shut();
    must_name(&seen, OTHER);
    // It was ready first: that is what the gate `critical` means.
    assert!(seen.has_started("earmark-ready.target"));
    assert!(seen.has_started("workload.service"));
    must_tell(&disk, "partial", "quarantine");
    must_tell(&disk, "violated", "quarantine");
}

#[test]
fn vm_changed_byte_outside_the_critical_set_triggers_report_and_halt() {
    let disk = lived(&REPORT, "background-report");
    disk.change(|root| spoil(root, OTHER));
    let until = verdict("violated");
    let seen = disk
        .boot(&Boot {
            until: &until,
            ..Boot::default()
        })
        .settled();
    seen.must_be_at_work();
    must_name(&seen, OTHER);
    assert!(seen.is_active("earmark-agent.service"));

    let disk = lived(&HALT, "background-halt");
    disk.change(|root| spoil(root, OTHER));
    let seen = disk.boot_until_off(&Boot {
        until: "false",
        ..Boot::default()
    });
    let said = seen.said();
    assert!(said.iter().any(|line| line.contains(OTHER)), "{said:?}");
    must_tell(&disk, "partial", "halt");
    must_tell(&disk, "violated", "halt");
}
