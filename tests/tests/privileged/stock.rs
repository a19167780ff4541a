//! Debian 13 as it ships, on EC2 as cloud-init sees it, in containers: everything verifies after each of three boots.

use std::{fs, os::unix::fs::PermissionsExt as _};

use earmark_tests::container::Host;

use crate::stock_host::{LETS_IN, METADATA, TIMERS};

/// sudo's rule for that account, as cloud-init leaves it.
const SUDOERS: &str =
    "# Created by cloud-init v. 25.1.4\n\n# User rules for admin\nadmin ALL=(ALL) NOPASSWD:ALL\n";
/// cloud-init is through.
const THROUGH: &str =
    "[ -e /run/cloud-init/result.json ] && idle && systemctl is-active --quiet multi-user.target";
/// Every lock but the kernel's, which a container cannot shut.
const LOCKED: &str = "[lockdown]\nkernel = \"allow\"\n";

/// Boots three times. After each boot, with the work of a day done, all of it verifies, sshd is as expected, and no lock that
/// is declared is open.
#[track_caller]
fn must_stay_verified(host: &Host, sshd: &str) {
    let look = format!(
        "cloud-init status --long\n{TIMERS}\n\
         earmark-agent verify --gate full --json > /run/test/verified.json; echo === verified $?\n\
         echo === sshd $(systemctl is-active ssh.service) $(ls /etc/ssh | grep -c '^ssh_host_.*_key$')\n\
         grep -c somebody /home/admin/.ssh/authorized_keys; ls /var/log/from-user-data\n\
         earmark-agent lockdown --check; echo === lockdown $?\n"
    );
    for boot in 1..=3 {
        let seen = host.boot_and_look(THROUGH, &look);
        let report = fs::read(host.shared("verified.json")).unwrap();
        let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
        let violations = report["violations"].as_array().unwrap();
        assert!(violations.is_empty(), "boot {boot}: {violations:#?}");
        for expected in ["=== verified 0", sshd, "=== lockdown 0", "DataSourceEc2"] {
            let looked = &seen.looked;
            assert!(
                looked.contains(expected),
                "boot {boot}: {expected}: {looked}"
            );
        }
        // That of the boot, which sees the service manager, too.
        let status = &seen.status;
        assert_eq!(status["violations"], serde_json::json!([]), "boot {boot}");
        assert_eq!(seen.state("earmark-ready.target"), "active");
    }
}

#[test]
fn privileged_stock_debian_13_on_ec2_verifies_after_each_boot_with_open_locks() {
    let host = Host::stock("report", LETS_IN, |image| {
        // What cloud-init did on the instance that the image was baked on.
        for words in [
            "useradd --create-home --shell /bin/bash --groups adm,sudo --comment Debian admin",
            "passwd --lock admin",
        ] {
            let words: Vec<&str> = words.split(' ').collect();
            image.chroot(&words).must(0);
        }
        let set = |path, mode| {
            let mode = fs::Permissions::from_mode(mode);
            fs::set_permissions(image.at(path), mode).unwrap();
        };
        set("etc/sudoers.d", 0o750);
        fs::write(image.at("etc/sudoers.d/90-cloud-init-users"), SUDOERS).unwrap();
        set("etc/sudoers.d/90-cloud-init-users", 0o440);
    });
    let host = host.with_metadata(&METADATA).stopped_in_order();
    must_stay_verified(&host, "=== sshd active 3\n1\n/var/log/from-user-data\n");
}

#[test]
fn privileged_stock_debian_13_on_ec2_verifies_after_each_boot_with_every_lock() {
    let host = Host::stock("quarantine", LOCKED, |_| ());
    let host = host.with_metadata(&METADATA).stopped_in_order();
    must_stay_verified(&host, "=== sshd inactive 3\n");
    assert!(!host.at("var/log/from-user-data").exists());
}

/// The control: without the settings that lint names and writes, cloud-init changes what was sealed.
#[test]
fn privileged_stock_debian_13_without_the_settings_of_lint_is_violated() {
    let host = Host::stock("report", "", |_| ()).with_metadata(&METADATA);
    let look = "earmark-agent verify --gate full --json > /run/test/verified.json";
    host.boot_and_look(THROUGH, look);
    let report = fs::read_to_string(host.shared("verified.json")).unwrap();
    for path in ["/etc/passwd", "/root/.ssh/authorized_keys"] {
        assert!(report.contains(&format!("\"{path}\"")), "{path}: {report}");
    }
    // These it stopped: nobody needs them to come in.
    for path in ["/etc/hosts", "/etc/apt/mirrors", "/etc/locale.conf"] {
        assert!(!report.contains(&format!("\"{path}\"")), "{path}: {report}");
    }
}
