//! `/var/lib/earmark`: what outlives a boot, each file whole or not at all, on the disk before a step
//! goes on. A record has a line before it, with what it is and a digest over it: a disk that lost a part of it is
//! told from what was written. Does not protect against root, who can write a digest, too (tier T0).

use std::os::fd::OwnedFd;

use anyhow::{Context, Result, bail};
use earmark_manifest::{crypto, digest::Sha256Digest};
use earmark_scan::Root;
use rustix::{fs::Mode, io::Errno};
use serde::{Serialize, de::DeserializeOwned};

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

/// A record as it lies on the disk; `magic` ends in a space.
pub fn to_bytes(magic: &str, record: &impl Serialize) -> Result<Vec<u8>> {
    let body = serde_json::to_vec_pretty(record).context("failed to write a record")?;
    let mut bytes = format!("{magic}{}\n", crypto::sha256(&body)).into_bytes();
    bytes.extend(body);
    Ok(bytes)
}

/// The record that was written so, or why it is not.
pub fn parse<T: DeserializeOwned>(magic: &str, bytes: &[u8]) -> Result<T> {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (head, body) = bytes.split_at(end.context("it has no first line")?);
    let body = body.get(1..).unwrap_or_default();
    let digest = std::str::from_utf8(head)
        .ok()
        .and_then(|head| head.strip_prefix(magic))
        .with_context(|| format!("its first line does not begin with '{}'", magic.trim_end()))?;
    if Sha256Digest::from_prefixed(digest)? != crypto::sha256(body) {
        bail!("its digest is of other content");
    }
    serde_json::from_slice(body).context("this version does not read it")
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
