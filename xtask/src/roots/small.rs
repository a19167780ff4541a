//! The recipe of the root `small`.

use std::path::Path;

use anyhow::{Context, Result};

use super::{SOURCE_DATE_EPOCH, tidy};
use crate::apt;
use crate::run::Run;

const PACKAGES: &[&str] = &["systemd", "systemd-sysv", "dbus", "openssh-server"];

pub fn make(to: &Path) -> Result<()> {
    apt::need(
        &["debootstrap", "debian-archive-keyring"],
        "makes the small Debian root",
    )?;
    let sources = apt::sources()?;
    let main = sources.iter().find(|source| source.suite == apt::SUITE);
    let main = main.context("the apt sources of this machine lost their main suite")?;
    Run::words("debootstrap --variant=minbase")
        .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH)
        .arg(format!("--include={}", PACKAGES.join(",")))
        .args([apt::SUITE.as_ref(), to.as_os_str(), main.uri.as_ref()])
        .step()?;
    tidy::tidy(to)
}
