//! The packages that are baked into images: a .deb and an .rpm of each program, from one table.

mod deb;
mod man;
mod rpm;
mod stage;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::package::stage::Stage;
use crate::package::table::PACKAGES;
use crate::run::Run;
use crate::{apt, files, roots, tools};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the packages go; by default target/earmark/packages
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// The version of every package: that of the workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Builds all packages and returns the directory they are in.
pub fn run(args: &Args) -> Result<PathBuf> {
    build(args.out.as_deref(), &[deb::build, rpm::build])
}

/// Builds all packages where they lie by default, and returns the directory they are in.
pub fn all() -> Result<PathBuf> {
    run(&Args { out: None })
}

/// Builds the .deb packages alone, for roots of Debian, and returns the directory they are in.
pub fn debs() -> Result<PathBuf> {
    build(None, &[deb::build])
}

/// Makes one kind of package from what lies ready, in the directory.
type Builder = fn(&Stage, &Path) -> Result<()>;

fn build(out: Option<&Path>, builders: &[Builder]) -> Result<PathBuf> {
    let out = out.map_or_else(|| Ok(crate::state_dir()?.join("packages")), absolute)?;
    let programs = tools::programs()?;
    apt::need(&["binutils"], "looks into programs")?;
    for package in PACKAGES {
        must_be_static(&programs.join(package.name))?;
    }
    fs::create_dir_all(&out).with_context(|| format!("failed to make \"{}\"", out.display()))?;
    // Two builds at once do not meet.
    let work = out.join(format!("work.{}", std::process::id()));
    let built = build_in(&work, &out, &programs, builders);
    files::remove_tree(&work)?;
    built.map(|()| out)
}

fn build_in(work: &Path, out: &Path, programs: &Path, builders: &[Builder]) -> Result<()> {
    let epoch = source_date_epoch()?;
    for package in PACKAGES {
        for build in builders {
            files::remove_tree(work)?;
            let stage = Stage::new(package, programs, work, &epoch)?;
            build(&stage, out)?;
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

/// A program that asks for a loader or a library is not what docs/adr/0005-static-programs.md says.
/// Flags in the environment (`RUSTFLAGS`) can make one.
fn must_be_static(program: &Path) -> Result<()> {
    let headers = Run::words("readelf --wide --program-headers --dynamic").arg(program);
    let headers = headers.quiet().output()?;
    if headers.contains("INTERP") || headers.contains("(NEEDED)") {
        bail!(
            "\"{}\" is not linked statically; is RUSTFLAGS set?",
            program.display()
        );
    }
    Ok(())
}
