//! The look for corrupted blocks: what the kernel says of files that it enforces by fs-verity becomes a violation
//! with the name of the file.
//!
//! Every minute, on images that declare `boot.verity`: kernel's log -> device and inode -> the sealed file that has it
//! -> record, console, journal; the exit code, on which systemd does what `verify.on_corruption` says. A verification
//! alone does not see it: it asks for the digest that the kernel enforces, and that one is right.
//!
//! Protects against a block that changes beneath the file system, from the moment when somebody reads it. Does not
//! protect against root, who can clear the kernel's log before the next look, nor against one that is never read: such a
//! block gives nobody anything. The kernel limits the rate of its messages: of many files that are read at once, some
//! may be told later, when they are read again.

mod kept;
mod log;
mod names;

use std::process::ExitCode;

use anyhow::{Context, Result};
use earmark_manifest::verify::VerifiedManifest;
use earmark_scan::{Report, Root, seal};

use crate::{
    boot::{announce::announce, policy::Policy},
    exit::Exit,
    fleet::grants,
    status::record,
};

use kept::Kept;

/// The exit code of the verdict `violated`.
pub const VIOLATED: u8 = 10;

/// Looks once. Exit code 10 if a sealed file was found corrupted that was not told before in this boot.
pub fn run(root: &Root) -> Result<ExitCode> {
    let log = log::read().context("failed to read the kernel's log, '/dev/kmsg'")?;
    let mut kept = kept::read(root);
    let known = |at: &log::Corrupted| kept.iter().any(|kept| kept.at == *at);
    let new: Vec<log::Corrupted> = log.into_iter().filter(|at| !known(at)).collect();
    if new.is_empty() {
        return Ok(Exit::Done.into());
    }
    let named = names::find(root, &manifest(root)?, new);
    let paths: Vec<&Kept> = named.iter().filter(|kept| kept.path.is_some()).collect();
    for found in &paths {
        complain!("earmark-agent: {}", found.line());
    }
    let is_sealed = !paths.is_empty();
    kept.extend(named);
    kept::write(root, &kept)?;
    if !is_sealed {
        return Ok(Exit::Done.into());
    }
    let policy = Policy::of(root);
    let old = record::read(root).ok().flatten();
    let mut report = old.map_or_else(
        || Report::undecided("no verification is on record".to_owned()),
        |status| status.report,
    );
    policy.complete(root, &mut report);
    add(root, &mut report);
    if let Err(error) = record::keep(root, &report, None, grants::taints(root)) {
        complain!("earmark-agent: failed to save the result: {error:#}, ignoring");
    }
    announce(root, &report);
    Ok(ExitCode::from(VIOLATED))
}

/// Adds what was found in this boot to the report of a verification. Returns whether there was anything. What it
/// reads can only take away.
pub fn add(root: &Root, report: &mut Report) -> bool {
    let kept = kept::read(root);
    let mut is_any = false;
    for found in &kept {
        if let Some(violation) = found.violation() {
            report.add(&violation);
            is_any = true;
        }
    }
    is_any
}

fn manifest(root: &Root) -> Result<VerifiedManifest> {
    let trust = seal::read_trust(root)?;
    Ok(seal::verified(root, &trust)?)
}
