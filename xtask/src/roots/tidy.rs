//! What a bake does last, to every root.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use anyhow::{Context, Result};

use crate::files::{remove_file, remove_files, remove_tree};

/// No identity, no logs, no caches, no timers that would change packages.
pub fn tidy(root: &Path) -> Result<()> {
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
    for path in ["var/log", "var/cache/apt", "var/lib/apt/lists"] {
        remove_files(&at(path))?;
    }
    for path in ["run", "tmp", "var/tmp"] {
        for entry in fs::read_dir(at(path))? {
            remove_tree(&entry?.path())?;
        }
    }
    for timer in ["apt-daily.timer", "apt-daily-upgrade.timer"] {
        mask(&at("etc/systemd/system").join(timer))?;
    }
    Ok(())
}

/// A unit or a generator that systemd does not start.
pub fn mask(path: &Path) -> Result<()> {
    remove_file(path)?;
    symlink("/dev/null", path).with_context(|| format!("failed to mask \"{}\"", path.display()))
}

pub fn write(path: &Path, content: &str) -> Result<()> {
    let wrote = fs::write(path, content)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o644)));
    wrote.with_context(|| format!("failed to write \"{}\"", path.display()))
}
