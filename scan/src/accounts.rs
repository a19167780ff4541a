//! The accounts of a root, from its own files.

use earmark_manifest::{accounts::Accounts, path::ImagePath};

use crate::{Root, ScanError};

/// Lines for thousands of accounts.
const BOUND: usize = 4 * 1024 * 1024;

/// Reads `/etc/passwd` and `/etc/group` beneath the root; one that is absent names nobody.
pub fn read(root: &Root) -> Result<Accounts, ScanError> {
    let read = |path: &str| {
        let path = ImagePath::from_absolute(path.as_bytes()).unwrap_or_default();
        Ok(root.read_opt(&path, BOUND)?.unwrap_or_default())
    };
    Ok(Accounts::parse(&read("/etc/passwd")?, &read("/etc/group")?))
}
