//! Real boots of an image whose disk somebody had in their hands: each control is the same disk, before.

use std::{fs, os::unix::fs::symlink, path::Path};

use earmark_tests::{
    boot::{Boot, FORGED, OTHER, QUARANTINE, QUARANTINED, REPORT, Seen, image, lived},
    run,
    vm::PLAIN,
};

/// Service that an intruder wants to run at each boot.
const EVIL: &str = "\
[Service]
ExecStart=/bin/sh -c 'echo ran > /srv/data/evil'
";
/// The same, without the dependencies that every service has by default: nothing but the generator's
/// drop-in for all services has it wait for the verification.
const EARLY: &str = "\
[Unit]
DefaultDependencies=no
[Service]
ExecStart=/bin/sh -c 'echo ran > /srv/data/evil'
";
/// The same, where a drop-in would be a cycle: file systems wait for it.
const EARLIER: &str = "\
[Unit]
DefaultDependencies=no
Before=local-fs-pre.target
[Service]
ExecStart=/bin/sh -c 'echo ran > /run/evil; echo ran > /srv/data/evil'
[Install]
WantedBy=local-fs-pre.target
";
/// Verifies nothing, successfully.
const NO_VERIFICATION: &str = "\
[Service]
ExecStart=
ExecStart=/bin/true
";

/// Boots a disk, changes it, and boots it again into quarantine.
#[track_caller]
fn refused(name: &str, tamper: impl FnOnce(&Path)) -> Seen {
    let disk = lived(&QUARANTINE, name);
    disk.change(tamper);
    let seen = disk
        .boot(&Boot {
            until: QUARANTINED,
            ..Boot::default()
        })
        .settled();
    seen.must_be_quarantined();
    disk.change(|root| assert!(!root.join("srv/data/evil").exists(), "the evil unit ran"));
    seen
}

/// Puts `/usr/lib/earmark/NAME` of one image in the place of another's.
fn replace(root: &Path, name: &str, from: &Path) {
    let to = root.join("usr/lib/earmark").join(name);
    run("rm", ["-r".as_ref(), to.as_os_str()], None).must(0);
    let from = from.join(name);
    run(
        "cp",
        ["-a".as_ref(), from.as_os_str(), to.as_os_str()],
        None,
    )
    .must(0);
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn vm_added_unit_is_a_violation_and_does_not_run() {
    let seen = refused("added-unit", |root| {
        write(root, "etc/systemd/system/evil.service", EVIL);
        write(root, "etc/systemd/system/early.service", EARLY);
        write(root, "etc/systemd/system/earlier.service", EARLIER);
        let wants = root.join("etc/systemd/system/multi-user.target.wants");
        symlink("../evil.service", wants.join("evil.service")).unwrap();
        symlink("../early.service", wants.join("early.service")).unwrap();
        symlink("../earlier.service", wants.join("earlier.service")).unwrap();
    });
    let mut violations = seen.violations();
    let policy = "policy /run/systemd/generator.early/earlier.service";
    let at = violations.iter().position(|found| found == policy);
    violations.remove(at.unwrap_or_else(|| panic!("{violations:?}")));
    assert_eq!(
        violations,
        [
            "added /etc/systemd/system/earlier.service",
            "added /etc/systemd/system/early.service",
            "added /etc/systemd/system/evil.service",
            "added /etc/systemd/system/multi-user.target.wants/earlier.service",
            "added /etc/systemd/system/multi-user.target.wants/early.service",
            "added /etc/systemd/system/multi-user.target.wants/evil.service",
        ]
    );
    assert!(!seen.has_started("evil.service"));
    assert!(!seen.has_started("early.service"));
    assert!(!seen.has_started("earlier.service"));
}

#[test]
fn vm_agent_unit_overrides_drop_ins_and_masks_are_refused() {
    let seen = refused("override", |root| {
        let units = "etc/systemd/system";
        // A unit's own drop-in, one for every unit of that prefix, and one for every service.
        for directory in [
            "earmark-verify.service.d",
            "earmark-.service.d",
            "service.d",
        ] {
            write(
                root,
                &format!("{units}/{directory}/none.conf"),
                NO_VERIFICATION,
            );
        }
        let masked = root.join(units).join("earmark-verified.target");
        symlink("/dev/null", masked).unwrap();
        write(root, &format!("{units}/earmark-agent.service"), EVIL);
    });
    let violations = seen.violations();
    for path in [
        "earmark-verify.service.d/none.conf",
        "earmark-.service.d/none.conf",
        "service.d/none.conf",
        "earmark-verified.target",
        "earmark-agent.service",
    ] {
        let violation = format!("added /etc/systemd/system/{path}");
        assert!(violations.contains(&violation), "{violations:?}");
    }
}

#[test]
fn vm_image_without_a_seal_is_undecided_and_quarantined() {
    let disk = lived(&QUARANTINE, "no-seal");
    disk.change(|root| fs::remove_dir_all(root.join("usr/lib/earmark/seal")).unwrap());
    // Without a seal no command line is signed, and the words that speed these machines up are violations.
    let seen = disk
        .boot(&Boot {
            until: QUARANTINED,
            words: PLAIN,
            ..Boot::default()
        })
        .settled();
    seen.must_be_quarantined();
    let status = seen.status();
    assert_eq!(status["verdict"], "undecided", "{status:#}");
}

#[test]
fn vm_manifest_signed_by_another_key_is_refused() {
    let forged = image().earmark(&FORGED);
    let seen = refused("other-key", |root| replace(root, "seal", &forged));
    let status = seen.status();
    assert_eq!(status["verdict"], "violated", "{status:#}");
    let reason = status["reason"].as_str().unwrap();
    assert!(
        reason.contains("signature") || reason.contains("key"),
        "{reason}"
    );
}

#[test]
fn vm_manifest_of_another_image_is_refused() {
    let other = image().earmark(&OTHER);
    let seen = refused("other-image", |root| replace(root, "seal", &other));
    let status = seen.status();
    assert_eq!(status["verdict"], "violated", "{status:#}");
    let reason = status["reason"].as_str().unwrap();
    assert!(reason.contains("floor.toml is of 'host'"), "{reason}");
    // Whoever replaces the floor as well leaves what the root says that it is.
    let seen = refused("other-image-floor", |root| {
        replace(root, "seal", &other);
        replace(root, "floor.toml", &other);
    });
    let violations = seen.violations();
    let identity = violations.iter().any(|one| one.contains("os-release"));
    assert!(identity, "{violations:?}");
}

/// Signed by the same keys, for the same root, and weaker: three files, and the host would let everybody in.
#[test]
fn vm_weaker_seal_of_the_same_image_is_refused_and_does_not_loosen_the_policy() {
    let weaker = image().earmark(&REPORT);
    let seen = refused("weaker-seal", |root| replace(root, "seal", &weaker));
    let status = seen.status();
    assert_eq!(status["verdict"], "violated", "{status:#}");
    let reason = status["reason"].as_str().unwrap();
    assert!(
        reason.contains("'report' is weaker than 'quarantine'"),
        "{reason}"
    );
    assert_eq!(status["policy"], "quarantine");
}

#[test]
fn vm_image_without_a_floor_is_undecided_and_quarantined() {
    let seen = refused("no-floor", |root| {
        fs::remove_file(root.join("usr/lib/earmark/floor.toml")).unwrap();
    });
    assert_eq!(seen.status()["verdict"], "undecided");
}
