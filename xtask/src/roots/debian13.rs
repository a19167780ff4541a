//! The recipe of the root `debian-13`: a server on EC2 with what Debian ships for one, and its units as they come,
//! timers of apt too: what they do on their own, and in which order, is what it is for.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Result;

use super::{SOURCE_DATE_EPOCH, tidy};
use crate::apt;
use crate::files::remove_file;
use crate::run::Run;

const SUITE: &str = "trixie";

const PACKAGES: &[&str] = &[
    "apparmor",
    "ca-certificates",
    "chrony",
    "cloud-guest-utils",
    "cloud-init",
    "cron",
    "kmod",
    "libnss-resolve",
    "libpam-systemd",
    "linux-image-cloud-amd64",
    "logrotate",
    "lvm2",
    "man-db",
    "netplan.io",
    "openssh-server",
    "sudo",
    "systemd-resolved",
    "unattended-upgrades",
];

/// Documents, and drivers and hardware databases that a machine under emulation has no use for.
const LEFT_OUT: &[&str] = &[
    "/usr/lib/modules/*/kernel/*",
    "/usr/lib/udev/hwdb.d/*",
    "/usr/lib/x86_64-linux-gnu/gconv/*",
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
    "/usr/share/zoneinfo/*",
];

/// The drivers of the machine that it boots on.
const KEPT: &[&str] = &[
    "/usr/lib/modules/*/kernel/drivers/block/virtio_blk.ko*",
    "/usr/lib/modules/*/kernel/drivers/net/net_failover.ko*",
    "/usr/lib/modules/*/kernel/drivers/net/virtio_net.ko*",
    "/usr/lib/modules/*/kernel/drivers/virtio/*",
    "/usr/lib/modules/*/kernel/net/core/failover.ko*",
];

/// As Debian's image for EC2 has it.
const CLOUD_CONFIG: &str = "\
apt:
  generate_mirrorlists: true

system_info:
  default_user:
    name: admin
    sudo: ALL=(ALL) NOPASSWD:ALL
    shell: /bin/bash
    lock_passwd: True
    gecos: Debian
    groups: [adm, audio, cdrom, dialout, dip, floppy, netdev, plugdev, sudo, video]

manage_etc_hosts: true
";

/// As the package's own question is answered there.
const DATASOURCES: &str = "\
# to update this file, run dpkg-reconfigure cloud-init
datasource_list: [ Ec2, None ]
";

/// As systemd-update-done has it, which would write it at the first boot otherwise.
const UPDATED: &str = "\
# This file was created by systemd-update-done. The timestamp below is the
# modification time of /usr/ for which the most recent updates of /etc/ and /var/
# have been applied. See man:systemd-update-done.service(8) for details.
";

pub fn make(to: &Path) -> Result<()> {
    apt::need(
        &["mmdebstrap", "debian-archive-keyring"],
        "makes the Debian 13 root",
    )?;
    let left_out = LEFT_OUT
        .iter()
        .map(|path| format!("--dpkgopt=path-exclude={path}"));
    let kept = KEPT
        .iter()
        .map(|path| format!("--dpkgopt=path-include={path}"));
    Run::words("mmdebstrap --mode=root --format=directory --variant=important")
        .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH)
        // The machine brings an initrd of its own; packing one takes longer than all the rest.
        .env("INITRD", "No")
        .arg("--keyring=/usr/share/keyrings/debian-archive-keyring.gpg")
        .arg("--aptopt=APT::Install-Recommends \"false\"")
        .arg("--dpkgopt=force-unsafe-io")
        .args(left_out)
        .args(kept)
        .arg(format!("--include={}", PACKAGES.join(",")))
        .args([SUITE.as_ref(), to.as_os_str()])
        .args(apt::sources_of(SUITE)?.iter().map(apt::Source::line))
        .step()?;
    let settings = to.join("etc/cloud/cloud.cfg.d");
    tidy::write(&settings.join("01_debian_cloud.cfg"), CLOUD_CONFIG)?;
    tidy::write(&settings.join("90_dpkg.cfg"), DATASOURCES)?;
    for path in ["etc/.updated", "var/.updated"] {
        tidy::write(&to.join(path), UPDATED)?;
    }
    tidy::tidy(to)?;
    for timer in ["apt-daily.timer", "apt-daily-upgrade.timer"] {
        remove_file(&to.join("etc/systemd/system").join(timer))?;
    }
    lists_of_apt(to)
}

/// What every image has whose bake ran `apt-get update`, and no more.
fn lists_of_apt(to: &Path) -> Result<()> {
    let lists = to.join("var/lib/apt/lists");
    for (name, mode) in [("partial", "0700"), ("auxfiles", "0755")] {
        let place = format!("/var/lib/apt/lists/{name}");
        let words = [
            "install",
            "--directory",
            "--owner=_apt",
            "--mode",
            mode,
            &place,
        ];
        Run::new("chroot").arg(to).args(words).step()?;
    }
    tidy::write(&lists.join("lock"), "")?;
    fs::set_permissions(lists.join("lock"), fs::Permissions::from_mode(0o640))?;
    Ok(())
}
