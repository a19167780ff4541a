//! Real boots with a kernel command line that masks the agent, or leads round it.

use std::os::unix::fs::symlink;

use earmark_tests::boot::{Boot, Disk, QUARANTINE, QUARANTINED, Sealing, Seen, image, lived};

/// An image of before command lines were signed, or of an owner who signs none.
const UNSIGNED: Sealing = Sealing {
    name: "unsigned-line",
    cmdline: "",
    ..QUARANTINE
};

/// Boots without `words` and then with them, into quarantine, for the one reason that they are there.
#[track_caller]
fn refused(name: &str, words: &str) -> Seen {
    refuse(&QUARANTINE, name, words)
}

/// The same on an image that signs no line.
#[track_caller]
fn refused_by_the_table(name: &str, words: &str) -> Seen {
    refuse(&UNSIGNED, name, words)
}

#[track_caller]
fn refuse(sealing: &Sealing, name: &str, words: &str) -> Seen {
    let disk = lived(sealing, name);
    // What starts systemd after it did something else: the initrd here takes `init=` as a shell reads it.
    disk.change(|root| symlink("/sbin/init", root.join("srv/data/evil")).unwrap());
    let seen = disk
        .boot(&Boot {
            until: QUARANTINED,
            append: words,
            ..sealing.plain_boot()
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
    // Unless a reader takes it apart first.
    let word = words.split(' ').next().unwrap();
    let is_said = said.iter().any(|line| line.contains(word));
    assert!(is_said || word.contains('"'), "{said:?}");
    seen
}

/// systemd writes `/run/systemd/container` because of the first word; the kernel shows no container.
const CONTAINER: &str = "container=lxc systemd.mask=earmark-verify.service";
/// systemd sees one word, and initramfs-tools three.
const QUOTED: &str = "\"x init=/srv/data/evil y\"";
const SYSCTL: &str = "sysctl.kernel.modprobe=/srv/data/evil";

#[test]
fn vm_container_argument_on_a_signed_cmdline_is_refused() {
    refused("container", CONTAINER);
}

#[test]
fn vm_container_argument_without_a_signed_cmdline_is_refused() {
    refused_by_the_table("container-unsigned", CONTAINER);
}

#[test]
fn vm_quoted_arguments_on_a_signed_cmdline_are_refused() {
    refused("quoted", QUOTED);
}

#[test]
fn vm_quoted_arguments_without_a_signed_cmdline_are_refused() {
    refused_by_the_table("quoted-unsigned", QUOTED);
}

#[test]
fn vm_sysctl_argument_on_a_signed_cmdline_is_refused() {
    refused("sysctl", SYSCTL);
}

#[test]
fn vm_sysctl_argument_without_a_signed_cmdline_is_refused() {
    refused_by_the_table("sysctl-unsigned", SYSCTL);
}

/// A signed word that somebody removes is as good as one that somebody adds.
#[test]
fn vm_missing_signed_cmdline_argument_is_refused() {
    const MORE: Sealing = Sealing {
        name: "more-words",
        cmdline: "console=ttyS0 quiet loglevel=1 panic=-1 oops=panic mitigations=off nokaslr \
            audit=0 root=/dev/vda slab_nomerge",
        ..QUARANTINE
    };
    let disk = Disk::new(image(), &MORE, "missing");
    let boot = |append, until| Boot {
        append,
        until,
        ..Boot::default()
    };
    let good = Boot::default();
    disk.boot(&boot("slab_nomerge", good.until))
        .settled()
        .must_be_good();
    let seen = disk.boot(&boot("", QUARANTINED)).settled();
    seen.must_be_quarantined();
    assert_eq!(seen.violations(), ["cmdline /proc/cmdline"]);
    assert!(seen.said().iter().any(|line| line.contains("slab_nomerge")));
}

#[test]
fn vm_cmdline_masks_of_agent_units_are_refused() {
    refused(
        "mask",
        "systemd.mask=earmark-verify.service systemd.mask=earmark-verified.target \
         systemd.mask=earmark-ready.target systemd.mask=earmark-quarantine.target",
    );
}

#[test]
fn vm_emergency_target_on_the_cmdline_is_refused() {
    let seen = refused("emergency", "systemd.unit=emergency.target");
    assert!(!seen.has_started("emergency.service"));
}

#[test]
fn vm_rescue_shell_on_the_cmdline_is_refused() {
    let seen = refused("rescue", "rescue");
    assert!(!seen.has_started("rescue.service"));
}

#[test]
fn vm_init_wrapper_on_the_cmdline_is_refused() {
    refused("wrapper", "init=/bin/sh -- -c \"exec /sbin/init\"");
}

/// Shows a limit of T0: a host whose init is a shell runs no service manager, and so no agent. It says
/// nothing, and nothing that waits for its word is told that it is ready.
#[test]
fn vm_shell_as_init_runs_no_agent_and_no_workload() {
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
