//! The recipe of the root `arm64`: Debian 12 for aarch64, as little of it as boots.
//!
//! No program of it is run to make it: maintainer scripts under an emulator take a quarter of an hour. So packages are
//! unpacked, and what their scripts would have done, as far as a boot needs it, is done here.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use anyhow::{Context, Result};

use super::{SOURCE_DATE_EPOCH, tidy};
use crate::apt;
use crate::architecture::Architecture;
use crate::files::remove_tree;
use crate::run::Run;

const PACKAGES: &[&str] = &[
    "base-files",
    "base-passwd",
    "bash",
    // For its initrd.
    "busybox-static",
    "coreutils",
    "dash",
    "findutils",
    "grep",
    "hostname",
    "iproute2",
    "kmod",
    "libc-bin",
    "linux-image-cloud-arm64",
    "login",
    "mount",
    "passwd",
    "sed",
    "systemd",
    // The boot loader, for firmware that is UEFI.
    "systemd-boot-efi",
    "systemd-sysv",
    "util-linux",
];

/// Drivers, hardware databases, documents: a full verification under emulation would read them for minutes.
const LEFT_OUT: &[&str] = &[
    "lib/udev/hwdb.d",
    "usr/lib/aarch64-linux-gnu/gconv",
    "usr/lib/aarch64-linux-gnu/perl",
    "usr/lib/aarch64-linux-gnu/perl-base",
    "usr/lib/klibc",
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/perl",
    "usr/share/zoneinfo",
];

/// Modules of the machine that it boots on, by the beginnings of their names.
const KEPT: &[&str] = &[
    "failover.ko",
    "net_failover.ko",
    "sha512_generic.ko",
    "virtio",
];

/// Units whose work nobody waits for on such a host; see the recipe of `boot`.
const UNITS: &[&str] = &[
    "cryptsetup.target",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "e2scrub_all.timer",
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
    "systemd-networkd.service",
    "systemd-pstore.service",
    "systemd-random-seed.service",
    "systemd-resolved.service",
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

/// A login on the console that needs no udev.
const LOGIN: &str = "console-getty.service";

pub fn make(to: &Path) -> Result<()> {
    apt::need(
        &["mmdebstrap", "debian-archive-keyring", "kmod", "systemd"],
        "makes the Debian root that boots on aarch64",
    )?;
    Run::words("mmdebstrap --mode=root --format=directory --variant=extract")
        .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH)
        .arg(format!(
            "--architectures={}",
            Architecture::Aarch64.debian()
        ))
        .arg("--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr")
        .arg("--aptopt=APT::Install-Recommends \"false\"")
        .arg(format!("--include={}", PACKAGES.join(",")))
        .args([apt::SUITE.as_ref(), to.as_os_str()])
        .args(apt::sources()?.iter().map(apt::Source::line))
        .step()?;
    for path in LEFT_OUT {
        remove_tree(&to.join(path))?;
    }
    for entry in fs::read_dir(to.join("usr/lib")).context("nothing was unpacked")? {
        // Device trees of boards: this machine's firmware describes it by ACPI.
        let entry = entry?;
        if entry
            .file_name()
            .to_string_lossy()
            .starts_with("linux-image-")
        {
            remove_tree(&entry.path())?;
        }
    }
    modules(to)?;
    accounts(to)?;
    for (link, target) in [
        ("etc/mtab", "../proc/self/mounts"),
        ("var/lock", "/run/lock"),
        ("var/run", "/run"),
    ] {
        remove_tree(&to.join(link))?;
        symlink(target, to.join(link)).with_context(|| format!("failed to link {link}"))?;
    }
    // Else systemd makes them at the first boot, and they are what nobody signed.
    for (path, mode) in [
        ("srv", 0o755),
        ("var/cache/private", 0o700),
        ("var/lib/private", 0o700),
        ("var/log/private", 0o700),
    ] {
        let path = to.join(path);
        fs::create_dir_all(&path)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)))
            .with_context(|| format!("failed to make \"{}\"", path.display()))?;
    }
    let etc = to.join("etc/systemd/system");
    for name in UNITS {
        tidy::mask(&etc.join(name))?;
    }
    let wants = etc.join("getty.target.wants");
    fs::create_dir_all(&wants)
        .with_context(|| format!("failed to make \"{}\"", wants.display()))?;
    symlink(
        format!("/usr/lib/systemd/system/{LOGIN}"),
        wants.join(LOGIN),
    )
    .with_context(|| format!("failed to want {LOGIN}"))?;
    for path in ["var/log", "var/cache/apt", "var/lib/apt/lists"] {
        fs::create_dir_all(to.join(path))?;
    }
    tidy::tidy(to)
}

/// Keeps the few modules that are needed, and lists what each of them needs, as the kernel's package does.
fn modules(to: &Path) -> Result<()> {
    let lib = to.join("lib/modules");
    let mut versions = fs::read_dir(&lib).context("no kernel was unpacked")?;
    let version = versions.next().context("no kernel was unpacked")??;
    let kept: Vec<String> = KEPT
        .iter()
        .flat_map(|name| ["!".to_owned(), "-name".to_owned(), format!("{name}*")])
        .collect();
    Run::new("find")
        .arg(version.path().join("kernel"))
        .args(["-type", "f"])
        .args(kept)
        .arg("-delete")
        .step()?;
    Run::words("depmod --basedir")
        .arg(to)
        .arg(version.file_name())
        .step()
}

/// The accounts of base-passwd, and those that packages declare.
fn accounts(to: &Path) -> Result<()> {
    for name in ["passwd", "group"] {
        let master = to.join(format!("usr/share/base-passwd/{name}.master"));
        let text = fs::read_to_string(&master)
            .with_context(|| format!("failed to read \"{}\"", master.display()))?;
        // The masters have '*' for a password, which is then in the other file.
        let text = text.replace(":*:", ":x:");
        tidy::write(&to.join("etc").join(name), &text)?;
        let shadow = text.lines().filter_map(|line| line.split_once(':'));
        let (other, rest) = match name {
            "passwd" => ("shadow", "*:20089:0:99999:7:::"),
            _ => ("gshadow", "*::"),
        };
        let shadow: Vec<String> = shadow.map(|(name, _)| format!("{name}:{rest}\n")).collect();
        let other = to.join("etc").join(other);
        tidy::write(&other, &shadow.concat())?;
        fs::set_permissions(&other, fs::Permissions::from_mode(0o640))?;
    }
    Run::words("systemd-sysusers --root").arg(to).step()
}
