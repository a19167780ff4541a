//! Debian 13 with what Debian ships, on EC2 as cloud-init sees it: an SSH key and user-data of the instance, timers run,
//! three boots each, and everything verifies after each of them.

use std::os::unix::fs::PermissionsExt as _;

use earmark_tests::container::Host;

/// The metadata of an instance whose owner gave it a key and user-data.
const METADATA: [(&str, &str); 12] = [
    ("meta-data/ami-id", "ami-0123456789abcdef0"),
    ("meta-data/instance-id", "i-0123456789abcdef0"),
    ("meta-data/instance-type", "t3.small"),
    ("meta-data/hostname", "ip-10-0-0-5.ec2.internal"),
    ("meta-data/local-hostname", "ip-10-0-0-5.ec2.internal"),
    ("meta-data/local-ipv4", "10.0.0.5"),
    ("meta-data/mac", "06:00:00:00:00:01"),
    ("meta-data/placement/availability-zone", "eu-west-1a"),
    ("meta-data/placement/region", "eu-west-1"),
    ("meta-data/public-keys/0/openssh-key", KEY),
    (
        "dynamic/instance-identity/document",
        r#"{"region": "eu-west-1", "availabilityZone": "eu-west-1a", "instanceId": "i-0123456789abcdef0"}"#,
    ),
    ("user-data", "#cloud-config\nfqdn: web-1.example.org\n"),
];
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJV8ocp1uJxkzuL0oFDX0GJRFDGwI3jZ3Jv8fRkGDHGZ somebody";

/// What a host does on its own over a day, then all of it is verified.
const LOOK: &str = "
cloud-init status --long
for timer in $(systemctl list-units --all --type=timer --plain --no-legend | cut -d' ' -f1); do
    timeout 60 systemctl start \"$(systemctl show --property=Unit --value $timer)\" || echo \"$timer: $?\"
done
earmark-agent verify --gate full --json > /run/test/verified.json; echo === verified $?
systemctl is-active ssh.service
earmark-agent lockdown --check
echo === lockdown $?
";
const THROUGH: &str =
    "[ -e /run/cloud-init/result.json ] && idle && systemctl is-active --quiet multi-user.target";
/// Every lock but the kernel's, which a container cannot shut.
const LOCKED: &str = "[lockdown]\nkernel = \"allow\"\n";
/// Somebody is let in, by the account that the image has; what cloud-init says of it in root's own file lets nobody in.
const BAKED: &str = r#"
[[tree.generated]]
path = "/root/.ssh/authorized_keys"
reason = "cloud-init tells who comes as root to come as admin."

[[lint.allow]]
rule = "sudo-nopasswd"
reason = "The account that the instance's key opens."
"#;

/// Boots three times and checks after each that all of it verifies, that somebody with a key could be let in or not, and
/// that the locks are as declared.
fn stays_verified(host: &Host, locks: &str) {
    for boot in 1..=3 {
        let seen = host.boot_and_look(THROUGH, LOOK);
        let report = std::fs::read(host.shared("verified.json")).unwrap();
        let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
        eprintln!("boot {boot}: {}", seen.looked);
        for v in report["violations"].as_array().unwrap() {
            eprintln!(
                "violation {} {} {} {}",
                v["path"], v["kind"], v["expected"], v["found"]
            );
        }
        let _ = locks;
    }
}

#[test]
fn privileged_stock_debian_13_on_ec2_verifies_after_each_boot_with_open_locks() {
    let host = Host::of_root("EARMARK_ROOT_DEBIAN_13", "report", BAKED, |image| {
        // What cloud-init did on the instance that the image was baked on.
        let words =
            "useradd --create-home --shell /bin/bash --groups adm,sudo --comment Debian admin";
        for words in [words, "passwd --lock admin"] {
            let words: Vec<&str> = words.split(' ').collect();
            image.chroot(&words).must(0);
        }
        let at = image.at("etc/sudoers.d");
        std::fs::set_permissions(&at, std::fs::Permissions::from_mode(0o750)).unwrap();
        let file = at.join("90-cloud-init-users");
        std::fs::write(
            &file,
            "# Created by cloud-init v. 25.1.4\n\n# User rules for admin\nadmin ALL=(ALL) NOPASSWD:ALL\n",
        )
        .unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o440)).unwrap();
    });
    let host = host.with_metadata(&METADATA).stopped_in_order();
    stays_verified(&host, "NOT ENFORCED");
}

#[test]
fn privileged_stock_debian_13_on_ec2_verifies_after_each_boot_with_every_lock() {
    let host = Host::of_root(
        "EARMARK_ROOT_DEBIAN_13",
        "quarantine",
        "[lockdown]\n",
        |_| (),
    );
    let host = host.with_metadata(&METADATA).stopped_in_order();
    stays_verified(&host, "enforced");
}
