//! The recipe of the root `small`.

use std::path::Path;

use anyhow::{Context, Result};

use super::{SOURCE_DATE_EPOCH, tidy};
use crate::apt;
use crate::run::Run;

/// `lsb-base` is empty, and what debootstrap would bring.
const PACKAGES: &[&str] = &[
    "dbus",
    "lsb-base",
    "openssh-server",
    "systemd",
    "systemd-sysv",
];

/// The packages that debootstrap takes, in a third of its time.
pub fn make(to: &Path) -> Result<()> {
    apt::need(
        &["mmdebstrap", "debian-archive-keyring"],
        "makes the small Debian root",
    )?;
    let sources = apt::sources()?;
    let main = sources.iter().find(|source| source.suite == apt::SUITE);
    let main = main.context("the apt sources of this machine lost their main suite")?;
    Run::words("mmdebstrap --mode=root --format=directory --variant=minbase")
        .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH)
        .arg("--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr")
        .arg("--aptopt=APT::Install-Recommends \"false\"")
        .arg("--dpkgopt=force-unsafe-io")
        .arg(format!("--include={}", PACKAGES.join(",")))
        .args([apt::SUITE.as_ref(), to.as_os_str()])
        .arg(main.line())
        .step()?;
    tidy::tidy(to)
}
