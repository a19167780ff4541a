//! The stage `status`: shows the record of the last verification.

mod screen;

use std::{io::Write, process::ExitCode};

use anyhow::{Context, Result};
use earmark_scan::{Report, Root, verify::Verdict};

use crate::{cli::StatusArgs, exit::Exit, host, record};

/// Shows the last verification. The exit code is its verdict's, if it was made in this boot.
pub fn run(args: &StatusArgs) -> Result<ExitCode> {
    let root = Root::open(&args.common.root)?;
    let Some(status) = record::read(&root)? else {
        eprintln!(
            "earmark-agent: no verification is on record at '{}': run 'earmark-agent verify'",
            earmark_manifest::layout::STATUS
        );
        return Ok(Exit::Undecided.into());
    };
    // A root that is not running has no boot that the record could be of.
    let report = &status.report;
    let is_of_this_boot = !root.is_live() || host::is_this_boot(report.boot_id.as_deref());
    write(&if args.common.json {
        format!("{}\n", serde_json::to_string_pretty(&status)?)
    } else {
        screen::render(&status, host::time(), is_of_this_boot)
    })?;
    Ok(ExitCode::from(match report.verdict {
        _ if !is_of_this_boot => 11,
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
    write(&text)
}

/// Writes to standard output, all of it or an error.
pub fn write(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("failed to write the result")
}
