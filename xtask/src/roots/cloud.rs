//! The recipe of the root `cloud`: the root `boot`, cloud-init with what it sets a network up by, and what
//! keeps the time.

use std::path::Path;

use anyhow::Result;

use super::{SOURCE_DATE_EPOCH, boot, tidy};
use crate::files::remove_file;
use crate::run::Run;

const PACKAGES: &[&str] = &[
    "cloud-guest-utils",
    "cloud-init",
    "netplan.io",
    // pip itself, in one file, and nothing that builds: Python is there for cloud-init.
    "python3-pip-whl",
    "systemd-timesyncd",
];

/// Where it finds what a test has for it. The accounts are the image's.
const CONFIG: &str = "\
datasource_list: [NoCloud, None]
users: []
";

/// Without udev a network card is never ready for it, and it waits for two minutes.
const WAITS: &str = "etc/systemd/system/systemd-networkd-wait-online.service";

/// Masked in the root `boot`, where nothing keeps the time.
const TIME: &str = "etc/systemd/system/systemd-timesyncd.service";

pub fn make(to: &Path) -> Result<()> {
    boot::make_with(to, PACKAGES)?;
    remove_file(&to.join(TIME))?;
    // Or the first host that runs it keeps what Python compiled, in a sealed place.
    Run::new("chroot")
        .arg(to)
        .args("python3 -m compileall -q /usr/share/netplan".split(' '))
        .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH)
        .step()?;
    tidy::mask(&to.join(WAITS))?;
    tidy::write(&to.join("etc/cloud/cloud.cfg.d/90-test.cfg"), CONFIG)
}
