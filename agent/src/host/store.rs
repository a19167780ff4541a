//! `/var/lib/earmark`: what outlives a boot, each file whole or not at all, on the disk before a step
//! goes on. A record has a line before it, with what it is and a digest over it: a disk that lost a part of it is
//! told from what was written. Does not protect against root, who can write a digest, too (tier T0).

use std::{fmt, os::fd::OwnedFd};

use anyhow::{Context, Result, bail};
use earmark_manifest::{crypto, digest::Sha256Digest};
use earmark_scan::{Root, state};
use rustix::{fs::Mode, io::Errno};
use serde::{Serialize, de::DeserializeOwned};

use crate::host::files;

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
    // Synced, too: a power cut must not bring back the name of a record that was put aside.
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

/// A record in a format that this version does not read. It was written whole, by another version, and so
/// is no damage that an older copy could stand in for.
#[derive(Debug)]
pub struct UnknownFormat(String);

impl std::error::Error for UnknownFormat {}

impl fmt::Display for UnknownFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "its format is '{}', which this version does not read; next: replace the host, or install the \
             image of the version that wrote it",
            self.0
        )
    }
}

/// Parses a record that [`to_bytes`] wrote, or says why it is none; an [`UnknownFormat`] is told apart.
pub fn parse<T: DeserializeOwned>(magic: &str, bytes: &[u8]) -> Result<T> {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (head, body) = bytes.split_at(end.context("it has no first line")?);
    let body = body.get(1..).unwrap_or_default();
    let head = std::str::from_utf8(head).ok();
    // Before the digest: a record of a newer version is not damaged, and no older copy may take its place.
    if let Some(format) = head.and_then(|head| other_format(magic, head)) {
        return Err(UnknownFormat(format.to_owned()).into());
    }
    let digest = head
        .and_then(|head| head.strip_prefix(magic))
        .with_context(|| format!("its first line does not begin with '{}'", magic.trim_end()))?;
    if Sha256Digest::from_prefixed(digest)? != crypto::sha256(body) {
        bail!("its digest does not match its content");
    }
    // What its digest is of was written so: by a version that writes other fields.
    serde_json::from_slice(body).map_err(|error| {
        UnknownFormat(format!("{} with other fields ({error})", magic.trim_end())).into()
    })
}

/// The format that a first line names, if it is of this kind of record and not this format.
fn other_format<'a>(magic: &str, head: &'a str) -> Option<&'a str> {
    let format = head.split(' ').next()?;
    let (kind, number) = format.rsplit_once('-')?;
    let (ours, _) = magic.trim_end().rsplit_once('-')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (kind == ours && is_number && format != magic.trim_end()).then_some(format)
}

/// Opens the directory, and makes it if need be: `/var/lib` is the image's. One that others can write to is
/// not written to: they would decide what is found there.
fn open(root: &Root) -> Result<OwnedFd> {
    state::must_be_roots(root)?;
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
    // The name of a new directory is in its parent: a power cut would take both, with the record.
    rustix::fs::fsync(&parent).context("failed to sync '/var/lib'")?;
    open(DIRECTORY).with_context(|| format!("failed to open '/{DIRECTORY}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_distinguishes_unknown_format_from_damage() {
        const MAGIC: &str = "earmark-x-1 ";
        let bytes = to_bytes(MAGIC, &7_u64).unwrap();
        assert_eq!(parse::<u64>(MAGIC, &bytes).unwrap(), 7);
        let newer = to_bytes("earmark-x-2 ", &7_u64).unwrap();
        let other_fields = to_bytes(MAGIC, &"seven").unwrap();
        for unknown in [&newer, &other_fields] {
            let error = parse::<u64>(MAGIC, unknown).unwrap_err();
            assert!(error.is::<UnknownFormat>(), "{error:#}");
        }
        let mut flipped = bytes.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for damaged in [
            &flipped,
            &bytes[..20].to_vec(),
            &b"earmark-y-2 x\n".to_vec(),
        ] {
            let error = parse::<u64>(MAGIC, damaged).unwrap_err();
            assert!(!error.is::<UnknownFormat>(), "{error:#}");
        }
    }
}
