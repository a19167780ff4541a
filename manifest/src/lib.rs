//! # The Earmark format
//!
//! Documents that a signer writes and an agent believes: the image declaration (`earmark.toml`), the tree
//! (`tree.zst`), the manifest (a DSSE envelope round an in-toto statement) and the trust file.
//! `docs/manifest-format.md` is the specification; this crate is its first implementation.
//!
//! The crate is pure: it takes bytes and returns values. It opens no file, asks no clock and reads
//! no environment, so that everything in it can be tested and fuzzed as it ships. It is also the
//! only crate that names `ring`.
//!
//! The way through it, which is the way data flows:
//!
//! ```text
//! signer:  Declaration::parse -> RuleSet::resolve -> tree::write -> Statement -> envelope::sign
//! agent:   Trust::parse -> Envelope::parse -> verify::verify -> VerifiedManifest -> tree::read
//! ```
//!
//! # Modules
//!
//! | to verify a seal | [`trust`], [`verify`], [`envelope`], [`statement`], [`tree`], [`entry`], [`declaration`], [`floor`] |
//! |---|---|
//! | other documents | [`channel`], [`grant`], [`report`] |
//! | words that all of these share | [`name`], [`path`], [`digest`], [`class`], [`cmdline`], [`layout`], [`limits`] |
//! | for who measures and signs a root | [`accounts`], [`profile`], [`fsverity`], [`crypto`] |
//! | for who prints names of files | [`escape`] |
//!
//! Each of them is public because another crate of Earmark calls it; all else is private. `crypto` has HMAC and RSA
//! as well, so that no other crate names `ring`. `limits` has the bound of each input: read no more than it says.
//!
//! # Features
//!
//! `profiles`, on by default: the rules of the curated profiles, and `Declaration::{reasoned_rules, resolve_rules,
//! rule_set, is_resolved_as}`, which need them. A reader that only verifies seals takes the rules of the signed tree. TOML,
//! zstd and patterns are not optional: each seal has a TOML file and a zstd stream, and a declaration that has a pattern is
//! refused if the pattern does not parse.

#![forbid(unsafe_code)]
#![warn(clippy::missing_errors_doc)]
// A panic on a hostile input is a vulnerability (docs/threat-model.md), and `as` cuts a size to one that passes.
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

pub mod accounts;
pub mod channel;
pub mod class;
pub mod cmdline;
pub mod crypto;
pub mod declaration;
pub mod digest;
pub mod entry;
pub mod envelope;
pub mod escape;
pub mod floor;
pub mod fsverity;
pub mod grant;
mod in_toto;
mod json;
pub mod layout;
pub mod limits;
pub mod name;
mod number;
pub mod path;
pub mod profile;
pub mod report;
pub mod statement;
mod strict;
pub mod tree;
pub mod trust;
pub mod verify;

/// The code of the README, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
