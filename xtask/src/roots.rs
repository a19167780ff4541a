//! Real Debian 12 roots to demonstrate, test and measure on, made once and kept under the target directory.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::apt;
use crate::files::{remove_file, remove_files, remove_tree};
use crate::run::{Run, is_root};

/// The same time in every root and initrd, so that building twice gives the same bytes where
/// Debian's tools can: 2025-01-01T00:00:00Z.
pub const SOURCE_DATE_EPOCH: &str = "1735689600";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// debootstrap's minimal system with systemd and sshd: for demonstrations and tampering.
    Small,
    /// A server with a kernel and some 600 packages: for whole-size tests and measurements.
    Server,
}

const SMALL: &[&str] = &["systemd", "systemd-sysv", "dbus", "openssh-server"];

/// At least 60,000 entries and 2 GiB, as a server plausibly has them.
const SERVER: &[&str] = &[
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

/// An image that runs cloud-init brings its accounts with it, and takes no code from user-data.
const CLOUD_CONFIG: &str = "\
datasource_list: [None]
users: []
cloud_init_modules: [seed_random, growpart, resizefs, set_hostname, update_hostname]
cloud_config_modules: []
cloud_final_modules: [final-message]
";

/// The directory of the root, built first if there is none of this recipe yet.
pub fn root(kind: Kind) -> Result<PathBuf> {
    let dir = crate::state_dir()?.join("roots");
    fs::create_dir_all(&dir).with_context(|| format!("failed to make \"{}\"", dir.display()))?;
    let ready = dir.join(format!("{}.{:016x}", kind.name(), kind.key()));
    // Two tests that want the same root at once: the second waits for the first one's.
    let lock = fs::File::create(dir.join(format!("{}.lock", kind.name())))?;
    lock.lock().context("failed to lock the cache of roots")?;
    if ready.is_dir() {
        return Ok(ready);
    }
    if !is_root() {
        bail!(
            "making a Debian root needs root: it makes device nodes and files of other owners.\n\
             Run the same command as root."
        );
    }
    let partial = dir.join(format!("{}.partial", kind.name()));
    for entry in fs::read_dir(&dir)? {
        // What older recipes made, and what a run that was interrupted left.
        let path = entry?.path();
        let of_this_kind = path.file_stem().is_some_and(|stem| stem == kind.name());
        if of_this_kind && path.is_dir() {
            remove_tree(&path)?;
        }
    }
    match kind {
        Kind::Small => debootstrap(&partial)?,
        Kind::Server => mmdebstrap(&partial)?,
    }
    tidy(&partial)?;
    fs::rename(&partial, &ready)
        .with_context(|| format!("failed to move the root to \"{}\"", ready.display()))?;
    Ok(ready)
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Server => "server",
        }
    }

    /// What the root is made from. A change of this file makes a new root.
    fn key(self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.name(), include_str!("roots.rs")).hash(&mut hasher);
        hasher.finish()
    }
}

fn debootstrap(to: &Path) -> Result<()> {
    apt::need(
        &["debootstrap", "debian-archive-keyring"],
        "makes the small Debian root",
    )?;
    let sources = apt::sources()?;
    let main = sources.iter().find(|source| source.suite == apt::SUITE);
    let main = main.context("the apt sources of this machine lost their main suite")?;
    Run::words("debootstrap --variant=minbase")
        .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH)
        .arg(format!("--include={}", SMALL.join(",")))
        .args([apt::SUITE.as_ref(), to.as_os_str(), main.uri.as_ref()])
        .step()
}

fn mmdebstrap(to: &Path) -> Result<()> {
    apt::need(
        &["mmdebstrap", "debian-archive-keyring"],
        "makes the Debian server root",
    )?;
    Run::words("mmdebstrap --mode=root --format=directory --variant=important")
        .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH)
        .arg("--aptopt=APT::Install-Recommends \"true\"")
        .arg("--dpkgopt=force-unsafe-io")
        .arg(format!("--include={}", SERVER.join(",")))
        .args([apt::SUITE.as_ref(), to.as_os_str()])
        .args(apt::sources()?.iter().map(apt::Source::line))
        .step()
}

/// What a bake does last: no identity, no logs, no caches, no timers that would change packages.
fn tidy(root: &Path) -> Result<()> {
    let at = |path: &str| root.join(path);
    for name in ["rsa", "ecdsa", "ed25519", "dsa"] {
        remove_file(&at(&format!("etc/ssh/ssh_host_{name}_key")))?;
        remove_file(&at(&format!("etc/ssh/ssh_host_{name}_key.pub")))?;
    }
    for path in [
        // What the tools that made the root left behind.
        "etc/apt/apt.conf.d/99mmdebstrap",
        "etc/dpkg/dpkg.cfg.d/99mmdebstrap",
        "etc/resolv.conf",
        "etc/hostname",
        "var/lib/dbus/machine-id",
        "var/lib/systemd/random-seed",
    ] {
        remove_file(&at(path))?;
    }
    write(&at("etc/machine-id"), "")?;
    write(&at("etc/hostname"), "debian\n")?;
    write(&at("etc/resolv.conf"), "# Written at boot.\n")?;
    if at("etc/cloud/cloud.cfg.d").is_dir() {
        write(&at("etc/cloud/cloud.cfg.d/90-immutable.cfg"), CLOUD_CONFIG)?;
    }
    for path in ["var/log", "var/cache/apt", "var/lib/apt/lists"] {
        remove_files(&at(path))?;
    }
    for path in ["run", "tmp", "var/tmp"] {
        for entry in fs::read_dir(at(path))? {
            remove_tree(&entry?.path())?;
        }
    }
    for timer in ["apt-daily.timer", "apt-daily-upgrade.timer"] {
        let unit = at("etc/systemd/system").join(timer);
        remove_file(&unit)?;
        std::os::unix::fs::symlink("/dev/null", unit)?;
    }
    Ok(())
}

fn write(path: &Path, content: &str) -> Result<()> {
    let wrote = fs::write(path, content)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o644)));
    wrote.with_context(|| format!("failed to write \"{}\"", path.display()))
}
