//! The stage `status`: shows the record of the last verification.

pub mod model;
pub mod record;
pub mod root_record;
mod screen;
pub mod summary;

use std::{collections::BTreeMap, process::ExitCode};

use anyhow::Result;
use earmark_scan::{Report, Root, verify::Verdict};
use serde::Serialize;

use self::model::{SinkStatus, Status};
use crate::{
    cli::StatusArgs,
    exit::Exit,
    host::{self, output},
};

/// The record, and what came of telling others of it.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    status: &'a Status,
    sinks: &'a BTreeMap<String, SinkStatus>,
}

/// Shows the last verification, and the sinks of reports, which `sinks` reads. The exit code is its verdict's, if it was
/// made in this boot.
pub fn run(
    args: &StatusArgs,
    sinks: impl FnOnce(&Root) -> BTreeMap<String, SinkStatus>,
) -> Result<ExitCode> {
    let root = Root::open(&args.common.root)?;
    let Some(status) = record::read(&root)? else {
        complain!(
            "earmark-agent: no verification is on record at '{}': run 'earmark-agent verify'",
            earmark_manifest::layout::STATUS
        );
        return Ok(Exit::Undecided.into());
    };
    // A root that is not running has no boot that the record could be of.
    let report = &status.report;
    let sinks = sinks(&root);
    let is_of_this_boot = !root.is_live() || host::is_this_boot(report.boot_id.as_deref());
    output::write(&if args.common.json {
        let shown = Shown {
            status: &status,
            sinks: &sinks,
        };
        format!("{}\n", serde_json::to_string_pretty(&shown)?)
    } else {
        screen::render(&status, &sinks, host::time(), is_of_this_boot)
    });
    Ok(ExitCode::from(match report.verdict {
        // What an earlier boot verified says nothing of what runs now.
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
    output::write(&text);
    Ok(())
}
