//! The initrd that judges a root: made on the release machine from the agent's program, trust file and floor, and
//! compared with what an image has in `/boot`.
//!
//! ```text
//! earmark-init + trust.toml + floor + modules ─► contents ─► cpio (the same bytes for the same inputs) ─► /boot
//! /boot of a root ─► cpio ─► contents ─► those of the root's own seal?
//! ```

pub mod contents;
pub mod cpio;
pub mod found;
pub mod program;
