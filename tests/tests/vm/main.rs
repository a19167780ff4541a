//! Boots of virtual machines. One program, so that each image is made once and no processor is idle.

mod arm64;
mod boot;
mod boot_cmdline;
mod boot_hosts;
mod boot_tamper;
mod cloud_init;
#[path = "../shared/critical.rs"]
mod critical;
mod first_boot;
mod fleet;
mod fsverity;
mod fsverity_bake;
mod grant;
mod initrd;
mod lockdown;
mod opened;
mod packer;
mod stock;
#[path = "../shared/stock.rs"]
mod stock_host;
