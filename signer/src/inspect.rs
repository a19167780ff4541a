//! Contents of a seal, a bundle or a tree, for people and for other tools. Nothing here writes into a root.

pub mod capability;
pub mod census;
pub mod diff;
pub mod export;
pub mod packages;
pub mod render;
pub mod source;
