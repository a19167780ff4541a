//! Record of the files that declared `file` steps wrote at first boot, as the agent made it then.
//!
//! The record lies in the host's own state. It narrows what was signed and never widens it: which paths
//! steps write, and with which owner and mode, comes from the signed declaration and the signed rules; the
//! record gives one digest for such a path. It does not protect against somebody who writes the record
//! and the file (tier T0), so that each result counts the files that stand on the host's own word.

mod held;
mod rules;

use std::collections::BTreeMap;

use earmark_manifest::{
    digest::{ManifestDigest, Sha256Digest},
    layout,
    path::ImagePath,
};
use serde::{Deserialize, Serialize};

pub(crate) use self::{
    held::{Held, cut_short},
    rules::{Content, Expected, Terms},
};
use crate::{Doubt, Root, state};

/// The content of a file as its step wrote it, or is about to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenderedFile {
    /// Of its content.
    pub sha256: Sha256Digest,
    /// The step began to write it, and is not known to have ended: it may be there or not, as it was
    /// or as it is to be. First boot, which follows, writes it again.
    pub pending: bool,
}

/// The name that a file has until it is whole, in the directory that it is for. It is tolerated there
/// as long as a file of that directory is pending, by a verification before first boot.
pub const TEMPORARY: &[u8] = b".earmark-rendering";

/// A rendered file has at most so many bytes: a template of 1 MiB, and values in it. A step that would
/// write more fails.
pub const FILE_BOUND: u64 = 4 * 1024 * 1024;

/// The rendered files of a host, by path.
pub type RenderedFiles = BTreeMap<ImagePath, RenderedFile>;

/// A record is at most this long: one line for each of at most 64 steps, with room to spare.
const BOUND: usize = 512 * 1024;
/// The format of the record. Format 1 also said owner and mode, which are signed now.
const SCHEMA: u64 = 2;

/// The files that steps of this manifest wrote; none before first boot, and none if the record is of
/// another manifest, whose steps were others.
pub fn read(root: &Root, manifest: ManifestDigest) -> Result<RenderedFiles, Doubt> {
    let Ok(path) = ImagePath::from_absolute(layout::RENDERED.as_bytes()) else {
        return Ok(BTreeMap::new());
    };
    let doubt = |cause: &dyn std::fmt::Display| {
        Doubt::new(&path, "use the record of rendered files", cause)
    };
    let Some(bytes) = state::read(root, &path, BOUND).map_err(|error| doubt(&error.cause))? else {
        return Ok(BTreeMap::new());
    };
    // First the format: what a newer one holds is not for this version to guess.
    let format: Format = serde_json::from_slice(&bytes).map_err(|error| doubt(&error))?;
    if format.schema != SCHEMA {
        return Err(doubt(&format!(
            "unknown format {}: this version reads {SCHEMA}; next: replace the host",
            format.schema
        )));
    }
    let record: Record = serde_json::from_slice(&bytes).map_err(|error| doubt(&error))?;
    // Without a record, files of steps are held against the tree alone, which is stricter: no doubt is needed.
    if record.manifest != manifest.to_string() {
        return Ok(BTreeMap::new());
    }
    let mut files = BTreeMap::new();
    for FileRecord {
        path,
        sha256,
        pending,
    } in record.files
    {
        let sha256 = Sha256Digest::from_prefixed(&sha256).map_err(|error| doubt(&error))?;
        let at = ImagePath::from_absolute(path.as_bytes()).map_err(|error| doubt(&error))?;
        // Which of two digests counts must not be up to the reader.
        if files.insert(at, RenderedFile { sha256, pending }).is_some() {
            return Err(doubt(&format!("duplicate path '{path}'")));
        }
    }
    Ok(files)
}

/// The bytes of a record, as [`read`] reads it. Paths of steps came from TOML, and so are UTF-8.
pub fn to_bytes(manifest: ManifestDigest, files: &RenderedFiles) -> Vec<u8> {
    let files = files.iter().map(|(path, file)| FileRecord {
        path: format!("/{}", String::from_utf8_lossy(path.as_bytes())),
        sha256: file.sha256.to_string(),
        pending: file.pending,
    });
    let record = Record {
        schema: SCHEMA,
        manifest: manifest.to_string(),
        files: files.collect(),
    };
    // Strings and numbers: there is nothing in it that JSON could not say.
    serde_json::to_vec_pretty(&record).unwrap_or_default()
}

/// Field that every format of the record has.
#[derive(Deserialize)]
struct Format {
    schema: u64,
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
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pending: bool,
}
