//! The recipe of the root `debian-13`: a server of the next release with the units that it comes with,
//! none masked, because their order is what it is for.

use std::path::Path;

use anyhow::Result;

use super::{SOURCE_DATE_EPOCH, tidy};
use crate::apt;
use crate::run::Run;

const SUITE: &str = "trixie";

const PACKAGES: &[&str] = &[
    "apparmor",
    "ca-certificates",
    "chrony",
    "cloud-init",
    "cron",
    "kmod",
    "libnss-resolve",
    "libpam-systemd",
    "linux-image-cloud-amd64",
    "logrotate",
    "lvm2",
    "netplan.io",
    "openssh-server",
    "sudo",
    "systemd-resolved",
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

/// An image that runs cloud-init brings its accounts with it, and takes no code from user-data.
const CLOUD_CONFIG: &str = "\
datasource_list: [None]
users: []
cloud_init_modules: [seed_random, growpart, resizefs, set_hostname, update_hostname]
cloud_config_modules: []
cloud_final_modules: [final-message]
allow_userdata: false
vendor_data: {enabled: false}
vendor_data2: {enabled: false}
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
    tidy::write(&to.join("etc/cloud/cloud.cfg.d/90-test.cfg"), CLOUD_CONFIG)?;
    for path in ["etc/.updated", "var/.updated"] {
        tidy::write(&to.join(path), UPDATED)?;
    }
    tidy::tidy(to)
}
