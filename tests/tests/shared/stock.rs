//! An instance of EC2 as cloud-init sees it, whose owner gave it a key and user-data, and the work of a day on it.

/// The metadata: path without its version, and text.
pub const METADATA: [(&str, &str); 13] = [
    ("meta-data/ami-id", "ami-0123456789abcdef0"),
    ("meta-data/instance-id", "i-0123456789abcdef0"),
    ("meta-data/instance-type", "t3.small"),
    ("meta-data/hostname", "ip-10-0-0-5.ec2.internal"),
    ("meta-data/local-hostname", "ip-10-0-0-5.ec2.internal"),
    ("meta-data/local-ipv4", "10.0.0.5"),
    ("meta-data/mac", "06:00:00:00:00:01"),
    ("meta-data/placement/availability-zone", "eu-west-1a"),
    ("meta-data/placement/region", "eu-west-1"),
    ("meta-data/public-keys", "0=somebody"),
    (
        "meta-data/public-keys/0/openssh-key",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJV8ocp1uJxkzuL0oFDX0GJRFDGwI3jZ3Jv8fRkGDHGZ somebody",
    ),
    (
        "dynamic/instance-identity/document",
        r#"{"region": "eu-west-1", "availabilityZone": "eu-west-1a", "instanceId": "i-0123456789abcdef0"}"#,
    ),
    (
        "user-data",
        "#cloud-config\nfqdn: web-1.example.org\nwrite_files: [{path: /var/log/from-user-data, content: x}]\n",
    ),
];

/// Starts what each timer would, shut or not.
pub const TIMERS: &str = "for timer in $(systemctl list-unit-files --type=timer --plain --no-legend | cut -d' ' -f1 | grep -v @); do \
     timeout 60 systemctl start \"$(systemctl show --property=Unit --value $timer)\" || echo \"$timer: $?\"; done";

/// The rest of a declaration that lets somebody in: by the account that the image has. What cloud-init says in root's own file
/// lets nobody in.
pub const LETS_IN: &str = r#"
[[tree.generated]]
path = "/root/.ssh/authorized_keys"
reason = "cloud-init tells who comes as root to come as admin."

[[lint.allow]]
rule = "sudo-nopasswd"
reason = "The account that the instance's key opens."
"#;
