//! Real boots by `earmark-init`: a root that is judged before anything of it runs, with keys that it cannot touch.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use earmark_tests::boot::{Boot, Disk, QUARANTINE, QUARANTINED, Sealing, Seen, image};

/// Says on the second serial port what the agent says, once there is no more to come: nobody watches this boot from
/// beside it.
const REPORTER: &str = r#"#!/bin/sh
exec > /dev/ttyS1 2>&1
left=600
until grep -qE '"verdict": "(verified|violated|undecided)"' /run/earmark/status.json &&
    systemctl is-active --quiet multi-user.target; do
    left=$((left - 1))
    [ $left -gt 0 ] || break
    sleep 0.5
done
say() {
    echo "=== step $1"
    "$2" "$3" | sed 's/^/out: /'
    echo
    echo "=== code $1 0"
}
say status cat /run/earmark/status.json
say record cat /run/earmark-initrd/record.json
say root findmnt /
journalctl --sync
sync
echo
echo "=== done"
"#;
const UNIT: &str =
    "[Unit]\nDescription=Word of this host\n[Service]\nExecStart=/usr/lib/reporter\n";
const WANTS: &str = "[Unit]\nWants=reporter.service\n";

const ANCHORED: Sealing = Sealing {
    name: "anchored",
    initrd: true,
    files: &[
        ("usr/lib/reporter", REPORTER, 0o755),
        ("usr/lib/systemd/system/reporter.service", UNIT, 0o644),
        (
            "usr/lib/systemd/system/multi-user.target.d/reporter.conf",
            WANTS,
            0o644,
        ),
    ],
    ..QUARANTINE
};
const ANCHORED_REPORT: Sealing = Sealing {
    name: "anchored-report",
    on_failure: "report",
    ..ANCHORED
};
/// The same image in a later epoch, of which the initrd lets no older seal pass.
const LATER: &str = "epoch = 3";

fn boot(initrd: &Path) -> Boot<'_> {
    Boot {
        append: "rw",
        initrd: Some(initrd),
        ..Boot::default()
    }
}

/// A path, what the refusal names, and a change of the root.
type Change<'a> = (&'a str, &'a str, &'a dyn Fn(&Path));

#[track_caller]
fn must_be_refused(seen: &Seen, why: &str) {
    let line = seen
        .console
        .lines()
        .find(|line| line.starts_with("earmark-init: REFUSED"))
        .unwrap_or_else(|| panic!("not refused: {}", seen.console));
    assert!(line.contains(why), "{line}");
    // Nothing of the root ran: neither its first process, nor the agent, nor what it would say.
    for sign in ["\nearmark: ", "systemd", "login:"] {
        let after = seen.console.split(line).nth(1).unwrap_or_default();
        let before = seen.console.split(line).next().unwrap_or_default();
        assert!(
            !before.contains(sign) && !after.contains(sign),
            "{}",
            seen.console
        );
    }
    assert_eq!(seen.steps.0, "");
}

#[test]
fn vm_root_judged_by_earmark_init_is_t1_and_not_read_twice() {
    let (_, _, initrd) = image().anchor(&ANCHORED);
    let disk = Disk::new(image(), &ANCHORED, "initrd-good");
    // The power goes between the record and the switch: there is nothing on the disk that could be half.
    disk.boot_until_said(&boot(&initrd), "earmark-init: host 1.0.0");
    // The second boot has a first boot behind it, with files that came since.
    for _ in 0..2 {
        let seen = disk.boot(&boot(&initrd));
        let status = seen.status();
        assert_eq!(status["verdict"], "verified", "{status:#}");
        assert_eq!(status["tier"], "T1", "{status:#}");
        let record: serde_json::Value =
            serde_json::from_str(&seen.step("record").must(0).out).expect("a record");
        assert_eq!(record["report"]["tier"], "T1", "{record:#}");
        assert_eq!(record["report"]["verdict"], "partial", "{record:#}");
        assert_eq!(record["report"]["boot_id"], status["boot_id"]);
    }
    let entries = disk.journal(&["--boot", "SYSLOG_IDENTIFIER=earmark-agent"]);
    let at_boot = entries.iter().find(|entry| entry["VERDICT"] == "partial");
    let at_boot = at_boot.unwrap_or_else(|| panic!("no entry of the boot: {entries:#?}"));
    assert_eq!(at_boot["TIER"], "T1", "{at_boot:#}");
}

