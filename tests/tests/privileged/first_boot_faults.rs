//! First boot on a host that lacks something, and what a first boot cannot do behind the back of
//! the verification; each beside the host that has it all.

use std::fs;

use earmark_tests::{
    container::{Host, QUARANTINED, READY},
    facts::host::{
        FIRST_BOOT_DONE, FIRST_BOOT_FAILED, FIRST_BOOT_ROW, FIRST_BOOT_UNDECIDED, STEP_BEGINS,
        WRITE_FAILED,
    },
    overlay::Overlay,
};

/// Two steps: the second says that it was run, where the image keeps its state.
const STEPS: &str = "
[[first_boot]]
name = \"name\"
hostname = { template = \"web\" }
[[first_boot]]
name = \"join\"
command = { argv = [\"/usr/lib/web/join\"] }
";
const JOIN: &str = "#!/bin/sh\necho joined >> /srv/data/joined\n";
/// Root may, while first boot runs; the next verification sees it.
const EVIL: &str = "#!/bin/sh\necho evil > /usr/lib/web/evil\n";
const LOOK: &str = "cat /srv/data/joined; earmark-agent status | grep -A3 '^First boot'";

fn bake(image: &Overlay) {
    fs::create_dir_all(image.at("srv/data")).unwrap();
    script(image, JOIN);
}

fn script(image: &Overlay, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = image.at("usr/lib/web/join");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn privileged_full_disk_stops_first_boot_before_an_unrecorded_step() {
    // No room for a file at all; and room for one, but not for the one that takes its place.
    for (options, begun) in [("nr_inodes=1", false), ("size=4k", true)] {
        let host = Host::declared("quarantine", STEPS, bake)
            .with(&format!("--tmpfs=/var/lib/earmark:mode=0700,{options}"));
        let seen = host.boot_and_look(QUARANTINED, LOOK);
        FIRST_BOOT_UNDECIDED.must_be_in(&seen.journal);
        WRITE_FAILED
            .of(&["/var/lib/earmark/first-boot.journal", "No space left"])
            .must_be_in(&seen.journal);
        let has_begun = STEP_BEGINS.of(&["name"]).is_in(&seen.journal);
        assert_eq!(has_begun, begun, "{options}: {}", seen.journal);
        STEP_BEGINS.of(&["join"]).must_not_be_in(&seen.journal);
        assert!(!host.at("srv/data/joined").exists(), "{options}");
        assert!(!seen.workload_started, "{options}");
        FIRST_BOOT_ROW
            .of(&["undecided", "2 steps"])
            .must_be_in(&seen.looked);
    }

    // The control: with room, each once.
    let host = Host::declared("quarantine", STEPS, bake)
        .with("--tmpfs=/var/lib/earmark:mode=0700,size=64k");
    let seen = host.boot_and_look(&format!("{READY} && verdict verified"), LOOK);
    assert!(seen.looked.starts_with("joined\n"), "{}", seen.looked);
    FIRST_BOOT_ROW
        .of(&["done", "2 steps"])
        .must_be_in(&seen.looked);
}

#[test]
fn privileged_first_boot_does_not_run_a_program_on_a_noexec_mount() {
    /// Over itself: the same files, which may not be run there.
    const MOUNT: &str = "\
[Unit]
DefaultDependencies=no
Before=local-fs.target
[Mount]
What=/usr/lib/web
Where=/usr/lib/web
Type=none
Options=bind,noexec
[Install]
WantedBy=local-fs.target
";
    // Under `report`, since the mount itself is a violation.
    let host = Host::declared("report", STEPS, |image| {
        bake(image);
        let unit = "usr/lib/systemd/system/usr-lib-web.mount";
        fs::write(image.at(unit), MOUNT).unwrap();
        let wants = image.at("etc/systemd/system/local-fs.target.wants");
        fs::create_dir_all(&wants).unwrap();
        std::os::unix::fs::symlink(format!("/{unit}"), wants.join("usr-lib-web.mount")).unwrap();
    });
    let seen = host.boot_and_look(READY, LOOK);
    FIRST_BOOT_FAILED
        .of(&["step 'join'"])
        .must_be_in(&seen.journal);
    assert!(seen.journal.contains("noexec"), "{}", seen.journal);
    assert!(!host.at("srv/data/joined").exists());
    FIRST_BOOT_ROW
        .of(&["failed", "2 steps"])
        .must_be_in(&seen.looked);

    let host = Host::declared("report", STEPS, bake);
    let seen = host.boot_and_look(READY, LOOK);
    assert!(seen.looked.starts_with("joined\n"), "{}", seen.looked);
}

#[test]
fn privileged_step_writing_to_a_sealed_path_is_a_violation_after_first_boot() {
    let host = Host::declared("report", STEPS, |image| {
        bake(image);
        script(image, EVIL);
    });
    let seen = host.boot(&format!("{READY} && verdict violated"));
    FIRST_BOOT_DONE.of(&["2 steps"]).must_be_in(&seen.journal);
    let violations = seen.status["violations"].as_array().unwrap();
    let paths: Vec<&str> = violations
        .iter()
        .map(|found| found["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["/usr/lib/web/evil"], "{:#}", seen.status);

    // Under the strict policy the host is taken out of service for it.
    let host = Host::declared("quarantine", STEPS, |image| {
        bake(image);
        script(image, EVIL);
    });
    let seen = host.boot(&format!("{QUARANTINED} && verdict violated"));
    assert_eq!(seen.state("earmark-quarantine.target"), "active");

    let host = Host::declared("quarantine", STEPS, bake);
    host.boot(&format!("{READY} && verdict verified"));
}
