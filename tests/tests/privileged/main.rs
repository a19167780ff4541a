//! Real Debian roots, tools of others, containers. One program, so that what waits leaves the machine to another test.

mod arm64;
mod causes;
mod channel;
#[path = "../shared/critical.rs"]
mod critical;
mod documents;
mod early;
mod fetch;
mod first_boot;
mod first_boot_faults;
mod first_boot_kill;
mod fleet;
mod grants;
mod image;
mod keys;
mod kms;
mod lockdown;
mod merged_sbin;
mod opened;
mod operators;
mod others;
mod overlay_seal;
mod packages;
mod place;
mod profile;
mod report;
mod rpm;
mod server;
mod signer_faults;
mod signer_kill;
mod stand_in;
mod stock;
#[path = "../shared/stock.rs"]
mod stock_host;
mod strace;
mod tamper;
mod template;
mod units;
mod verity;
