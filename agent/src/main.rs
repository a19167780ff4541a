//! # earmark-agent
//!
//! Decides whether the root that a host runs is the image that was signed, and says so.
//!
//! Its units run it at boot; every command takes `--root`, so that CI can run it on an image that
//! is not booted. It has no switch that turns a check off or changes whom it trusts.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::as_conversions
    )
)]

use std::process::ExitCode;

use clap::Parser;

mod cli;
mod exit;
mod host;
mod status;
mod verify;

fn main() -> ExitCode {
    let command = match cli::Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => return cli::refuse(&error),
    };
    let result = match command {
        cli::Command::Status(args) => status::run(&args),
        cli::Command::Verify(args) => verify::run(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("earmark-agent: {error:#}");
        exit::of_error(&error)
    })
}
