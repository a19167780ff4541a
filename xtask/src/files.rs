//! Copies and removes trees of files.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::run::Run;

/// Removes every file beneath `dir`, and keeps the directories, which services expect.
pub fn remove_files(dir: &Path) -> Result<()> {
    for entry in
        fs::read_dir(dir).with_context(|| format!("failed to list \"{}\"", dir.display()))?
    {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_files(&entry.path())?;
        } else {
            remove_file(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes a file, which need not be there.
pub fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove \"{}\"", path.display()))
        }
        _ => Ok(()),
    }
}

/// Removes a file or a whole tree, which need not be there.
pub fn remove_tree(path: &Path) -> Result<()> {
    if !path.is_dir() || path.is_symlink() {
        return remove_file(path);
    }
    fs::remove_dir_all(path).with_context(|| format!("failed to remove \"{}\"", path.display()))
}

/// Copies a root with everything that an entry records: owners, modes, xattrs, hard links, nodes.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    remove_tree(to)?;
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)
            .with_context(|| format!("failed to make \"{}\"", parent.display()))?;
    }
    Run::words("cp -a --reflink=auto").args([from, to]).step()
}
