//! # earmark
//!
//! The signer. It stamps a baked machine image with a signed manifest of its file tree, which
//! `earmark-agent`, baked into the image, verifies at each boot.
//!
//! `measure` reads a root and says what it is, `sign` signs that and needs no root, `install` places
//! it into the root; `seal` is the three in one. Nothing is written into a root before all of it has
//! worked. `verify`, `inspect`, `diff` and `export` read sealed images.

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
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod assemble;
mod aws;
mod beneath;
mod bundle;
mod capability;
mod census;
mod channel;
mod cli;
mod commands;
mod critical;
mod diff;
mod exit;
mod export;
mod files;
mod fleet;
mod floor;
mod grant;
mod image;
mod keys;
mod learn;
mod lint;
mod measured;
mod os_release;
mod output;
mod packages;
mod place;
mod progress;
mod render;
mod run;
mod source;
mod steps;
mod templates;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // Not `fn main() -> Result`: that would print errors in their Debug form.
    match cli::Cli::parse().run() {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output::error(&failure);
            failure.exit().into()
        }
    }
}
