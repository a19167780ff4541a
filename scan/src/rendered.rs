//! What declared `file` steps wrote at first boot, as the agent recorded it then.
//!
//! The record lies in the host's own state: it tells drift of a rendered file from the file as its
//! step wrote it. It does not protect against somebody who can write the record too (tier T0).

use std::collections::BTreeMap;

use earmark_manifest::{
    digest::{ManifestDigest, Sha256Digest},
    layout,
    path::ImagePath,
};
use serde::Deserialize;

use crate::{Doubt, Root};

/// A file as its step wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RenderedFile {
    pub(crate) sha256: Sha256Digest,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// The rendered files of a host, by path.
pub(crate) type RenderedFiles = BTreeMap<ImagePath, RenderedFile>;

/// A record is at most this long: one line for each of at most 64 steps, with room to spare.
const BOUND: usize = 512 * 1024;

/// The files that steps of this manifest wrote; none before first boot, and none if the record is of
/// another manifest, whose steps were others.
pub(crate) fn read(root: &Root, manifest: ManifestDigest) -> Result<RenderedFiles, Doubt> {
    let Ok(path) = ImagePath::from_absolute(layout::RENDERED.as_bytes()) else {
        return Ok(BTreeMap::new());
    };
    let doubt = |cause: &dyn std::fmt::Display| {
        Doubt::new(&path, "use the record of rendered files", cause)
    };
    let Some(bytes) = root
        .read_opt(&path, BOUND)
        .map_err(|error| doubt(&error.cause))?
    else {
        return Ok(BTreeMap::new());
    };
    let record: Record = serde_json::from_slice(&bytes).map_err(|error| doubt(&error))?;
    if record.schema != 1 {
        return Err(doubt(&"its schema is not 1"));
    }
    if record.manifest != manifest.to_string() {
        return Ok(BTreeMap::new());
    }
    let files = record.files.into_iter().map(|file| {
        let path = ImagePath::from_absolute(file.path.as_bytes()).map_err(|error| doubt(&error))?;
        let sha256 = Sha256Digest::from_prefixed(&file.sha256).map_err(|error| doubt(&error))?;
        Ok((
            path,
            RenderedFile {
                sha256,
                mode: file.mode,
                uid: file.uid,
                gid: file.gid,
            },
        ))
    });
    files.collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    schema: u64,
    manifest: String,
    files: Vec<FileRecord>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRecord {
    path: String,
    sha256: String,
    mode: u32,
    uid: u32,
    gid: u32,
}
