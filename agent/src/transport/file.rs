//! A file of this host, which something else brings or takes away.

use earmark_manifest::path::ImagePath;
use earmark_scan::Root;

use super::Trouble;
use crate::host::files;

/// Reads it, of at most `bound` bytes; `None` if there is none.
pub(super) fn get(root: &Root, path: &ImagePath, bound: usize) -> Result<Option<Vec<u8>>, Trouble> {
    // Through no link: who may write to that directory could else have other files of this host read.
    let read = root.read_opt(path, bound);
    read.map_err(|error| Trouble::Lasting(error.to_string()))
}

/// Writes it whole or not at all, and on the disk: readers of the directory never see half of it.
pub(super) fn put(root: &Root, path: &ImagePath, bytes: &[u8]) -> Result<(), Trouble> {
    let failed = |error: std::io::Error| Trouble::Passing(format!("'{path}': {error}"));
    let text = String::from_utf8_lossy(path.as_bytes());
    let (directory, name) = text.rsplit_once('/').unwrap_or((".", &text));
    // Through no link: whoever may write above it could else choose which file of this user is replaced.
    let directory = files::open_directory(root, directory);
    let directory = directory.map_err(|errno| failed(errno.into()))?;
    // Readable for all: a report has no secret, and another account than this one collects it.
    files::replace(directory, name, bytes, 0o644).map_err(failed)
}
