//! # earmark-init
//!
//! The first process of an initrd: mounts the root read-only, decides whether it is the image that was signed, and
//! only then runs anything of it. With it, agent, trust file and decision come from the initrd, which the root
//! file system cannot touch (tier T1).
//!
//! ```text
//! kernel file systems -> modules -> root= found, mounted read-only -> mounts -> judged -> record in /run -> switch to the root
//!                                                                                  └─► not believed: reason on the console, power off
//! ```
//!
//! | stage | |
//! |---|---|
//! | `kernel` | /proc, /sys, /dev, /run; modules, in their order |
//! | `line` | the words of the kernel command line that name the root |
//! | `disks` | which device they mean, without udev |
//! | `mounts` | the root and the declared mounts, all read-only |
//! | `judge` | the verification, with the trust file and floor of the initrd, and what follows |
//! | `switch` | the record, and the root's own init |
//! | `console` | where all of this is told |
//!
//! There is no shell, no udev and no switch: nothing here is an answer to somebody at the console. Whatever goes wrong
//! powers the machine off, with its reason on the console, but for a root whose signed declaration says `report`.
//!
//! Protects against whoever writes to the root file system. Does not protect against whoever replaces this initrd or
//! the boot loader's entry (root of a running host may), nor against a fault in the kernel's own reader of the
//! file system, which is mounted before it is judged.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::as_conversions,
        clippy::print_stdout,
        clippy::print_stderr
    )
)]

mod console;
mod disks;
mod judge;
mod kernel;
mod line;
mod mounts;
mod switch;

use std::process::ExitCode;

use crate::{console::Console, judge::Decision, line::Line};

fn main() -> ExitCode {
    if let Some(answer) = switch::outside_of_an_initrd() {
        return answer;
    }
    // Each step says itself what it was doing when it failed.
    let refusal = match boot() {
        Ok(never) => match never {},
        Err(refusal) => refusal,
    };
    switch::power_off(&refusal)
}

/// Boots the root, or returns why not.
fn boot() -> Result<std::convert::Infallible, String> {
    kernel::mount_own()?;
    let console = Console::open();
    kernel::load_modules(&console)?;
    let line = Line::read()?;
    let device = disks::find(&line.root, line.wait)?;
    let root = mounts::mount_root(&device, &line)?;
    let anchor = judge::Anchor::read()?;
    let (mounts, doubts) = mounts::mount_declared(&root, &anchor, line.wait)?;
    let report = match judge::judge(&root, &anchor, doubts) {
        Decision::Believed(report) => report,
        Decision::Reported(report) => {
            console.say(&format!(
                "NOT VERIFIED, and the image says to go on: {}",
                report.reason.as_deref().unwrap_or("no reason was given")
            ));
            report
        }
        Decision::Refused(reason) => return Err(reason),
    };
    console.say(&judge::summary(&report));
    switch::leave_record(*report, &mounts)?;
    // A mount that stays is read-only, and the running system sees it: no reason to refuse a root that was believed.
    for problem in mounts::unmount(&mounts) {
        console.say(&format!("{problem}, ignoring"));
    }
    mounts::make_writable(&line)?;
    switch::to_root(&line)
}
