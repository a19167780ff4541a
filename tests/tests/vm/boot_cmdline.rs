//! Real boots with a kernel command line that masks the agent, or leads round it.

use earmark_tests::boot::{Boot, Disk, QUARANTINE, QUARANTINED, Seen, image, lived};

/// Boots without `words` and then with them, into quarantine, for the one reason that they are there.
#[track_caller]
fn refused(name: &str, words: &str) -> Seen {
    let disk = lived(&QUARANTINE, name);
    let seen = disk
        .boot(&Boot {
            until: QUARANTINED,
            append: words,
            ..Boot::default()
        })
        .settled();
    seen.must_be_quarantined();
    let status = seen.status();
    assert_eq!(status["verdict"], "violated", "{status:#}");
    let violations = seen.violations();
    assert!(!violations.is_empty());
    for violation in &violations {
        assert_eq!(violation, "cmdline /proc/cmdline");
    }
    let said = seen.said();
    let word = words.split(' ').next().unwrap();
    assert!(said.iter().any(|line| line.contains(word)), "{said:?}");
    seen
}

#[test]
fn vm_masks_on_the_command_line_mask_nothing_of_ours() {
    refused(
        "mask",
        "systemd.mask=earmark-verify.service systemd.mask=earmark-verified.target \
         systemd.mask=earmark-ready.target systemd.mask=earmark-quarantine.target",
    );
}

#[test]
fn vm_another_target_on_the_command_line_is_verified_too() {
    let seen = refused("emergency", "systemd.unit=emergency.target");
    assert!(!seen.has_started("emergency.service"));
}

#[test]
fn vm_a_rescue_shell_on_the_command_line_is_verified_too() {
    let seen = refused("rescue", "rescue");
    assert!(!seen.has_started("rescue.service"));
}

#[test]
fn vm_an_init_that_starts_systemd_later_is_found() {
    refused("wrapper", "init=/bin/sh -- -c \"exec /sbin/init\"");
}

/// What T0 cannot do: a host whose init is a shell runs no service manager, and so no agent. It says
/// nothing, and nothing that waits for its word is told that it is ready.
#[test]
fn vm_a_shell_for_an_init_leaves_no_word_of_the_agent() {
    let disk = Disk::new(image(), &QUARANTINE, "shell");
    let seen = disk.boot(&Boot {
        append: "init=/bin/sh",
        until: "false",
        limit: 15,
        ..Boot::default()
    });
    assert_ne!(seen.step("settled").code, 0);
    assert_ne!(seen.step("status").code, 0);
    assert_eq!(seen.said(), [""; 0]);
    assert!(seen.listening().is_empty());
    disk.change(|root| assert!(!root.join("srv/data/workload").exists()));
    disk.boot(&Boot::default()).settled().must_be_good();
}
