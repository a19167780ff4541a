//! One root with the finding and one without, for each rule.

use super::Put::{self, File, Gone, Link, Mode, Profile, Tree};

#[derive(Debug)]
pub(super) struct Case {
    pub rule: &'static str,
    /// Path of the finding.
    pub at: &'static str,
    pub bad: &'static [Put],
    pub good: &'static [Put],
}

pub(super) const fn case(
    rule: &'static str,
    at: &'static str,
    bad: &'static [Put],
    good: &'static [Put],
) -> Case {
    Case {
        rule,
        at,
        bad,
        good,
    }
}

pub(super) const KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
-----END PRIVATE KEY-----
";
const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
-----END CERTIFICATE-----
";
const SWITCHES: &str =
    "allow_userdata: false\nvendor_data: {enabled: false}\nvendor_data2: {enabled: false}\n";

/// Switches that keep cloud-init from writing sealed files.
const QUIET: &str =
    "manage_etc_hosts: false\ncloud_init_modules: [users-groups]\nusers: []\nlocale: false\n";

/// As Amazon Linux 2023 has it.
const DNFVARS: &str =
    "write_metadata:\n  - path: /etc/dnf/vars/awsregion\n    data:\n      - identity: region\n";

/// As Debian 13 has it.
const KEYGEN: &str = "[Unit]\nConditionFirstBoot=yes\n[Service]\nExecStart=ssh-keygen -A\n";

