//! The recipe of the root `cloud`: the root `boot`, and cloud-init with what it sets a network up by.

use std::path::Path;

use anyhow::Result;

use super::{boot, tidy};

const PACKAGES: &[&str] = &["cloud-guest-utils", "cloud-init", "netplan.io"];

/// Where it finds what a test has for it. The accounts are the image's.
const CONFIG: &str = "\
datasource_list: [NoCloud, None]
users: []
";

/// Without udev a network card is never ready for it, and it waits for two minutes.
const WAITS: &str = "etc/systemd/system/systemd-networkd-wait-online.service";

pub fn make(to: &Path) -> Result<()> {
    boot::make_with(to, PACKAGES)?;
    tidy::mask(&to.join(WAITS))?;
    tidy::write(&to.join("etc/cloud/cloud.cfg.d/90-test.cfg"), CONFIG)
}
