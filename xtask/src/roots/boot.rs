//! The recipe of the root `boot`: the least that is a host of its own, because each unit and each
//! generator costs an emulated processor tenths of a second at every boot.

use std::path::Path;

use anyhow::{Context, Result};

use super::{SOURCE_DATE_EPOCH, tidy};
use crate::apt;
use crate::run::Run;

const PACKAGES: &[&str] = &[
    "iproute2",
    "kmod",
    "linux-image-cloud-amd64",
    "openssh-server",
    "systemd",
    "systemd-sysv",
    // In place of usrmerge, which would bring all of Perl.
    "usr-is-merged",
];

/// What nothing on such a host reads, and a full verification under emulation would read for half a
/// minute: documents, and the libraries of maintainer scripts, hardware databases and drivers.
const LEFT_OUT: &[&str] = &[
    "/lib/modules/*/kernel/*",
    "/lib/udev/hwdb.d/*",
    "/usr/lib/x86_64-linux-gnu/gconv/*",
    "/usr/lib/x86_64-linux-gnu/perl/*",
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
    "/usr/share/perl/*",
    "/usr/share/zoneinfo/*",
];

/// The drivers of the machine that it boots on.
const KEPT: &[&str] = &[
    "/lib/modules/*/kernel/crypto/sha512_generic.ko",
    "/lib/modules/*/kernel/drivers/block/virtio_blk.ko",
    "/lib/modules/*/kernel/drivers/net/net_failover.ko",
    "/lib/modules/*/kernel/drivers/net/virtio_net.ko",
    "/lib/modules/*/kernel/drivers/virtio/*",
    "/lib/modules/*/kernel/net/core/failover.ko",
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
/// must keep from starting, stays: the journal, temporary files, sshd, logins.
const UNITS: &[&str] = &[
    "cryptsetup.target",
    "dbus.service",
    "dbus.socket",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty-static.service",
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
    "systemd-sysusers.service",
    "systemd-timesyncd.service",
    "systemd-tmpfiles-clean.timer",
    "systemd-tmpfiles-setup-dev.service",
    "systemd-udev-trigger.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-udevd.service",
    "systemd-update-utmp-runlevel.service",
    "systemd-update-utmp.service",
    "veritysetup.target",
];

/// A login on the console that needs no udev, unlike `serial-getty@.service`.
const LOGIN: &str = "console-getty.service";

pub fn make(to: &Path) -> Result<()> {
    make_with(to, &[])
}

/// The same, with more packages.
pub fn make_with(to: &Path, more: &[&str]) -> Result<()> {
    apt::need(
        &["mmdebstrap", "debian-archive-keyring"],
        "makes the Debian root that boots",
    )?;
    let left_out = LEFT_OUT
        .iter()
        .map(|path| format!("--dpkgopt=path-exclude={path}"));
    let kept = KEPT
        .iter()
        .map(|path| format!("--dpkgopt=path-include={path}"));
    Run::words("mmdebstrap --mode=root --format=directory --variant=minbase")
        .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH)
        // The machine brings an initrd of its own; packing one takes longer than all the rest.
        .env("INITRD", "No")
        .arg("--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr")
        .arg("--aptopt=APT::Install-Recommends \"false\"")
        .arg("--dpkgopt=force-unsafe-io")
        .args(left_out)
        .args(kept)
        .arg(format!("--include={}", [PACKAGES, more].concat().join(",")))
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
    let wants = etc.join("system/getty.target.wants");
    std::fs::create_dir_all(&wants)
        .with_context(|| format!("failed to make \"{}\"", wants.display()))?;
    std::os::unix::fs::symlink(
        format!("/usr/lib/systemd/system/{LOGIN}"),
        wants.join(LOGIN),
    )
    .with_context(|| format!("failed to want {LOGIN}"))?;
    tidy::tidy(to)
}
