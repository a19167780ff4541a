//! The stage `verify`: decides, tells, and keeps what it told.

use std::process::ExitCode;

use anyhow::Result;
use earmark_scan::{Root, verify};

use crate::{cli::VerifyArgs, host, status};

/// Verifies the root. The exit code is the verdict's, whatever becomes of the record of it.
pub fn run(args: &VerifyArgs) -> Result<ExitCode> {
    let root = Root::open(&args.common.root)?;
    let options = verify::Options {
        trust: None,
        gate: args.gate,
        progress: &(),
    };
    let verification = verify::verify(&root, &options);
    let mut report = verification.report();
    report.time = host::time();
    if root.is_live() {
        report.boot_id = host::boot_id();
    }
    // A full disk or a read-only one must not turn one verdict into another.
    if let Err(error) = status::write(&root, &report) {
        eprintln!("earmark-agent: failed to keep the result: {error:#}, ignoring");
    }
    status::print(&report, args.common.json)?;
    Ok(ExitCode::from(verification.exit_code()))
}
