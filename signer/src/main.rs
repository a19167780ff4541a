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

mod aws;
mod channel;
mod cli;
mod commands;
mod exit;
mod fleet;
mod grant;
mod image;
mod inspect;
mod io;
mod keys;
mod learn;
mod lint;
mod seal;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // Not `fn main() -> Result`: that would print errors in their Debug form.
    match cli::Cli::parse().run() {
        Ok(exit) => exit.into(),
        Err(failure) => {
            io::output::error(&failure);
            failure.exit().into()
        }
    }
}
