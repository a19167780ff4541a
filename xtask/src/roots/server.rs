//! The recipe of the root `server`.

use std::path::Path;

use anyhow::Result;

use super::{SOURCE_DATE_EPOCH, tidy};
use crate::apt;
use crate::run::Run;

/// At least 60,000 entries and 2 GiB, as a server plausibly has them.
const PACKAGES: &[&str] = &[
    "acl",
    "ansible",
    "apparmor",
    "attr",
    "awscli",
    "bash-completion",
    "build-essential",
    "ca-certificates",
    "chrony",
    "cloud-init",
    "cron",
    "curl",
    "default-jre-headless",
    "git",
    "jq",
    "less",
    "libcap2-bin",
    "linux-headers-amd64",
    "linux-image-amd64",
    "linux-source",
    "locales-all",
    "logrotate",
    "lvm2",
    "man-db",
    "manpages",
    "nftables",
    "nginx",
    "nvme-cli",
    "openssh-server",
    "postgresql",
    "python3",
    "python3-boto3",
    "python3-pip",
    "python3-venv",
    "rsync",
    "rsyslog",
    "strace",
    "sudo",
    "tcpdump",
    "tmux",
    "unattended-upgrades",
    "vim",
    "xfsprogs",
];

/// An image that runs cloud-init brings its accounts with it.
const CLOUD_CONFIG: &str = "\
datasource_list: [None]
users: []
cloud_init_modules: [seed_random, growpart, resizefs, set_hostname, update_hostname]
cloud_config_modules: []
cloud_final_modules: [final-message]
";

/// And takes no code from user-data.
const SWITCHES: &str = "\
allow_userdata: false
vendor_data: {enabled: false}
vendor_data2: {enabled: false}
";

pub fn make(to: &Path) -> Result<()> {
    apt::need(
        &["mmdebstrap", "debian-archive-keyring"],
        "makes the Debian server root",
    )?;
    Run::words("mmdebstrap --mode=root --format=directory --variant=important")
        .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH)
        .arg("--aptopt=APT::Install-Recommends \"true\"")
        .arg("--dpkgopt=force-unsafe-io")
        .arg(format!("--include={}", PACKAGES.join(",")))
        .args([apt::SUITE.as_ref(), to.as_os_str()])
        .args(apt::sources()?.iter().map(apt::Source::line))
        .step()?;
    let config = to.join("etc/cloud/cloud.cfg.d");
    tidy::write(&config.join("90-immutable.cfg"), CLOUD_CONFIG)?;
    tidy::write(&config.join("99-earmark.cfg"), SWITCHES)?;
    tidy::tidy(to)
}
