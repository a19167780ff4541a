//! Debian's Rust compiler, which has the standard library of every architecture of Debian's as a package.
//!
//! The one of a stable release is too old for this workspace. That of the next release needs a newer C library than the
//! machine may have, so that it is unpacked with its own and started by its own loader.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::architecture::Architecture;
use crate::prepare::lock;
use crate::run::Run;
use crate::{apt, files};

/// Debian 14, which is to be; its compiler is newer than `rust-version` in `Cargo.toml`.
const SUITE: &str = "forky";

/// Returns a compiler that builds for this machine and for `architecture`.
pub fn rustc(architecture: Architecture) -> Result<PathBuf> {
    let own = Architecture::own()?;
    let tools = crate::state_dir()?.join("tools");
    let ready = tools.join(format!("rustc-{SUITE}-{}", architecture.name()));
    let program = ready.join("rustc");
    let _lock = lock("rustc-debian")?;
    if program.is_file() {
        return Ok(program);
    }
    apt::need(
        &["mmdebstrap", "debian-archive-keyring"],
        "unpacks Debian's Rust compiler",
    )?;
    files::remove_tree(&ready)?;
    fs::create_dir_all(&ready)
        .with_context(|| format!("failed to make \"{}\"", ready.display()))?;
    let root = ready.join("root");
    Run::words("mmdebstrap --format=directory --variant=extract")
        .arg(format!(
            "--architectures={},{}",
            own.debian(),
            architecture.debian()
        ))
        .arg("--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr")
        .arg("--aptopt=APT::Install-Recommends \"false\"")
        // A suite that is not released yet says for a week that it is current, and a mirror may be older than that.
        // Its signature is checked nonetheless.
        .arg("--aptopt=Acquire::Check-Valid-Until \"false\"")
        .arg(format!(
            "--include=rustc,libstd-rust-dev:{}",
            architecture.debian()
        ))
        .arg(SUITE)
        .arg(&root)
        .args(main_sources()?.iter().map(apt::Source::line))
        .step()?;
    write(&program, &wrapper(&root, own))?;
    Run::new(&program).arg("--version").quiet().output()?;
    Ok(program)
}

/// The suite has no security updates of its own yet.
fn main_sources() -> Result<Vec<apt::Source>> {
    let mut sources = apt::sources_of(SUITE)?;
    sources.retain(|source| source.suite == SUITE);
    Ok(sources)
}

fn wrapper(root: &Path, own: Architecture) -> String {
    let libraries = format!("{}/usr/lib/{}", root.display(), own.gnu());
    let loader = match own {
        Architecture::X86_64 => "ld-linux-x86-64.so.2",
        Architecture::Aarch64 => "ld-linux-aarch64.so.1",
    };
    format!(
        "#!/bin/sh\n\
         exec '{libraries}/{loader}' --library-path '{libraries}' '{root}/usr/bin/rustc' --sysroot '{root}/usr' \"$@\"\n",
        root = root.display()
    )
}

fn write(program: &Path, text: &str) -> Result<()> {
    fs::write(program, text)
        .and_then(|()| fs::set_permissions(program, Permissions::from_mode(0o755)))
        .with_context(|| format!("failed to write \"{}\"", program.display()))
}