pub(super) const CASES: &[Case] = &[
    case(
        "machine-id",
        "/etc/machine-id",
        &[File("etc/machine-id", "0123\n")],
        &[],
    ),
    case(
        "machine-id",
        "/etc/machine-id",
        &[File("etc/machine-id", "uninitialized\n")],
        &[],
    ),
    case(
        "machine-id",
        "/etc/machine-id",
        &[Gone("etc/machine-id")],
        &[],
    ),
    case(
        "machine-id",
        "/var/lib/dbus/machine-id",
        &[File("var/lib/dbus/machine-id", "0123\n")],
        &[Link("var/lib/dbus/machine-id", "/etc/machine-id")],
    ),
    case(
        "ssh-host-key",
        "/etc/ssh/ssh_host_rsa_key.pub",
        &[File("etc/ssh/ssh_host_rsa_key.pub", "x")],
        &[File("etc/ssh/ssh_host_notes", "x")],
    ),
    case(
        "random-seed",
        "/var/lib/systemd/random-seed",
        &[File("var/lib/systemd/random-seed", "x")],
        &[File("var/lib/systemd/random-seed", "")],
    ),
    case(
        "host-secret",
        "/var/lib/systemd/credential.secret",
        &[File("var/lib/systemd/credential.secret", "x")],
        &[File("var/lib/systemd/other", "x")],
    ),
    case(
        "storage-name",
        "/etc/iscsi/initiatorname.iscsi",
        &[File(
            "etc/iscsi/initiatorname.iscsi",
            "InitiatorName=iqn.x\n",
        )],
        &[File("etc/iscsi/initiatorname.iscsi", "GenerateName=yes\n")],
    ),
    case(
        "dhcp-lease",
        "/var/lib/dhcp/dhclient.leases",
        &[File("var/lib/dhcp/dhclient.leases", "lease {\n")],
        &[File("var/lib/dhcp/dhclient.leases", "")],
    ),
    case(
        "udev-names",
        "/etc/udev/rules.d/70-persistent-net.rules",
        &[File("etc/udev/rules.d/70-persistent-net.rules", "x")],
        &[File("etc/udev/rules.d/70-own.rules", "x")],
    ),
    case(
        "hostname",
        "/etc/hostname",
        &[File("etc/hostname", "ip-10-0-0-1\n")],
        &[File("etc/hostname", "# none\nlocalhost.localdomain\n")],
    ),
    case(
        "resolver",
        "/etc/resolv.conf",
        &[File("etc/resolv.conf", "nameserver 10.0.0.2\n")],
        &[Link(
            "etc/resolv.conf",
            "/run/systemd/resolve/stub-resolv.conf",
        )],
    ),
    case(
        "cloud-init-state",
        "/var/lib/cloud/instances",
        &[File("var/lib/cloud/instances/i-0/user-data.txt", "x")],
        &[File("var/lib/cloud/scripts/per-boot/x", "x")],
    ),
    case(
        "agent-state",
        "/var/lib/earmark/rendered.json",
        &[File("var/lib/earmark/rendered.json", "x")],
        &[File("var/lib/earmark/values.toml", "x")],
    ),
    case(
        "authorized-keys",
        "/home/web/.ssh/authorized_keys",
        &[File(
            "home/web/.ssh/authorized_keys",
            "ssh-ed25519 AAAA packer\n",
        )],
        &[File("home/web/.ssh/authorized_keys", "# none\n")],
    ),
    case(
        "authorized-keys",
        "/home/ghost/.ssh/authorized_keys",
        &[File(
            "home/ghost/.ssh/authorized_keys",
            "ssh-ed25519 AAAA\n",
        )],
        &[File("srv/ghost/.ssh/authorized_keys", "ssh-ed25519 AAAA\n")],
    ),
    case(
        "private-key",
        "/etc/web/tls.pem",
        &[File("etc/web/tls.pem", KEY)],
        &[
            File("etc/web/tls.pem", CERTIFICATE),
            File("usr/lib/python3/x/tests/key.pem", KEY),
            File("usr/share/doc/x/key.pem", KEY),
            File("etc/ssh/ssh_host_rsa_key", KEY),
        ],
    ),
    case(
        "cloud-credentials",
        "/root/.aws/credentials",
        &[File("root/.aws/credentials", "x")],
        &[File("root/.aws/config", "x")],
    ),
    case(
        "cloud-credentials",
        "/home/web/.aws/sso/cache/x.json",
        &[File("home/web/.aws/sso/cache/x.json", "x")],
        &[File("home/web/.aws/sso/x.json", "x")],
    ),
    case(
        "registry-token",
        "/root/.docker/config.json",
        &[File(
            "root/.docker/config.json",
            "{\"auths\":{\"x\":{\"auth\":\"eA==\"}}}",
        )],
        &[File(
            "root/.docker/config.json",
            "{\"credsStore\":\"ecr-login\"}",
        )],
    ),
    case(
        "registry-token",
        "/home/web/.npmrc",
        &[File("home/web/.npmrc", "//x/:_authToken=npm_x\n")],
        &[File("home/web/.npmrc", "registry=https://x/\n")],
    ),
    case(
        "registry-token",
        "/etc/pip.conf",
        &[File("etc/pip.conf", "index-url = https://u:p@x/simple\n")],
        &[File("etc/pip.conf", "index-url = https://x/simple\n")],
    ),
    case(
        "stored-password",
        "/root/.netrc",
        &[File("root/.netrc", "machine x login y password z\n")],
        &[File("root/.netrc", "")],
    ),
    case(
        "known-hosts",
        "/root/.ssh/known_hosts",
        &[File("root/.ssh/known_hosts", "x")],
        &[File("etc/ssh/ssh_known_hosts", "x")],
    ),
    case(
        "shell-history",
        "/root/.bash_history",
        &[File("root/.bash_history", "")],
        &[Link("root/.bash_history", "/dev/null")],
    ),
    case(
        "tool-history",
        "/home/web/.psql_history",
        &[File("home/web/.psql_history", "x")],
        &[File("home/web/.psqlrc", "x")],
    ),
    case(
        "editor-traces",
        "/root/.viminfo",
        &[File("root/.viminfo", "x")],
        &[File("root/.vimrc", "x")],
    ),
    case(
        "logs",
        "/var/log/apt/history.log",
        &[File("var/log/apt/history.log", "x")],
        &[File("var/log/apt/history.log", "")],
    ),
    case(
        "journal",
        "/var/log/journal/0123",
        &[File("var/log/journal/0123/system.journal", "x")],
        &[],
    ),
    case(
        "crash-dump",
        "/var/crash/x.crash",
        &[File("var/crash/x.crash", "x")],
        &[],
    ),
    case(
        "crash-dump",
        "/core.123",
        &[File("core.123", "x")],
        &[File("core.d", "x")],
    ),
    case(
        "packer-leftover",
        "/tmp/script_1234.sh",
        &[File("tmp/script_1234.sh", "x")],
        &[File("tmp/other.sh", "x")],
    ),
    case(
        "temporary-file",
        "/var/tmp/x",
        &[File("var/tmp/x/y", "x")],
        &[File("tmp/packer-x", "x")],
    ),
    case(
        "mail",
        "/var/mail/root",
        &[File("var/mail/root", "x")],
        &[File("var/mail/root", "")],
    ),
    case(
        "swap-file",
        "/swapfile",
        &[File("swapfile", "x")],
        &[File("swapfile", "")],
    ),
    case(
        "tool-cache",
        "/root/.cache",
        &[File("root/.cache/pip/http/x", "x")],
        &[File("root/.cache/empty", "")],
    ),
    case(
        "package-cache",
        "/var/lib/apt/lists",
        &[File("var/lib/apt/lists/deb.debian.org_x", "x")],
        &[File("var/lib/apt/lists/partial/.keep", "")],
    ),
    case(
        "package-cache",
        "/var/cache/apt/archives",
        &[File("var/cache/apt/archives/x.deb", "x")],
        &[File("var/cache/apt/x.bin", "x")],
    ),
    case(
        "package-cache",
        "/var/cache/libdnf5",
        &[File("var/cache/libdnf5/amazonlinux-x/repodata/x", "x")],
        &[File("var/lib/dnf/history.sqlite", "x")],
    ),
    case(
        "package-timer",
        "/etc/systemd/system/timers.target.wants/dnf5-makecache.timer",
        &[Link(
            "etc/systemd/system/timers.target.wants/dnf5-makecache.timer",
            "/usr/lib/x",
        )],
        &[Link("etc/systemd/system/dnf5-makecache.timer", "/dev/null")],
    ),
    case(
        "package-timer",
        "/etc/systemd/system/timers.target.wants/apt-daily.timer",
        &[Link(
            "etc/systemd/system/timers.target.wants/apt-daily.timer",
            "/usr/lib/x",
        )],
        &[Link("etc/systemd/system/apt-daily.timer", "/dev/null")],
    ),
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
        "cloud-init-writes",
        "/etc/hosts",
        &[
            File("usr/bin/cloud-init", "x"),
            File("etc/cloud/cloud.cfg.d/99-earmark.cfg", SWITCHES),
            File("etc/cloud/cloud.cfg.d/98-image.cfg", QUIET),
            File(
                "etc/cloud/cloud.cfg.d/98-z.cfg",
                "manage_etc_hosts: localhost\n",
            ),
        ],
        &[
            File("usr/bin/cloud-init", "x"),
            File(
                "etc/cloud/cloud.cfg",
                "manage_etc_hosts: true\nusers:\n - default\n",
            ),
            File("etc/cloud/cloud.cfg.d/99-earmark.cfg", SWITCHES),
            File("etc/cloud/cloud.cfg.d/98-image.cfg", QUIET),
        ],
    ),
    case(
        "cloud-init-writes",
        "/etc/passwd",
        &[
            File("usr/bin/cloud-init", "x"),
            File("etc/cloud/cloud.cfg.d/99-earmark.cfg", SWITCHES),
            File("etc/cloud/cloud.cfg.d/98-image.cfg", QUIET),
            File("etc/cloud/cloud.cfg.d/98-z.cfg", "users:\n - default\n"),
        ],
        // Whom it would make is there.
        &[
            File("usr/bin/cloud-init", "x"),
            File("etc/cloud/cloud.cfg.d/99-earmark.cfg", SWITCHES),
            File("etc/cloud/cloud.cfg.d/98-image.cfg", QUIET),
            File(
                "etc/cloud/cloud.cfg.d/98-z.cfg",
                "users:\n - default\nsystem_info:\n default_user:\n  name: web\n",
            ),
        ],
    ),
    case(
        "cloud-init-writes",
        "/etc/passwd",
        &[
            File("usr/bin/cloud-init", "x"),
            File("etc/cloud/cloud.cfg.d/99-earmark.cfg", SWITCHES),
            File("etc/cloud/cloud.cfg.d/98-image.cfg", QUIET),
            File(
                "etc/cloud/cloud.cfg.d/98-z.cfg",
                "users:\n - default\n - name: eve\nsystem_info:\n default_user:\n  name: web\n",
            ),
        ],
        &[],
    ),
    case(
        "cloud-init-writes",
        "/root/.ssh/authorized_keys",
        &[
            File("usr/bin/cloud-init", "x"),
            File("etc/cloud/cloud.cfg.d/99-earmark.cfg", SWITCHES),
            File("etc/cloud/cloud.cfg.d/98-image.cfg", QUIET),
            File(
                "etc/cloud/cloud.cfg.d/98-z.cfg",
                "cloud_init_modules:\n - ssh\nallow_public_ssh_keys: false\n",
            ),
        ],
        &[
            File("usr/bin/cloud-init", "x"),
            File("etc/cloud/cloud.cfg.d/99-earmark.cfg", SWITCHES),
            File("etc/cloud/cloud.cfg.d/98-image.cfg", QUIET),
            File(
                "etc/cloud/cloud.cfg.d/98-z.cfg",
                "cloud_init_modules:\n - ssh\nallow_public_ssh_keys: false\n",
            ),
            File("root/.ssh/authorized_keys", ""),
        ],
    ),
    case(
        "cloud-init-writes",
        "/etc/locale.conf",
        &[
            File("usr/bin/cloud-init", "x"),
            File("etc/locale.conf", "LANG=C.UTF-8\n"),
            File("etc/cloud/cloud.cfg.d/99-earmark.cfg", SWITCHES),
            File("etc/cloud/cloud.cfg.d/98-image.cfg", QUIET),
            File("etc/cloud/cloud.cfg.d/98-z.cfg", "locale: de_DE.UTF-8\n"),
        ],
        &[
            File("usr/bin/cloud-init", "x"),
            File("etc/locale.conf", "LANG=de_DE.UTF-8\n"),
            File("etc/cloud/cloud.cfg.d/99-earmark.cfg", SWITCHES),
            File("etc/cloud/cloud.cfg.d/98-image.cfg", QUIET),
            File("etc/cloud/cloud.cfg.d/98-z.cfg", "locale: de_DE.UTF-8\n"),
        ],
    ),
    case(
        "cloud-init-writes",
        "/etc/udev/rules.d/90-cloud-init-hook-hotplug.rules",
        &[
            File("usr/bin/cloud-init", "x"),
            File("usr/lib/systemd/system/cloud-init-main.service", "x"),
            File("etc/cloud/cloud.cfg.d/99-earmark.cfg", SWITCHES),
            File("etc/cloud/cloud.cfg.d/98-image.cfg", QUIET),
        ],
        &[
            File("usr/bin/cloud-init", "x"),
            File("usr/lib/systemd/system/cloud-init-main.service", "x"),
            File("etc/cloud/cloud.cfg.d/99-earmark.cfg", SWITCHES),
            File("etc/cloud/cloud.cfg.d/98-image.cfg", QUIET),
            File(
                "etc/cloud/cloud.cfg.d/98-z.cfg",
                "updates:\n  network:\n    when: [boot-new-instance]\n",
            ),
        ],
    ),
    case(
        "cloud-init-writes",
        "/etc/apt/sources.list.d/ubuntu.sources",
        &[
            File("usr/bin/cloud-init", "x"),
            File("usr/lib/os-release", "ID=ubuntu\n"),
            File("etc/apt/sources.list.d/ubuntu.sources", "x"),
            File("etc/cloud/cloud.cfg.d/99-earmark.cfg", SWITCHES),
            File("etc/cloud/cloud.cfg.d/98-image.cfg", QUIET),
        ],
        &[
            File("usr/bin/cloud-init", "x"),
            File("usr/lib/os-release", "ID=ubuntu\n"),
            File("etc/apt/sources.list.d/ubuntu.sources", "x"),
            File("etc/cloud/cloud.cfg.d/99-earmark.cfg", SWITCHES),
            File("etc/cloud/cloud.cfg.d/98-image.cfg", QUIET),
            File(
                "etc/cloud/cloud.cfg.d/98-z.cfg",
                "apt:\n  preserve_sources_list: true\n",
            ),
        ],
    ),
    case(
        "cloud-init-writes",
        "/etc/dnf/vars/awsregion",
        &[
            File("usr/bin/cloud-init", "x"),
            Link("etc/os-release", "../usr/lib/os-release"),
            File("usr/lib/os-release", "NAME=x\nID=\"amzn\"\n"),
            File("etc/cloud/cloud.cfg.d/10_aws_dnfvars.cfg", DNFVARS),
            File("etc/cloud/cloud.cfg.d/98-image.cfg", QUIET),
        ],
        &[
            File("usr/bin/cloud-init", "x"),
            File("usr/lib/os-release", "ID=\"amzn\"\n"),
            File("etc/cloud/cloud.cfg.d/10_aws_dnfvars.cfg", DNFVARS),
            File("etc/cloud/cloud.cfg.d/98-image.cfg", QUIET),
            File("etc/cloud/cloud.cfg.d/98-z.cfg", "write_metadata: []\n"),
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
