//! # earmark-agent
//!
//! Decides whether the root that a host runs is the image that was signed, and says so.
//!
//! Its units run it at boot; every command takes `--root`, so that CI can run it on an image that
//! is not booted. It has no switch that turns a check off or changes whom it trusts. Under the name
//! `earmark-generator` it is a systemd generator, and under that of a package manager what stands in for it.
//!
//! | stage | |
//! |---|---|
//! | `boot/` | generator/ (plan, overrides, apply, check; early/: units that may start before the verdict); policy, from the envelope alone; cmdline/; verify; announce |
//! | `first_boot/` | values -> step after step, with a journal; steps/: one file for each kind |
//! | `lockdown/` | one file a lock, in one list; look (the host, read-only), cause (who can bring each item about), item, tell, again (the timer's), granted |
//! | `fleet/` | fetch (a user without rights) -> follow/ (judge, keep, react); grants/; report/ (made -> spool -> deliver) |
//! | `run/` | the background service |
//! | `parameters/` | values from user-data, tags or a file, held to what the declaration says |
//! | `status/` | model (all of status.json, plain data that knows no stage), record, `root_record` (what root decides by), summary, screen |
//! | `platform/` | which instance this is, with a network and without; imds/ |
//! | `exec/` | the one place that starts processes: programs of the signed tree, systemctl, modprobe |
//! | `transport/` | files, servers and buckets, as processes without any right reach them |
//! | `host/` | clocks, ids, files and state replaced whole, console, journal, output |
//!
//! The lower ones know none of the upper ones' stages, and no circle of imports crosses a folder.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::wildcard_enum_match_arm,
        reason = "whatever else it is, the test fails"
    )
)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::as_conversions,
        // Each panics where output fails: see `output`.
        clippy::print_stdout,
        clippy::print_stderr
    )
)]

use std::{ffi::OsString, path::Path, process::ExitCode};

use clap::Parser;

#[macro_use]
mod host;

mod boot;
mod cli;
mod corruption;
mod exec;
mod exit;
mod first_boot;
mod fleet;
mod lockdown;
mod parameters;
mod platform;
mod run;
mod status;
#[cfg(test)]
mod testing;
mod transport;

use boot::{generator, verify};
use fleet::{fetch, follow, report};

fn main() -> ExitCode {
    // Before the first write, which could end the program by SIGXFSZ and leave a boot without a verdict.
    host::file_size::survive();
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    let name = Path::new(&name).file_name().unwrap_or_default();
    // Who starts a program chooses argv[0]: under none of its names does this one do more than its caller may.
    if name == generator::NAME {
        return generator::run(&arguments.collect::<Vec<OsString>>());
    }
    if lockdown::answer::is_answered(name) {
        return lockdown::answer::run(name, &arguments.collect::<Vec<OsString>>());
    }
    let command = match cli::Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => return cli::refuse(&error),
    };
    let result = match command {
        cli::Command::Fetch(args) => fetch::run(&args),
        cli::Command::FirstBoot(args) => first_boot::run(&args),
        cli::Command::Follow(args) => follow::run(&args),
        cli::Command::Instance(args) => platform::instance::run(&args),
        cli::Command::Lockdown(args) => lockdown::run(&args),
        cli::Command::Report(args) => report::run(&args),
        cli::Command::Run(args) => run::run(&args),
        cli::Command::Status(args) => status::run(&args, report::sinks),
        cli::Command::Verify(args) => verify::run(&args),
    };
    result.unwrap_or_else(|error| {
        complain!("earmark-agent: {error:#}");
        exit::of_error(&error)
    })
}
