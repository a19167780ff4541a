//! The stage `status`: the agent's one public state, written and shown.

use std::{io::Write, os::fd::OwnedFd, process::ExitCode};

use anyhow::{Context, Result, anyhow};
use earmark_manifest::{layout, path::ImagePath};
use earmark_scan::{Report, Root, ScanError, verify::Verdict};
use rustix::{
    fs::{AtFlags, Mode, OFlags, ResolveFlags},
    io::Errno,
};

use crate::{cli::StatusArgs, exit::Exit};

/// A status is at most this long: a hundred violations and a hundred doubts, each with long paths.
const BOUND: usize = 8 * 1024 * 1024;

/// Shows the last verification. The exit code is its verdict's.
pub fn run(args: &StatusArgs) -> Result<ExitCode> {
    let root = Root::open(&args.common.root)?;
    let path = ImagePath::from_absolute(layout::STATUS.as_bytes())?;
    let Some(bytes) = root.read_opt(&path, BOUND)? else {
        eprintln!(
            "earmark-agent: no verification is on record at '{path}': run 'earmark-agent verify'"
        );
        return Ok(Exit::Undecided.into());
    };
    let report: Report = serde_json::from_slice(&bytes).map_err(|error| ScanError {
        what: "use the record",
        place: path.to_string(),
        cause: std::io::Error::other(error),
    })?;
    print(&report, args.common.json)?;
    Ok(ExitCode::from(match report.verdict {
        Verdict::Verified | Verdict::Partial => 0,
        Verdict::Violated => 10,
        Verdict::Undecided => 11,
    }))
}

/// Prints a report, for people or for machines.
pub fn print(report: &Report, json: bool) -> Result<()> {
    let text = if json {
        format!("{}\n", serde_json::to_string_pretty(report)?)
    } else {
        report.to_string()
    };
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("failed to write the result")
}

/// Keeps a report as `status.json` beneath the root: whole, or not at all.
pub fn write(root: &Root, report: &Report) -> Result<()> {
    let directory = state_directory(root)?;
    let bytes = serde_json::to_vec_pretty(report)?;
    let temporary = format!(".status.json.{}", std::process::id());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // One of a run that was killed, whose number came round again.
    let _ = rustix::fs::unlinkat(&directory, &temporary, AtFlags::empty());
    let file = rustix::fs::openat(&directory, &temporary, flags, Mode::from_raw_mode(0o644))
        .with_context(|| format!("failed to create a file beside '{}'", layout::STATUS))?;
    let mut file = std::fs::File::from(file);
    let written = file
        .write_all(&bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| {
            rustix::fs::renameat(&directory, &temporary, &directory, "status.json")
                .map_err(Into::into)
        });
    if written.is_err() {
        let _ = rustix::fs::unlinkat(&directory, &temporary, AtFlags::empty());
    }
    written.with_context(|| format!("failed to write '{}'", layout::STATUS))
}

/// `/run/earmark` beneath the root, made if need be. `/run` itself is not ours to make.
fn state_directory(root: &Root) -> Result<OwnedFd> {
    let open = |path: &str| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(root.as_fd(), path, flags, Mode::empty(), resolve)
    };
    let run =
        open("run").map_err(|errno| anyhow!("failed to open '/run' beneath the root: {errno}"))?;
    match rustix::fs::mkdirat(&run, "earmark", Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(anyhow!("failed to make '/run/earmark': {errno}")),
    }
    open("run/earmark").map_err(|errno| anyhow!("failed to open '/run/earmark': {errno}"))
}
