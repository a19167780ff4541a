//! Images whose hosts would not be verified, locked or reached as they are meant to.

use super::{
    super::Put::{File, Gone, Link, Mode, Profile, Tree},
    Case, QUIET, SWITCHES, case,
};

/// As Debian 13 has it.
const KEYGEN: &str = "[Unit]\nConditionFirstBoot=yes\n[Service]\nExecStart=ssh-keygen -A\n";

pub(super) const CASES: &[Case] = &[
    case(
        "agent-missing",
        "/usr/bin/earmark-agent",
        &[Gone("usr/bin/earmark-agent")],
        &[],
    ),
    case(
        "agent-not-enabled",
        "/usr/lib/systemd/system/earmark-verify.service",
        &[Gone(
            "etc/systemd/system/sysinit.target.wants/earmark-verify.service",
        )],
        &[],
    ),
    case(
        "trust-missing",
        "/usr/lib/earmark/trust.toml",
        &[Gone("usr/lib/earmark/trust.toml")],
        &[],
    ),
    case(
        "user-data-code",
        "/etc/cloud/cloud.cfg.d/99-earmark.cfg",
        &[
            File("usr/bin/cloud-init", "x"),
            File("etc/cloud/cloud.cfg.d/98-image.cfg", QUIET),
        ],
        &[
            File("usr/bin/cloud-init", "x"),
            File("etc/cloud/cloud.cfg.d/98-image.cfg", QUIET),
            File("etc/cloud/cloud.cfg.d/99-earmark.cfg", SWITCHES),
        ],
    ),
    case(
        "cmdline-missing",
        "/boot/vmlinuz-6.1.0",
        &[File("boot/vmlinuz-6.1.0", "x\n")],
        &[File("boot/config-6.1.0", "x\n")],
    ),
    case(
        "verity-unsupported",
        "/etc/fstab",
        &[
            File("etc/fstab", "UUID=1 / xfs defaults 0 0\n"),
            Tree("[boot]\nverity = true"),
        ],
        &[
            File(
                "etc/fstab",
                "# UUID=1 / xfs defaults 0 0\nUUID=1 / ext4 defaults 0 1\nUUID=2 /srv xfs defaults 0 2\n",
            ),
            Tree("[boot]\nverity = true"),
        ],
    ),
    case(
        "verity-unsupported",
        "/boot/config-5.4.0",
        &[
            File("boot/config-5.4.0", "# CONFIG_FS_VERITY is not set\n"),
            Tree("[boot]\nverity = true"),
        ],
        // Nothing is promised.
        &[
            File("etc/fstab", "UUID=1 / xfs defaults 0 0\n"),
            File("boot/config-5.4.0", "# CONFIG_FS_VERITY is not set\n"),
        ],
    ),
    case(
        "locks-out-login",
        "/usr/sbin/sshd",
        &[File("usr/sbin/sshd", "x\n")],
        &[File("usr/bin/ssh", "x\n")],
    ),
    case(
        "relabel",
        "/.autorelabel",
        &[File(".autorelabel", "")],
        &[File("srv/data/.autorelabel", "")],
    ),
    case(
        "stale-bytecode",
        "/usr/lib/m/__pycache__/a.cpython-311.pyc",
        &[
            File("usr/lib/m/a.py", "1\n"),
            File(
                "usr/lib/m/__pycache__/a.cpython-311.pyc",
                "\0\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0",
            ),
        ],
        // By a hash, and without a source.
        &[
            File("usr/lib/m/a.py", "1\n"),
            File(
                "usr/lib/m/__pycache__/a.cpython-311.pyc",
                "\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0",
            ),
            File(
                "usr/lib/m/__pycache__/b.cpython-311.pyc",
                "\0\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0",
            ),
        ],
    ),
    case(
        "profile-not-booted",
        "/usr/lib/os-release",
        &[Profile("rhel-9")],
        &[Profile("debian-13")],
    ),
    case(
        "snapd-writes",
        "/var/lib/snapd/state.json",
        &[
            File("usr/lib/snapd/snapd", "x"),
            Tree("[lockdown]\npackages = \"allow\""),
        ],
        &[
            File("usr/lib/snapd/snapd", "x"),
            Link("etc/systemd/system/snapd.service", "/dev/null"),
            Link("etc/systemd/system/snapd.socket", "/dev/null"),
            Tree("[lockdown]\npackages = \"allow\""),
        ],
    ),
    case(
        "snapd-writes",
        "/var/lib/snapd/state.json",
        &[
            File("usr/lib/snapd/snapd", "x"),
            Link("etc/systemd/system/snapd.socket", "/dev/null"),
            Tree("[lockdown]\npackages = \"allow\""),
        ],
        // Shut, which masks it.
        &[File("usr/lib/snapd/snapd", "x")],
    ),
    case(
        "exception-state",
        "/var/lib/amazon/ssm",
        &[Tree(
            "[lockdown]\nremote_access = { allow = [\"amazon-ssm-agent\"] }",
        )],
        &[Tree("[lockdown]\nremote_access = { allow = [\"sshd\"] }")],
    ),
    case(
        "movable-mount",
        "/opt/web/cache",
        &[
            File("opt/web/x", "x"),
            Mode("opt/web", 0o777),
            Tree("[lockdown]\nfilesystems = { writable = [\"/opt/web/cache\"] }"),
        ],
        &[
            File("opt/web/x", "x"),
            Tree("[lockdown]\nfilesystems = { writable = [\"/opt/web/cache\"] }"),
        ],
    ),
    case(
        "host-keys-not-made",
        "/usr/lib/systemd/system/sshd-keygen.service",
        &[
            File("usr/lib/systemd/system/sshd-keygen.service", KEYGEN),
            Tree("[lockdown]\nremote_access = { allow = [\"sshd\"] }"),
        ],
        &[
            File("usr/lib/systemd/system/sshd-keygen.service", KEYGEN),
            File(
                "etc/systemd/system/sshd-keygen.service.d/x.conf",
                "[Unit]\nConditionFirstBoot=\n",
            ),
            Tree("[lockdown]\nremote_access = { allow = [\"sshd\"] }"),
        ],
    ),
    case(
        "host-keys-not-made",
        "/usr/lib/systemd/system/sshd-keygen.service",
        &[
            File("usr/lib/systemd/system/sshd-keygen.service", KEYGEN),
            Tree("[lockdown]\nremote_access = \"allow\""),
        ],
        // Nobody is to come in.
        &[File("usr/lib/systemd/system/sshd-keygen.service", KEYGEN)],
    ),
];
