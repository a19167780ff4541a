//! `/var/lib/earmark`: what outlives a boot, each file whole or not at all, on the disk before a step
//! goes on.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use earmark_scan::Root;
use rustix::{fs::Mode, io::Errno};

use crate::files;

/// Others may pass through it, to the spool of reports; what is put here is for root alone.
const DIRECTORY: &str = "var/lib/earmark";

/// Puts a file in the place of what has its name, and returns when a power cut cannot undo it.
pub fn replace(root: &Root, name: &str, bytes: &[u8]) -> Result<()> {
    let directory = open(root)?;
    files::replace(directory, name, bytes, 0o600)
        .with_context(|| format!("failed to write '/{DIRECTORY}/{name}'"))
}

/// Keeps a file under another name, in the place of what has that.
pub fn rename(root: &Root, from: &str, to: &str) -> Result<()> {
    let directory = open(root)?;
    rustix::fs::renameat(&directory, from, &directory, to)
        .and_then(|()| rustix::fs::fsync(&directory))
        .with_context(|| format!("failed to rename '/{DIRECTORY}/{from}' to '{to}'"))
}

/// Opens the directory, and makes it if need be: `/var/lib` is the image's.
fn open(root: &Root) -> Result<OwnedFd> {
    let open = |path| files::open_directory(root, path);
    match open(DIRECTORY) {
        Err(Errno::NOENT) => {}
        opened => return opened.with_context(|| format!("failed to open '/{DIRECTORY}'")),
    }
    let parent = open("var/lib").context("failed to open '/var/lib' beneath the root")?;
    match rustix::fs::mkdirat(&parent, "earmark", Mode::from_raw_mode(0o711)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno).with_context(|| format!("failed to make '/{DIRECTORY}'")),
    }
    rustix::fs::fsync(&parent).context("failed to sync '/var/lib'")?;
    open(DIRECTORY).with_context(|| format!("failed to open '/{DIRECTORY}'"))
}