#[test]
fn vm_root_changed_beneath_its_initrd_is_refused_before_it_runs() {
    let (_, _, initrd) = image().anchor(&ANCHORED);
    let disk = Disk::new(image(), &ANCHORED, "initrd-changed");
    let liar = "#!/bin/sh\nexit 0\n";
    let program = |path: std::path::PathBuf, text: &str| {
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let key = image().anchor(&Sealing {
        key: "forger",
        name: "anchored-forged",
        ..ANCHORED
    });
    let forged = fs::read(key.1).unwrap();
    let changes: [Change; 6] = [
        ("usr/bin/earmark-agent", "/usr/bin/earmark-agent", &|root| {
            program(root.join("usr/bin/earmark-agent"), liar);
        }),
        (
            "usr/lib/earmark/trust.toml",
            "/usr/lib/earmark/trust.toml",
            &|root| {
                fs::write(root.join("usr/lib/earmark/trust.toml"), &forged).unwrap();
            },
        ),
        (
            "etc/systemd/system/evil.service",
            "/etc/systemd/system/evil.service",
            &|root| {
                fs::write(root.join("etc/systemd/system/evil.service"), UNIT).unwrap();
            },
        ),
        (
            "usr/lib/systemd/systemd",
            "/usr/lib/systemd/systemd",
            &|root| {
                let path = root.join("usr/lib/systemd/systemd");
                let mut bytes = fs::read(&path).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                fs::write(path, bytes).unwrap();
            },
        ),
        (
            "usr/lib/earmark/seal/manifest.json",
            "manifest.json",
            &|root| {
                fs::remove_file(root.join("usr/lib/earmark/seal/manifest.json")).unwrap();
            },
        ),
        (
            "usr/lib/earmark/floor.toml",
            "/usr/lib/earmark/floor.toml",
            &|root| {
                let path = root.join("usr/lib/earmark/floor.toml");
                let text = fs::read_to_string(&path).unwrap();
                fs::write(path, text.replace("epoch = 2", "epoch = 1")).unwrap();
            },
        ),
    ];
    for (path, why, change) in changes {
        let before = disk.change(|root| fs::read(root.join(path)).ok());
        disk.change(change);
        must_be_refused(&disk.boot_until_off(&boot(&initrd)), why);
        disk.change(|root| match &before {
            Some(bytes) => {
                fs::write(root.join(path), bytes).unwrap();
                if path.ends_with("manifest.json") {
                    fs::set_permissions(root.join(path), fs::Permissions::from_mode(0o644))
                        .unwrap();
                }
            }
            None => fs::remove_file(root.join(path)).unwrap(),
        });
    }
    // The control: as it was, it boots.
    let seen = disk.boot(&boot(&initrd));
    assert_eq!(seen.status()["tier"], "T1", "{:#}", seen.status());
}

#[test]
fn vm_wrong_root_older_seal_or_added_word_is_refused() {
    let (declaration, trust, initrd) = image().anchor(&ANCHORED);
    let other = Sealing {
        name: "anchored-other",
        image: "other",
        ..ANCHORED
    };
    let other = Disk::new(image(), &other, "initrd-other");
    must_be_refused(
        &other.boot_until_off(&boot(&initrd)),
        "the image is 'other'",
    );

    let disk = Disk::new(image(), &ANCHORED, "initrd-older");
    let work = tempfile::tempdir().unwrap();
    let later = work.path().join("later.toml");
    let text = fs::read_to_string(declaration).unwrap();
    assert!(text.contains("epoch = 2"));
    fs::write(&later, text.replace("epoch = 2", LATER)).unwrap();
    let newer = work.path().join("newer.initrd");
    image().build_initrd(&later, &trust, &newer);
    must_be_refused(
        &disk.boot_until_off(&boot(&newer)),
        "epoch 2 is lower than 3",
    );

    let added = Boot {
        append: "rw init=/bin/sh",
        ..boot(&initrd)
    };
    must_be_refused(&disk.boot_until_off(&added), "init=/bin/sh");
    let missing = Boot {
        append: "rw root=UUID=00000000-0000-0000-0000-000000000000",
        ..boot(&initrd)
    };
    must_be_refused(&disk.boot_until_off(&missing), "no disk is UUID=");
    // The control.
    let seen = disk.boot(&boot(&initrd));
    assert_eq!(seen.status()["tier"], "T1", "{:#}", seen.status());
}

#[test]
fn vm_report_policy_goes_on_with_a_record_that_nothing_takes_back() {
    let (_, _, initrd) = image().anchor(&ANCHORED_REPORT);
    let disk = Disk::new(image(), &ANCHORED_REPORT, "initrd-report");
    disk.change(|root| fs::write(root.join("etc/ssh/moduli"), "x").unwrap());
    let seen = disk.boot(&boot(&initrd));
    let status = seen.status();
    assert_eq!(status["verdict"], "violated", "{status:#}");
    // A root that was not believed is at T0, whatever judged it.
    assert_eq!(status["tier"], "T0", "{status:#}");
    assert!(
        seen.violations()
            .iter()
            .any(|found| found.ends_with("/etc/ssh/moduli")),
        "{status:#}"
    );
}

#[test]
fn vm_boot_past_the_declared_initrd_is_a_violation() {
    let disk = Disk::new(image(), &ANCHORED, "initrd-bypassed");
    // The control is each other test of this file: the same disk, by its own initrd.
    let seen = disk.boot(&Boot {
        until: QUARANTINED,
        ..Boot::default()
    });
    let status = seen.status();
    assert_eq!(status["verdict"], "violated", "{status:#}");
    assert_eq!(status["tier"], "T0", "{status:#}");
    assert_eq!(
        seen.violations(),
        ["initrd /usr/lib/earmark/seal/earmark.toml"]
    );
}
