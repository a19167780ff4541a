//! The boot: the generator that puts the policy into the service manager's hands, and the verification that it waits for.

pub mod announce;
pub mod generator;
pub mod initrd;
pub mod policy;
pub mod units;
pub mod verify;
