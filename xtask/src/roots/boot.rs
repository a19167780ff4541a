//! The recipe of the root `boot`: the least that is a host of its own, because each unit and each
//! generator costs an emulated processor tenths of a second at every boot.

use std::path::Path;

use anyhow::{Context, Result};

use super::{SOURCE_DATE_EPOCH, tidy};
use crate::apt;
use crate::run::Run;

const PACKAGES: &[&str] = &[
    "dbus",
    "iproute2",
    "kmod",
    "linux-image-cloud-amd64",
    "openssh-server",
    "systemd",
    "systemd-sysv",
];

/// What nobody reads on such a host, and every boot would hash.
const LEFT_OUT: &[&str] = &[
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
];

/// Generators that have nothing to generate here. Not the debug generator, which obeys `systemd.mask=`
/// and `systemd.wants=`, nor those that start logins.
const GENERATORS: &[&str] = &[
    "systemd-cryptsetup-generator",
    "systemd-gpt-auto-generator",
    "systemd-hibernate-resume-generator",
    "systemd-integritysetup-generator",
    "systemd-rc-local-generator",
    "systemd-run-generator",
    "systemd-system-update-generator",
    "systemd-sysv-generator",
    "systemd-veritysetup-generator",
];

/// Units whose work nobody waits for on such a host. What Earmark orders itself against, and what it
/// must keep from starting, stays: the journal, temporary files, the network, sshd, logins.
const UNITS: &[&str] = &[
    "cryptsetup.target",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty@tty1.service",
    "integritysetup.target",
    "kmod-static-nodes.service",
    "modprobe@.service",
    "proc-sys-fs-binfmt_misc.automount",
    "remote-fs.target",
    "serial-getty@.service",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-ask-password-console.path",
    "systemd-ask-password-wall.path",
    "systemd-binfmt.service",
    "systemd-initctl.socket",
    "systemd-journald-audit.socket",
    "systemd-logind.service",
    "systemd-modules-load.service",
    "systemd-pstore.service",
    "systemd-random-seed.service",
    "systemd-sysctl.service",
    "systemd-timesyncd.service",
    "systemd-tmpfiles-clean.timer",
    "systemd-tmpfiles-setup-dev.service",
    "systemd-update-utmp-runlevel.service",
    "systemd-update-utmp.service",
    "veritysetup.target",
];

/// `console-getty.service` needs no udev, unlike `serial-getty@.service`.
const WANTED: &[(&str, &str)] = &[
    ("getty.target.wants", "console-getty.service"),
    ("multi-user.target.wants", "systemd-networkd.service"),
];

pub fn make(to: &Path) -> Result<()> {
    apt::need(
        &["mmdebstrap", "debian-archive-keyring"],
        "makes the Debian root that boots",
    )?;
    let left_out = LEFT_OUT
        .iter()
        .map(|path| format!("--dpkgopt=path-exclude={path}"));
    Run::words("mmdebstrap --mode=root --format=directory --variant=minbase")
        .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH)
        // The machine brings an initrd of its own; packing one takes longer than all the rest.
        .env("INITRD", "No")
        .arg("--aptopt=APT::Install-Recommends \"false\"")
        .arg("--dpkgopt=force-unsafe-io")
        .args(left_out)
        .arg(format!("--include={}", PACKAGES.join(",")))
        .args([apt::SUITE.as_ref(), to.as_os_str()])
        .args(apt::sources()?.iter().map(apt::Source::line))
        .step()?;
    let etc = to.join("etc/systemd");
    let generators = etc.join("system-generators");
    std::fs::create_dir_all(&generators)
        .with_context(|| format!("failed to make \"{}\"", generators.display()))?;
    for name in GENERATORS {
        tidy::mask(&generators.join(name))?;
    }
    for name in UNITS {
        tidy::mask(&etc.join("system").join(name))?;
    }
    for (directory, unit) in WANTED {
        let wants = etc.join("system").join(directory);
        std::fs::create_dir_all(&wants)
            .with_context(|| format!("failed to make \"{}\"", wants.display()))?;
        std::os::unix::fs::symlink(format!("/usr/lib/systemd/system/{unit}"), wants.join(unit))
            .with_context(|| format!("failed to want {unit}"))?;
    }
    tidy::tidy(to)
}
