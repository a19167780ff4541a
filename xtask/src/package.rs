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
        must_need(&programs.join(package.name), package.libc)?;
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

/// A program that asks for a loader or a library is not what docs/adr/0005-static-programs.md says. One
/// that is meant to ask for the C library of this version asks for nothing else and nothing newer.
/// Flags in the environment (`RUSTFLAGS`) can make another.
fn must_need(program: &Path, libc: Option<&str>) -> Result<()> {
    let headers = Run::words("readelf --wide --program-headers --dynamic --version-info");
    let headers = headers.arg(program).quiet().output()?;
    let Some(libc) = libc else {
        if headers.contains("INTERP") || headers.contains("(NEEDED)") {
            bail!(
                "\"{}\" is not linked statically; is RUSTFLAGS set?",
                program.display()
            );
        }
        return Ok(());
    };
    for library in needed(&headers) {
        if !LIBC.iter().any(|known| library.starts_with(known)) {
            bail!("\"{}\" needs {library}", program.display());
        }
    }
    if let Some(newer) = versions(&headers).find(|version| minor(version) > minor(libc)) {
        bail!(
            "\"{}\" needs the C library of version {newer}, and {libc} was promised: build it on an older system",
            program.display()
        );
    }
    Ok(())
}

/// Beginnings of the names of the C library and the compiler's runtime.
const LIBC: &[&str] = &[
    "libc.so.",
    "libm.so.",
    "libdl.so.",
    "libpthread.so.",
    "libgcc_s.so.",
    "ld-linux",
];

fn needed(headers: &str) -> impl Iterator<Item = &str> {
    let lines = headers.lines().filter(|line| line.contains("(NEEDED)"));
    lines.filter_map(|line| line.rsplit_once('[')?.1.strip_suffix(']'))
}

fn versions(headers: &str) -> impl Iterator<Item = &str> {
    let words = headers.split_whitespace();
    words.filter_map(|word| word.strip_prefix("GLIBC_"))
}

/// The C library's major version has been 2 since 1997.
fn minor(version: &str) -> Option<u32> {
    version.split('.').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needed_libraries_and_glibc_versions_are_parsed_from_headers() {
        let headers = "\
 0x0000000000000001 (NEEDED)             Shared library: [libgcc_s.so.1]
 0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]
  0x0010:   Name: GLIBC_2.34  Flags: none  Version: 9
  0x0020:   Name: GLIBC_2.3.4  Flags: none  Version: 8
  0x0030:   Name: GCC_3.0  Flags: none  Version: 4";
        let found: Vec<&str> = needed(headers).collect();
        assert_eq!(found, ["libgcc_s.so.1", "libc.so.6"]);
        let minors: Vec<_> = versions(headers).filter_map(minor).collect();
        assert_eq!(minors, [34, 3]);
    }
}
