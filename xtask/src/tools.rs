//! Tools that are not Debian packages: cargo subcommands and a Python environment, pinned, built once
//! under the target directory.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::architecture::Architecture;
use crate::cross::{Builder, Care};
use crate::prepare::lock;
use crate::run::Run;
use crate::{apt, files};

pub const CARGO_DENY: CargoTool = CargoTool::helper("cargo-deny", "0.20.2");
pub const CARGO_FUZZ: CargoTool = CargoTool::helper("cargo-fuzz", "0.13.2");
pub const B3SUM: CargoTool = CargoTool {
    measured: true,
    ..CargoTool::helper("b3sum", "1.8.7")
};

/// A program that is built from its sources, in this version.
#[derive(Debug, Clone, Copy)]
pub struct CargoTool {
    name: &'static str,
    version: &'static str,
    /// Its speed is compared with ours: it is built as its authors mean it.
    measured: bool,
}

impl CargoTool {
    /// One that is run a few times: building it quickly counts, not how fast it is.
    const fn helper(name: &'static str, version: &'static str) -> Self {
        Self {
            name,
            version,
            measured: false,
        }
    }
}

/// Its authors mean cargo-deny to run fast: building it so was two fifths of the fast tier. So it is
/// built without optimisation, and runs a second longer.
const QUICK: &[(&str, &str)] = &[
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"),
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "64"),
];

/// Second implementations of DSSE and in-toto, and a service that speaks as AWS KMS does, for the tests that
/// check ours against others', with all that they need, so that the same is installed tomorrow.
const PYTHON: &[&str] = &[
    "securesystemslib[crypto]==1.6.0",
    "in-toto-attestation==0.9.3",
    "cffi==2.1.1",
    "cryptography==50.0.2",
    "zstandard==0.25.0",
    "protobuf==7.36.2",
    "pycparser==3.12",
    // AWS KMS, STS and the metadata service, and what they need.
    "ministack==1.5.33",
    "PyYAML==6.0.3",
    "botocore==1.43.106",
    "defusedxml==0.7.1",
    "graphql-core==3.2.12",
    "h11==0.16.0",
    "h2==4.4.1",
    "hpack==4.2.0",
    "Hypercorn==0.18.0",
    "hyperframe==6.1.0",
    "jmespath==1.1.0",
    "jsonata-python==0.7.1",
    "priority==2.0.0",
    "python-dateutil==2.9.0.post0",
    "six==1.17.0",
    "urllib3==2.8.0",
    "wsproto==1.3.2",
    // EC2, for Packer; AWS's own command, which the template uses; and what they need.
    "moto==5.2.5",
    "awscli==1.46.3",
    "blinker==1.9.0",
    "boto3==1.43.106",
    "certifi==2026.10.18",
    "charset-normalizer==3.5.2",
    "click==8.5.1",
    "colorama==0.4.6",
    "docutils==0.19",
    "flask-cors==6.0.5",
    "Flask==3.1.3",
    "idna==3.20",
    "itsdangerous==2.2.0",
    "Jinja2==3.1.6",
    "MarkupSafe==3.0.4",
    "pyasn1==0.6.5",
    "requests==2.34.2",
    "responses==0.26.3",
    "rsa==4.7.2",
    "s3transfer==0.19.3",
    "Werkzeug==3.1.9",
    "xmltodict==1.0.4",
    // What checks workflows, and documents by schemas; and what they need.
    "check-jsonschema==0.39.0",
    "zizmor==1.32.0",
    "attrs==26.1.0",
    "jsonschema-specifications==2025.9.1",
    "jsonschema==4.26.0",
    "referencing==0.37.0",
    "regress==2026.9.1",
    "rpds-py==2026.9.1",
    "ruamel.yaml==0.19.1",
    "typing_extensions==4.16.0",
    // Grafana's own types of a dashboard; what reads Athena's SQL, and what runs it here, with what it needs.
    "grafana-foundation-sdk==1769699998!10.1.0",
    "sqlglot==30.30.0",
    "duckdb==2.0.0",
    "pytz==2026.6",
];

/// The path of a cargo tool, installed first if this version is not there yet.
pub fn cargo_tool(tool: CargoTool) -> Result<PathBuf> {
    let CargoTool { name, version, .. } = tool;
    let dir = crate::state_dir()?
        .join("tools")
        .join(format!("{name}-{version}"));
    let program = dir.join("bin").join(name);
    if !program.is_file() {
        eprintln!("==> tools: building {name} {version} (once, under target/earmark/tools)");
        let profile = if tool.measured { &[] } else { QUICK };
        let install = Run::words("cargo install --locked --quiet --version");
        profile
            .iter()
            .fold(install, |run, (name, value)| run.env(name, value))
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
    let _lock = lock("venv")?;
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

/// The directory of Prometheus' programs. Debian's packages are unpacked and not installed: installed, each would
/// start a service that listens on this machine.
pub fn prometheus() -> Result<PathBuf> {
    let tools = crate::state_dir()?.join("tools");
    let ready = tools.join("prometheus");
    let _lock = lock("prometheus")?;
    if !ready.is_dir() {
        let partial = tools.join("prometheus.partial");
        files::remove_tree(&partial)?;
        apt::unpack(
            &["prometheus", "prometheus-node-exporter"],
            &partial,
            "promtool, and what brings a host's metrics to Prometheus",
        )?;
        fs::rename(&partial, &ready)
            .with_context(|| format!("failed to move the tools to \"{}\"", ready.display()))?;
    }
    Ok(ready.join("usr/bin"))
}

/// Returns the directory in which cargo puts what it builds.
pub fn target_dir() -> Result<PathBuf> {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => Ok(crate::workspace()?.join(dir)),
        None => Ok(crate::workspace()?.join("target")),
    }
}

/// Builds the two programs as they ship, and returns the directory they are in.
pub fn programs() -> Result<PathBuf> {
    program("earmark")?;
    program("earmark-agent")
}

/// Builds one of the programs as it ships, for this machine, and returns the directory it is in. The agent is linked
/// statically (docs/adr/0005-static-programs.md); the signer is not, since it loads the modules of devices
/// that keep keys (docs/adr/0010-signing-keys.md).
///
/// It is built for a named target, because flags for that one do not reach procedural macros, which
/// the compiler loads; and by itself, because cargo would otherwise build into the agent whatever
/// the signer asks of the crates that both use. How it is linked is told for the program alone: were it a
/// flag of the target, each of the two would have cargo build again what the other needs, too.
pub fn program(package: &str) -> Result<PathBuf> {
    let builder = Builder::new(Architecture::own()?, Care::Release)?;
    builder.program(package)?;
    builder.programs()
}

/// The target triple that the compiler builds for when it is not told.
pub fn host() -> Result<String> {
    let said = Run::words("rustc --version --verbose").quiet().output()?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .context("rustc does not say what it builds for")
}

/// Returns the directory in which cargo keeps the sources of dependencies: `CARGO_HOME`, or `.cargo` of the user.
pub fn cargo_home() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("CARGO_HOME") {
        return Ok(dir.into());
    }
    let home = std::env::home_dir().context("this user has no home directory")?;
    Ok(home.join(".cargo"))
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
