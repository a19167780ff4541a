//! Accounts, and sealed paths that others than the image decide about.

use super::{
    super::Put::{File, Link, Mode, Tree},
    Case, case,
};

pub(super) const CASES: &[Case] = &[
    case(
        "password",
        "/etc/shadow",
        &[File("etc/shadow", "root:$y$j9T$x:1::::::\n")],
        &[File("etc/shadow", "root:!$y$j9T$x:1::::::\n")],
    ),
    case(
        "password",
        "/etc/shadow",
        &[File("etc/shadow", "root::1::::::\n")],
        &[],
    ),
    case(
        "password",
        "/etc/passwd",
        &[File("etc/passwd", "root::0:0::/root:/bin/sh\n")],
        &[],
    ),
    case(
        "second-root",
        "/etc/passwd",
        &[File(
            "etc/passwd",
            "root:x:0:0::/root:/bin/sh\ntoor:x:00:0::/root:/bin/sh\n",
        )],
        &[],
    ),
    case(
        "sudo-nopasswd",
        "/etc/sudoers.d/90-cloud-init-users",
        &[File(
            "etc/sudoers.d/90-cloud-init-users",
            "admin ALL=(ALL) NOPASSWD:ALL\n",
        )],
        &[File(
            "etc/sudoers.d/90-cloud-init-users",
            "admin ALL=(ALL) ALL\n",
        )],
    ),
    case(
        "ssh-root-login",
        "/etc/ssh/sshd_config.d/50-x.conf",
        &[File(
            "etc/ssh/sshd_config.d/50-x.conf",
            "permitRootLogin\tyes\n",
        )],
        &[File(
            "etc/ssh/sshd_config.d/50-x.conf",
            "PermitRootLogin prohibit-password\n",
        )],
    ),
    case(
        "state-executable",
        "/srv/data",
        &[File("srv/data/run", "x"), Mode("srv/data/run", 0o755)],
        &[File("srv/other/run", "x"), Mode("srv/other/run", 0o755)],
    ),
    case(
        "rule-over-code",
        "/etc/cron.d/*",
        &[Tree("generated = [\"/etc/cron.d/*\"]")],
        &[Tree("generated = [\"/etc/web/cron.d\"]")],
    ),
    case(
        "rule-over-code",
        "/etc/*/system",
        &[Tree("generated = [\"/etc/*/system\"]")],
        &[Tree("generated = [\"/etc/web/*\"]")],
    ),
    case(
        "rule-over-code",
        "/usr/bin/curl",
        &[Tree("generated = [\"/usr/bin/curl\"]")],
        &[Tree("generated = [\"/opt/web/cache\"]")],
    ),
    case(
        "rule-over-code",
        "/etc/pam.d/login",
        &[Tree("generated = [\"/etc/pam.d/login\"]")],
        &[Tree("generated = [\"/etc/motd\"]")],
    ),
    case(
        "rule-over-code",
        "/etc/udev/rules.d/**",
        &[Tree("generated = [\"/etc/udev/rules.d/**\"]")],
        &[Tree("sealed = [\"/etc/adjtime\"]")],
    ),
    case(
        "world-writable",
        "/etc/web.conf",
        &[File("etc/web.conf", "x"), Mode("etc/web.conf", 0o666)],
        &[File("etc/web.conf", "x"), Mode("etc/web.conf", 0o664)],
    ),
    case(
        "world-writable",
        "/opt/shared",
        &[File("opt/shared/x", "x"), Mode("opt/shared", 0o1777)],
        &[File("opt/shared/x", "x"), Mode("opt/shared", 0o1775)],
    ),
    case(
        "set-id-writable",
        "/opt/mutable",
        &[File("opt/mutable", "x"), Mode("opt/mutable", 0o4755)],
        &[File("opt/sealed", "x"), Mode("opt/sealed", 0o4755)],
    ),
    case(
        "link-out-of-seal",
        "/opt/link",
        &[Link("opt/link", "../srv/data/x")],
        &[
            Link("opt/link", "../srv/other"),
            Link("opt/proc", "/proc/self"),
        ],
    ),
    case(
        "unit-from-state",
        "/etc/systemd/system/x.service",
        &[File(
            "etc/systemd/system/x.service",
            "[Service]\nExecStart=-/srv/data/run\n",
        )],
        &[File(
            "etc/systemd/system/x.service",
            "[Service]\nExecStart=/usr/bin/x /srv/data/x\n",
        )],
    ),
    case(
        "unit-from-state",
        "/etc/cron.d/x",
        &[File("etc/cron.d/x", "1 * * * * root /bin/sh /srv/data/x\n")],
        &[File("etc/cron.d/x", "1 * * * * root /usr/bin/x\n")],
    ),
    case(
        "unit-from-state",
        "/etc/udev/rules.d/x.rules",
        &[File("etc/udev/rules.d/x.rules", "RUN+=\"/srv/data/x\"\n")],
        &[File("etc/udev/rules.d/x.rules", "RUN+=\"/usr/bin/x\"\n")],
    ),
];
