//! Files that cloud-init writes, by its configuration in the image and by a distribution's own.

use super::{
    super::Put::{File, Link},
    Case, QUIET, SWITCHES, case,
};

/// As Amazon Linux 2023 has it.
const DNFVARS: &str =
    "write_metadata:\n  - path: /etc/dnf/vars/awsregion\n    data:\n      - identity: region\n";

pub(super) const CASES: &[Case] = &[
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
];
