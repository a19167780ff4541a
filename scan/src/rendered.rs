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
use serde::{Deserialize, Serialize};

use crate::{Doubt, Root};

/// A file as its step wrote it, or is about to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenderedFile {
    /// Of its content.
    pub sha256: Sha256Digest,
    /// Permission bits.
    pub mode: u32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The step began to write it, and is not known to have ended: it may be there or not, as it was
    /// or as it is to be. First boot, which follows, writes it again.
    pub pending: bool,
}

/// The name that a file has until it is whole, in the directory that it is for. It is tolerated there
/// as long as a file of that directory is pending.
pub const TEMPORARY: &[u8] = b".earmark-rendering";

/// The rendered files of a host, by path.
pub type RenderedFiles = BTreeMap<ImagePath, RenderedFile>;

/// A record is at most this long: one line for each of at most 64 steps, with room to spare.
const BOUND: usize = 512 * 1024;

/// The files that steps of this manifest wrote; none before first boot, and none if the record is of
/// another manifest, whose steps were others.
pub fn read(root: &Root, manifest: ManifestDigest) -> Result<RenderedFiles, Doubt> {
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
                pending: file.pending,
            },
        ))
    });
    files.collect()
}

/// The bytes of a record, as [`read`] reads it. Paths of steps came from TOML, and so are UTF-8.
pub fn to_bytes(manifest: ManifestDigest, files: &RenderedFiles) -> Vec<u8> {
    let files = files.iter().map(|(path, file)| FileRecord {
        path: format!("/{}", String::from_utf8_lossy(path.as_bytes())),
        sha256: file.sha256.to_string(),
        mode: file.mode,
        uid: file.uid,
        gid: file.gid,
        pending: file.pending,
    });
    let record = Record {
        schema: 1,
        manifest: manifest.to_string(),
        files: files.collect(),
    };
    // Strings and numbers: there is nothing in it that JSON could not say.
    serde_json::to_vec_pretty(&record).unwrap_or_default()
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Record {
    schema: u64,
    manifest: String,
    files: Vec<FileRecord>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct FileRecord {
    path: String,
    sha256: String,
    mode: u32,
    uid: u32,
    gid: u32,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pending: bool,
}
