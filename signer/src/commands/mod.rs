//! One file for each subcommand: its arguments, and `run`.

pub mod channel;
pub mod diff;
pub mod export;
pub mod fleet;
pub mod grant;
pub mod initrd;
pub mod inspect;
pub mod install;
pub mod keygen;
pub mod learn;
pub mod lint;
pub mod measure;
pub mod public;
pub mod seal;
pub mod shared;
pub mod sign;
pub mod trust;
pub mod verify;
