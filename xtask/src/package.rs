//! The packages that are baked into images: a .deb and an .rpm of each program, from one table.

mod deb;
mod linked;
mod man;
mod rpm;
mod stage;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::architecture::Architecture;
use crate::cross::{self, Care};
use crate::package::stage::{Programs, Stage};
use crate::package::table::{PACKAGES, Source};
use crate::prepare::lock;
use crate::run::Run;
use crate::{apt, files, roots};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the packages go; by default target/earmark/packages, and packages-ARCH for another architecture
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The architecture of the hosts that they are for; by default that of this machine
    #[arg(long, value_name = "ARCH")]
    arch: Option<Architecture>,
    /// As the tests build packages for another architecture: sooner, and not to be shipped
    #[arg(long, hide = true, requires = "arch")]
    quick: bool,
}

/// The version of every package: that of the workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Builds all packages and returns the directory they are in.
pub fn run(args: &Args) -> Result<PathBuf> {
    let own = Architecture::own()?;
    let architecture = args.arch.unwrap_or(own);
    let (care, suffix) = if args.quick {
        (Care::Quick, "-quick")
    } else {
        (Care::Release, "")
    };
    let name = if architecture == own && !args.quick {
        "packages".to_owned()
    } else {
        format!("packages-{}{suffix}", architecture.name())
    };
    let out = args.out.as_deref();
    let out = out.map_or_else(|| Ok(crate::state_dir()?.join(name)), absolute)?;
    let builder = cross::Builder::new(architecture, care)?;
    build(out, &builder, &[deb::build, rpm::build])
}

/// Builds all packages for this machine where they lie by default, and returns the directory they are in.
pub fn all() -> Result<PathBuf> {
    run(&Args {
        out: None,
        arch: None,
        quick: false,
    })
}

/// Builds all packages for another architecture, for tests of what they do and not of how they are built, and returns
/// the directory they are in.
pub fn quick(architecture: Architecture) -> Result<PathBuf> {
    // Who prepares them beside the first tiers must not write where a test reads.
    let _lock = lock("packages-quick")?;
    run(&Args {
        out: None,
        arch: Some(architecture),
        quick: true,
    })
}

/// Builds the .deb packages alone, for roots of Debian, and returns the directory they are in.
pub fn debs() -> Result<PathBuf> {
    let builder = cross::Builder::new(Architecture::own()?, Care::Release)?;
    let out = crate::state_dir()?.join("packages");
    build(out, &builder, &[deb::build])
}

/// Makes one kind of package from what lies ready, in the directory.
type Maker = fn(&Stage, &Path) -> Result<()>;

fn build(out: PathBuf, builder: &cross::Builder, makers: &[Maker]) -> Result<PathBuf> {
    apt::need(&["binutils"], "looks into programs")?;
    let programs = Programs {
        architecture: builder.architecture(),
        dir: builder.programs()?,
        runner: cross::runner(builder.architecture())?,
    };
    for package in PACKAGES {
        builder.program(package.name)?;
        let program = programs.dir.join(package.name);
        linked::must_be(&program, programs.architecture, package.libc)?;
        for item in package.items {
            if let Source::Other(name) = item.source {
                builder.program(name)?;
                linked::must_be(&programs.dir.join(name), programs.architecture, None)?;
            }
        }
    }
    fs::create_dir_all(&out).with_context(|| format!("failed to make \"{}\"", out.display()))?;
    // Two builds at once do not meet.
    let work = out.join(format!("work.{}", std::process::id()));
    let built = build_in(&work, &out, &programs, makers);
    files::remove_tree(&work)?;
    built.map(|()| out)
}

fn build_in(work: &Path, out: &Path, programs: &Programs, makers: &[Maker]) -> Result<()> {
    let epoch = source_date_epoch()?;
    for package in PACKAGES {
        for make in makers {
            files::remove_tree(work)?;
            let stage = Stage::new(package, programs, work, &epoch)?;
            make(&stage, out)?;
        }
    }
    Ok(())
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("failed to find \"{}\"", path.display()))
}

/// The time in everything that is built: what the environment says, or that of the commit, so that
/// building a commit twice gives the same bytes.
fn source_date_epoch() -> Result<String> {
    if let Ok(epoch) = std::env::var("SOURCE_DATE_EPOCH") {
        return Ok(epoch);
    }
    let commit = Run::words("git log -1 --format=%ct").dir(crate::workspace()?);
    let epoch = commit.quiet().capture().map(|found| found.stdout);
    let epoch = epoch.map_or_else(|_| String::new(), |text| text.trim().to_owned());
    if epoch.is_empty() {
        return Ok(roots::SOURCE_DATE_EPOCH.to_owned());
    }
    Ok(epoch)
}
