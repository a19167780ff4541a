//! The standard library for an architecture that the toolchain was installed without.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::architecture::Architecture;
use crate::cross::debian;
use crate::files;
use crate::prepare::lock;
use crate::run::Run;

/// Origins of the library.
#[derive(Debug)]
pub enum Library {
    /// The toolchain has it.
    Toolchain,
    /// It is built from its sources, which lie in this copy of the toolchain.
    Sources(PathBuf),
    /// Debian has a compiler with it: this one.
    Debian(PathBuf),
}

/// Names a tarball with sources of the standard library, or is [`DEBIAN`].
const VARIABLE: &str = "EARMARK_RUST_STD";
const DEBIAN: &str = "debian";

/// Longest time, in seconds, that rustup may take for 30 MB.
const PATIENCE: &str = "180";

impl Library {
    /// Finds it, or brings it to this machine.
    pub fn find(architecture: Architecture) -> Result<Self> {
        let triple = architecture.triple();
        match std::env::var_os(VARIABLE) {
            Some(word) if word == DEBIAN => return debian::rustc(architecture).map(Self::Debian),
            Some(tarball) => {
                return sources(Path::new(&tarball)).map(Self::Sources);
            }
            None => {}
        }
        let sysroot = sysroot()?;
        let is_there = || {
            sysroot
                .join("lib/rustlib")
                .join(triple)
                .join("lib")
                .is_dir()
        };
        if is_there() {
            return Ok(Self::Toolchain);
        }
        let _lock = lock("rust-std")?;
        let add = Run::words("timeout").args([PATIENCE, "rustup", "target", "add", triple]);
        let first = match add.dir(crate::workspace()?).step() {
            Ok(()) if is_there() => return Ok(Self::Toolchain),
            Ok(()) => "rustup added another toolchain's".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        let version = version()?;
        let beside = crate::workspace()?
            .join("../shared/rust-std")
            .join(format!("rust-std-{version}-library.tar.xz"));
        let second = match sources(&beside) {
            Ok(copy) => return Ok(Self::Sources(copy)),
            Err(error) => format!("{error:#}"),
        };
        let third = match debian::rustc(architecture) {
            Ok(rustc) => {
                eprintln!(
                    "==> rust-std: Debian's compiler builds for {triple}, in place of {version} ({first}; {second})"
                );
                return Ok(Self::Debian(rustc));
            }
            Err(error) => format!("{error:#}"),
        };
        bail!(
            "Rust's standard library for {triple} is missing, and none of three ways led to it:\n\
             - `rustup target add {triple}`: {first}\n\
             - its sources, in a tarball of Rust {version} that {VARIABLE} names, or beside this repository: {second}\n\
             - Debian's rustc with libstd-rust-dev:{}: {third}",
            architecture.debian()
        )
    }

    /// Returns a cargo that builds with it.
    pub fn cargo(&self) -> Run {
        match self {
            Self::Toolchain => Run::new("cargo"),
            // Building the standard library is not stable; the rest is compiled as ever.
            Self::Sources(copy) => Run::new(copy.join("bin/cargo"))
                .env("RUSTC", copy.join("bin/rustc"))
                // `cargo run` has every compiler take the libraries of its own, by which one finds its sources.
                .env("LD_LIBRARY_PATH", copy.join("lib"))
                .env("RUSTC_BOOTSTRAP", "1"),
            Self::Debian(rustc) => Run::new("cargo").env("RUSTC", rustc),
        }
    }

    /// Returns more words for [`cargo`](Self::cargo).
    pub fn args(&self) -> &'static [&'static str] {
        match self {
            Self::Sources(_) => &["-Zbuild-std=std,panic_abort,test"],
            Self::Toolchain | Self::Debian(_) => &[],
        }
    }

    /// The directory beneath that of the workspace in which it builds: another compiler builds all again.
    pub fn place(&self) -> Option<&'static str> {
        match self {
            Self::Toolchain => None,
            Self::Sources(_) => Some("std"),
            Self::Debian(_) => Some("debian"),
        }
    }
}

/// Returns a copy of the toolchain with the sources of its standard library, which is made once.
fn sources(tarball: &Path) -> Result<PathBuf> {
    let version = version()?;
    if !is_of(tarball, &version) {
        bail!(
            "\"{}\" is not of Rust {version} by its name; expected rust-std-{version}-library.tar.xz, since the compiler \
             is {version}",
            tarball.display()
        );
    }
    if !tarball.is_file() {
        bail!("\"{}\" is not there", tarball.display());
    }
    let dir = crate::state_dir()?.join("rust-std");
    let ready = dir.join(&version);
    let _lock = lock("rust-std-sources")?;
    if ready.is_dir() {
        return Ok(ready);
    }
    let partial = dir.join("partial");
    files::remove_tree(&partial)?;
    fs::create_dir_all(&dir).with_context(|| format!("failed to make \"{}\"", dir.display()))?;
    let sysroot = sysroot()?;
    let copy = |how: &str| Run::words(how).args([&sysroot, &partial]).step();
    // Links cost nothing; another file system has none.
    if copy("cp --archive --link").is_err() {
        files::remove_tree(&partial)?;
        copy("cp --archive")?;
    }
    let to = partial.join("lib/rustlib/src/rust");
    fs::create_dir_all(&to).with_context(|| format!("failed to make \"{}\"", to.display()))?;
    Run::words("tar --extract --file")
        .arg(std::path::absolute(tarball)?)
        .arg("--directory")
        .arg(&to)
        .step()?;
    if !to.join("library/std/Cargo.toml").is_file() {
        bail!(
            "\"{}\" has no library/std/Cargo.toml; expected the sources of Rust's standard library",
            tarball.display()
        );
    }
    fs::rename(&partial, &ready)
        .with_context(|| format!("failed to move the toolchain to \"{}\"", ready.display()))?;
    Ok(ready)
}

/// Sources of another version than the compiler's do not compile, or worse, they do.
fn is_of(tarball: &Path, version: &str) -> bool {
    let name = tarball.file_name().unwrap_or_default().to_string_lossy();
    name.split(['-', '_']).any(|word| word == version)
}

fn sysroot() -> Result<PathBuf> {
    let said = Run::words("rustc --print sysroot").dir(crate::workspace()?);
    Ok(said.quiet().output()?.trim_end().into())
}

fn version() -> Result<String> {
    let said = Run::words("rustc --version").dir(crate::workspace()?);
    let said = said.quiet().output()?;
    let version = said.split_whitespace().nth(1);
    version
        .map(str::to_owned)
        .with_context(|| format!("rustc names no version in \"{}\"", said.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn library_sources_are_of_the_version_that_their_name_says() {
        let tarball = Path::new("/1.96.0/rust-std-1.95.0-library.tar.xz");
        assert!(is_of(tarball, "1.95.0"));
        for version in ["1.96.0", "1.95.1", "1.95", "95.0", "1.9"] {
            assert!(!is_of(tarball, version), "{version}");
        }
    }
}
