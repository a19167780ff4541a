//! Exchange with the fleet: the channel and grants that reach a host, and the reports that leave it.

pub mod fetch;
pub mod follow;
pub mod grants;
pub mod report;
