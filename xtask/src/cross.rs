//! Programs for an architecture: this machine's own, or another one, for which Debian's compiler links and QEMU runs.

mod debian;
mod emulator;
mod library;

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::architecture::Architecture;
use crate::run::Run;
use crate::{apt, tools};

pub use self::emulator::qemu_user;

/// Care that the compiler takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// As a release is built: docs/adr/0004-release-profile.md.
    Release,
    /// For a test that wants to know what a program says, not how fast or small it is.
    Quick,
}

/// Both programs are built in 226 seconds of processor time; a release takes 390.
const QUICK: &[(&str, &str)] = &[
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
];

/// Name of the linker that [`linker`] writes.
const LINKER: &str = "linker";

/// Links a program that is position-independent also when it is static. rustc knows no such kind of program for
/// aarch64-unknown-linux-gnu and asks for `-static -no-pie`, which loads the program at the same address each time;
/// the compiled code, the standard library's and Debian's `rcrt1.o` are all made for any address.
const STATIC_PIE: &str = r#"#!/bin/sh
static=
for word; do
    shift
    case $word in
        -static | -no-pie) static=-static-pie ;;
        *) set -- "$@" "$word" ;;
    esac
done
exec CC $static "$@"
"#;

/// A way to build for an architecture.
#[derive(Debug)]
pub struct Builder {
    architecture: Architecture,
    care: Care,
    library: library::Library,
    linker: Option<PathBuf>,
    target: String,
}

impl Builder {
    /// Makes what is missing for it on this machine.
    pub fn new(architecture: Architecture, care: Care) -> Result<Self> {
        let foreign = architecture != Architecture::own()?;
        let library = if foreign {
            apt::need(
                &[
                    &format!("gcc-{}", architecture.gnu().replace('_', "-")),
                    &format!("libc6-dev-{}-cross", architecture.debian()),
                ],
                "links programs of another architecture",
            )?;
            library::Library::find(architecture)?
        } else {
            library::Library::Toolchain
        };
        Ok(Self {
            architecture,
            care,
            library,
            linker: linker(architecture, foreign)?,
            target: if foreign {
                architecture.triple().to_owned()
            } else {
                tools::host()?
            },
        })
    }

    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// Builds one of the programs. `tools::program` says how.
    pub fn program(&self, package: &str) -> Result<()> {
        let linked = if package == "earmark" { '-' } else { '+' };
        self.cargo("rustc --release --locked")?
            .args(["--package", package, "--bin", package, "--"])
            .arg(format!("-Ctarget-feature={linked}crt-static"))
            .step()
    }

    /// Returns the directory that the programs are in.
    pub fn programs(&self) -> Result<PathBuf> {
        Ok(self.target_dir()?.join(&self.target).join("release"))
    }

    /// A cargo command in the workspace that builds for the architecture, in the directory of its care.
    pub fn cargo(&self, words: &str) -> Result<Run> {
        // No path of the machine that built it is in a program, so that another builds the same.
        let flags = format!(
            "target.{}.rustflags=[\"--remap-path-prefix={}=/cargo\"]",
            self.target,
            tools::cargo_home()?.display()
        );
        let mut run = self
            .library
            .cargo()
            .args(words.split_whitespace())
            .args(["--target", &self.target, "--config", &flags])
            .args(self.library.args())
            .arg("--target-dir")
            .arg(self.target_dir()?)
            .dir(crate::workspace()?);
        if let Some(linker) = &self.linker {
            let name = self.target.to_uppercase().replace('-', "_");
            run = run.env(format!("CARGO_TARGET_{name}_LINKER"), linker);
        }
        if self.architecture != Architecture::own()? {
            // For C and assembly in crates.
            let name = self.target.replace('-', "_");
            for (variable, tool) in [("CC", "gcc"), ("AR", "ar")] {
                let tool = format!("{}-{tool}", self.architecture.gnu());
                run = run.env(format!("{variable}_{name}"), tool);
            }
        }
        if self.care == Care::Quick {
            run = QUICK
                .iter()
                .fold(run, |run, (name, value)| run.env(name, value));
        }
        Ok(run)
    }

    /// Returns the directory of this care and this library: each stays built when another is wanted.
    fn target_dir(&self) -> Result<PathBuf> {
        let mut dir = tools::target_dir()?;
        dir.extend(self.library.place());
        dir.extend((self.care == Care::Quick).then_some("quick"));
        Ok(dir)
    }
}

/// Words before the command line of a program of the architecture, if this machine runs such programs under an emulator.
pub fn runner(architecture: Architecture) -> Result<Vec<OsString>> {
    if architecture == Architecture::own()? {
        return Ok(Vec::new());
    }
    Ok(vec![
        qemu_user(architecture)?.into(),
        "-L".into(),
        libraries(architecture).into(),
    ])
}

/// The directory with the C library for programs of another architecture, as Debian's cross compiler has it.
pub fn libraries(architecture: Architecture) -> PathBuf {
    Path::new("/usr").join(architecture.gnu())
}

/// Returns the linker for the architecture, if it is not the one that rustc takes by itself.
fn linker(architecture: Architecture, foreign: bool) -> Result<Option<PathBuf>> {
    if architecture == Architecture::X86_64 && !foreign {
        return Ok(None);
    }
    let compiler = if foreign {
        format!("{}-gcc", architecture.gnu())
    } else {
        "cc".to_owned()
    };
    let dir = tools::target_dir()?.join(format!("linker-{}", architecture.name()));
    fs::create_dir_all(&dir).with_context(|| format!("failed to make \"{}\"", dir.display()))?;
    let path = dir.join(LINKER);
    let text = STATIC_PIE.replace("CC", &compiler);
    // As it is, it is not written: another process may be running it.
    if !fs::read_to_string(&path).is_ok_and(|found| found == text) {
        let partial = dir.join(format!("{LINKER}.{}", std::process::id()));
        fs::write(&partial, text)
            .and_then(|()| fs::set_permissions(&partial, Permissions::from_mode(0o755)))
            .and_then(|()| fs::rename(&partial, &path))
            .with_context(|| format!("failed to write \"{}\"", path.display()))?;
    }
    Ok(Some(path))
}
