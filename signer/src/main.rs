//! # earmark
//!
//! The signer. It stamps a baked machine image with a signed manifest of its file tree, which
//! `earmark-agent`, baked into the image, verifies at each boot.
//!
//! `measure` reads a root and says what it is, `sign` signs that and needs no root, `install` places
//! it into the root; `seal` is the three in one. Nothing is written into a root before all of it has
//! worked. `verify`, `inspect`, `diff` and `export` read sealed images.
//!
//! | stage | |
//! |---|---|
//! | `commands/` | one file a command; `shared` has the steps that several have |
//! | `seal/` | assemble (measured; its command line, machine, critical set; steps and templates that no host could run are refused) -> bundle -> place (a transaction, which clears what a killed run left) |
//! | `verity/` | has the kernel enforce the sealed files of a root: plan -> volumes (the feature on) -> enforce -> check |
//! | `image/` | a finished disk as a root: raw or qcow2 -> table -> superblock -> select -> ext4, in this process; or mounts, for XFS and FAT; account says what is known of every byte |
//! | `initrd/` | the initrd that judges a root: program, trust file, floor -> cpio; what `/boot` has, compared with that |
//! | `inspect/` | what a seal, a bundle or a tree says: source -> census, render, diff, export; which package has a file |
//! | `lint/` | what is not fit to be sealed: names and content as the survey meets them -> rules (one row each) -> waived -> report, fix |
//! | `learn/` | what a booted host changed on its own -> the narrowest class that allows it -> rules without reasons |
//! | `keys/`, `aws` | files, KMS, PKCS#11; how KMS and S3 are spoken with |
//! | `channel/`, `grant` | which release hosts should run: store -> edit -> sign -> store; what opens a lock |
//! | `fleet/` | reports (a directory, a bucket) -> joined with channels and inventory -> each host once, in one state -> table, JSON, metrics, page |
//! | `io/` | files, programs, progress and the terminal, for all of these |

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
mod initrd;
mod inspect;
mod io;
mod keys;
mod learn;
mod lint;
mod seal;
mod verity;

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
