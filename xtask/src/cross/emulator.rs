//! QEMU's user mode: runs a program of another architecture on this machine's kernel.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::apt::{self, suite::Suite};
use crate::architecture::Architecture;
use crate::files;
use crate::prepare::lock;
use crate::run::Run;

/// The oldest major version that knows `openat2`: under 7.2, each open of ours fails with `ENOSYS`.
const OLDEST: u32 = 10;

/// Returns the emulator for programs of `architecture`. It is unpacked and not installed: installed, it would have the
/// kernel run every such program, also those that a test expects to fail.
pub fn qemu_user(architecture: Architecture) -> Result<PathBuf> {
    let tools = crate::state_dir()?.join("tools");
    let program = format!("usr/bin/qemu-{}", architecture.name());
    let ready = tools.join(format!("qemu-user-{}", architecture.name()));
    let _lock = lock("qemu-user")?;
    if !ready.is_dir() {
        apt::need(&["dpkg", "tar"], "unpacks QEMU's user mode")?;
        let partial = tools.join("qemu-user.partial");
        files::remove_tree(&partial)?;
        fs::create_dir_all(&partial)
            .with_context(|| format!("failed to make \"{}\"", partial.display()))?;
        unpack(&partial, &program)?;
        must_be_new(&partial.join(&program))?;
        fs::rename(&partial, &ready)
            .with_context(|| format!("failed to move QEMU to \"{}\"", ready.display()))?;
    }
    Ok(ready.join(program))
}

/// Takes the one program out of the package, which has those of every architecture: they are 700 MB.
fn unpack(to: &Path, program: &str) -> Result<()> {
    let why = "runs programs of another architecture";
    let backports = Suite::backports().and_then(|suite| suite.download("qemu-user", to, why));
    if let Err(error) = backports {
        eprintln!("==> apt: the backports have no QEMU: {error:#}");
        apt::download("qemu-user", to, why)?;
    }
    let script = "for deb in *.deb; do dpkg-deb --fsys-tarfile \"$deb\" | tar -x \"./$1\"; rm \"$deb\"; done";
    Run::words("sh -euc")
        .args([script, "sh", program])
        .dir(to)
        .step()
}

fn must_be_new(program: &Path) -> Result<()> {
    let said = Run::new(program).arg("--version").quiet().output()?;
    match major(&said) {
        Some(found) if found >= OLDEST => Ok(()),
        _ => bail!(
            "this machine's Debian mirror offers qemu-user with \"{}\"; expected {OLDEST} or newer, which its \
             release's backports have",
            said.lines().next().unwrap_or_default()
        ),
    }
}

/// The major version in `qemu-aarch64 version 10.0.2 (...)`.
fn major(said: &str) -> Option<u32> {
    let (_, version) = said.split_once(" version ")?;
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qemu_major_version_is_parsed() {
        for (said, expected) in [
            (
                "qemu-aarch64 version 7.2.22 (Debian 1:7.2+dfsg)\nCopyright",
                Some(7),
            ),
            ("qemu-aarch64 version 10.0.2\n", Some(10)),
            ("qemu-aarch64", None),
        ] {
            assert_eq!(major(said), expected, "{said}");
        }
    }
}
