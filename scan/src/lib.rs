//! # The scan
//!
//! Walks a root beneath a directory descriptor and hashes what is in it: for the signer, which
//! records it, and for the agent, which compares it with a signed tree.
//!
//! ```text
//! signer:  Root -> survey (walk) -> measure (both digests; an inspector looks on) -> entries
//! agent:   Root -> seal -> manifest::verify -> walk and tree, side by side -> compare -> hash -> Verification
//! ```
//!
//! | from a directory to a verdict | |
//! |---|---|
//! | `root`, `source`, `openat2` | opens everything beneath one descriptor, without links; or reads a disk's file systems, as the signer hands them in |
//! | `walk/`, `survey` | every name with its metadata, in the order of the paths, once for all who look at a root |
//! | `xattr`, `hash/`, `sha256/`, `threads` | attributes; content, sixteen files at once in inode order, each read once; two digests at once on one core |
//! | `measure` | both digests of a root, as entries (signer) |
//! | `seal/`, `identity`, `architecture`, `program` | the seal's files; what os-release says; the machine of a root; ELF or script, and its interpreter |
//! | `ahead`, `compare`, `signed`, `judge`, `check` | walk and tree merged in one pass as both stream: violations, and what is still to be read |
//! | `beside`, `findings`, `rendered`, `verify`, `report` | all of it, counted and bounded: a `Verification`, and its `Report` |
//!
//! A `Violation` is decided, a `Doubt` is not, and a root with a doubt is never verified. What cannot be looked at is
//! never reported missing.
//!
//! Nothing here trusts a path twice: directories and files are opened beneath the root without
//! following links, what is read is read once, from the descriptor whose metadata was compared.

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
mod ahead;
pub mod architecture;
mod beside;
mod check;
pub mod cloud_init;
pub mod cmdline;
mod compare;
pub mod disk;
mod findings;
pub mod fsverity_ioctl;
mod hash;
pub mod identity;
pub mod initrd;
mod judge;
pub mod kernel;
pub mod links;
pub mod measure;
mod mounted;
mod openat2;
pub mod program;
mod progress;
pub mod rendered;
mod report;
mod root;
pub mod seal;
mod sha256;
mod signed;
pub mod source;
pub mod state;
pub mod survey;
pub mod threads;
pub mod verify;
mod violation;
mod walk;
mod xattr;

pub use openat2::openat2;
pub use progress::Progress;
pub use report::Report;
pub use root::{Root, ScanError};
pub use violation::{Doubt, Violation, ViolationKind};
