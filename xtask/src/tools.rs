//! Tools that are not Debian packages: cargo subcommands and a Python environment, pinned, built once
//! under the target directory.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::apt;
use crate::run::Run;

pub const CARGO_DENY: (&str, &str) = ("cargo-deny", "0.20.2");
pub const CARGO_FUZZ: (&str, &str) = ("cargo-fuzz", "0.13.2");
pub const B3SUM: (&str, &str) = ("b3sum", "1.8.7");

/// Second implementations of DSSE and in-toto, for the tests that check ours against others', with
/// all that they need, so that the same is installed tomorrow.
const PYTHON: &[&str] = &[
    "securesystemslib[crypto]==1.6.0",
    "in-toto-attestation==0.9.3",
    "cffi==2.1.1",
    "cryptography==50.0.2",
    "zstandard==0.25.0",
    "protobuf==7.36.2",
    "pycparser==3.12",
];

/// The path of a cargo tool, installed first if this version is not there yet.
pub fn cargo_tool((name, version): (&str, &str)) -> Result<PathBuf> {
    let dir = crate::state_dir()?
        .join("tools")
        .join(format!("{name}-{version}"));
    let program = dir.join("bin").join(name);
    if !program.is_file() {
        eprintln!("==> tools: building {name} {version} (once, under target/earmark/tools)");
        Run::words("cargo install --locked --quiet --version")
            .args([version, "--root"])
            .arg(&dir)
            .arg(name)
            .step()?;
    }
    Ok(program)
}

/// The Python interpreter of an environment that has [`PYTHON`].
pub fn python() -> Result<PathBuf> {
    let dir = crate::state_dir()?.join("venv");
    let stamp = dir.join("requirements");
    let interpreter = dir.join("bin/python3");
    let wanted = PYTHON.join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(interpreter);
    }
    apt::need(
        &["python3", "python3-venv"],
        "runs the stock DSSE and in-toto implementations",
    )?;
    // Debian's own Python, whatever else is on the search path.
    Run::words("/usr/bin/python3 -m venv --clear")
        .arg(&dir)
        .step()?;
    Run::new(&interpreter)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .args(PYTHON)
        .step()?;
    fs::write(&stamp, wanted)
        .with_context(|| format!("failed to write \"{}\"", stamp.display()))?;
    Ok(interpreter)
}

/// Where cargo puts what it builds.
pub fn target_dir() -> Result<PathBuf> {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => Ok(crate::workspace()?.join(dir)),
        None => Ok(crate::workspace()?.join("target")),
    }
}

/// Builds the two programs as they ship, and returns the directory they are in.
pub fn programs() -> Result<PathBuf> {
    cargo("build --release --locked --package earmark --package earmark-agent").step()?;
    Ok(target_dir()?.join("release"))
}

/// Builds this program itself and returns its path. The one that runs may be gone from its place:
/// a test build links another there.
pub fn xtask() -> Result<PathBuf> {
    cargo("build --locked --package xtask").step()?;
    Ok(target_dir()?.join("debug/xtask"))
}

/// A cargo command in the workspace.
pub fn cargo(words: &str) -> Run {
    let root = crate::workspace().unwrap_or(Path::new("."));
    Run::new("cargo").args(words.split_whitespace()).dir(root)
}
