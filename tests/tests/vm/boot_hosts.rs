//! Real boots of hosts in trouble that no image is to blame for: none of it makes a good image fail, and
//! none of it lets a bad one pass.

use std::{fs, path::Path};

use earmark_tests::boot::{Boot, Disk, QUARANTINE, QUARANTINED, READY, image, lived, verdict};

/// Fills `/run` before the agent keeps anything there, but after systemd has what it needs, and after
/// the journal has gone from there.
const FULL_RUN: &str = r"
mkdir -p /run/systemd/system/systemd-journal-flush.service.d
cat > /run/systemd/system/systemd-journal-flush.service.d/full.conf <<UNIT
[Unit]
Before=earmark-verify.service
[Service]
ExecStartPost=-/bin/sh -c 'cat /dev/zero > /run/full; df /run > /dev/console'
UNIT
";

/// Changes a sealed file of `/etc`.
fn spoil(root: &Path) {
    let path = root.join("etc/ssh/moduli");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen('#', "%", 1)).unwrap();
}

/// Changed in the same trouble, it is refused as ever.
#[track_caller]
fn must_refuse_a_change(disk: &Disk, boot: &Boot) {
    disk.change(spoil);
    let seen = disk
        .boot(&Boot {
            until: QUARANTINED,
            ..boot.clone()
        })
        .settled();
    seen.must_be_quarantined();
}

#[test]
fn vm_clock_at_1970_changes_no_verdict() {
    let disk = lived(&QUARANTINE, "clock");
    let until = verdict("verified");
    let boot = Boot {
        until: &until,
        devices: "-rtc base=1970-01-02T00:00:00",
        look: "step date journalctl --boot --output=cat --grep 'before build time'\n",
        ..Boot::default()
    };
    let seen = disk.boot(&boot).settled();
    seen.must_be_verified();
    // systemd makes of it the time of its own release; nothing that is signed depends on either.
    seen.step("date").must(0);
    must_refuse_a_change(&disk, &boot);
}

#[test]
fn vm_full_run_tmpfs_changes_no_verdict() {
    let disk = lived(&QUARANTINE, "full-run");
    let boot = Boot {
        prepare: FULL_RUN,
        ..Boot::default()
    };
    let seen = disk
        .boot(&Boot {
            until: READY,
            look: "step said journalctl --boot --output=cat --identifier=earmark-agent\n\
                   rm /run/full\n\
                   systemctl reload earmark-agent.service\n\
                   settled() { grep -q '\"verdict\": \"verified\"' /run/earmark/status.json; }\n\
                   step freed settle\n\
                   step later cat /run/earmark/status.json\n",
            ..boot.clone()
        })
        .settled();
    seen.must_be_at_work();
    assert!(seen.console.contains("100% /run"), "{}", seen.console);
    let said = seen.step("said").must(0).out;
    assert!(said.contains("failed to save the result"), "{said}");
    seen.step("freed").must(0);
    assert_eq!(seen.step("later").must(0).json()["verdict"], "verified");
    must_refuse_a_change(&disk, &boot);
}

#[test]
fn vm_read_only_root_is_verified() {
    let disk = lived(&QUARANTINE, "read-only");
    let until = verdict("verified");
    let boot = Boot {
        until: &until,
        append: "ro",
        look: "step written touch /etc/written\nstep why journalctl --boot --quiet --output=cat --unit=earmark-agent.service\n",
        ..Boot::default()
    };
    let seen = disk.boot(&boot).settled();
    seen.must_be_verified();
    assert_ne!(seen.step("written").code, 0);
    must_refuse_a_change(&disk, &boot);
}

/// The power goes while the boot waits for the agent, and again while the agent reads the rest.
#[test]
fn vm_host_verifies_after_a_power_cut_during_verification() {
    // It has its host key already: ssh-keygen does not see to it that one outlives a power cut.
    let disk = lived(&QUARANTINE, "power");
    let seen = disk.boot_until_said(
        &Boot {
            append: "systemd.show_status=1 systemd.log_target=console",
            ..Boot::default()
        },
        // Where systemd says on the console that it starts the unit, in as many letters as fit there.
        "earmark-ve",
    );
    assert!(!seen.console.contains("PARTIAL"), "{}", seen.console);
    disk.boot_until_said(
        &Boot {
            until: &verdict("partial"),
            ..Boot::default()
        },
        "=== code settled 0",
    );
    let until = verdict("verified");
    let boot = Boot {
        until: &until,
        ..Boot::default()
    };
    disk.boot(&boot).settled().must_be_verified();
    must_refuse_a_change(&disk, &boot);
}

/// Resident size, and how often it wakes: only its timers may wake it.
#[test]
fn vm_idle_agent_stays_within_memory_and_wakeup_limits() {
    const SECONDS: u64 = 60;
    let disk = Disk::new(image(), &QUARANTINE, "idle");
    let until = verdict("verified");
    let look = format!(
        "agent=$(systemctl show --property=MainPID --value earmark-agent.service)\n\
         step children cat /proc/$agent/task/$agent/children\n\
         step before cat /proc/$agent/status\n\
         sleep {SECONDS}\n\
         step after cat /proc/$agent/status\n\
         step watchdog systemctl show --property=WatchdogUSec --value earmark-agent.service\n"
    );
    let seen = disk
        .boot(&Boot {
            until: &until,
            look: &look,
            ..Boot::default()
        })
        .settled();
    seen.must_be_verified();
    assert_eq!(seen.step("children").must(0).out.trim(), "");
    let field = |step: &str, name: &str| -> u64 {
        let said = seen.step(step).must(0).out;
        let line = said
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let line = line.unwrap_or_else(|| panic!("{name}: {said}"));
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    let kib = field("after", "VmRSS");
    let woken =
        field("after", "voluntary_ctxt_switches") - field("before", "voluntary_ctxt_switches");
    println!("{kib} KiB resident, woken {woken} times in {SECONDS} s");
    assert_eq!(field("after", "Threads"), 1);
    assert!(kib < 10 * 1024, "{kib} KiB");
    // One sign of life a minute for systemd, which waits for three.
    let watchdog = seen.step("watchdog").must(0).out;
    assert_eq!(watchdog.trim(), "3min");
    assert!(woken <= 6, "woken {woken} times");
}
