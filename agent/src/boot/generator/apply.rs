//! Writes a plan into the early directory. Other generators write there at the same time, so that
//! each path is replaced by a rename, whatever is there.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use super::{
    overrides::show,
    plan::{Item, Plan},
};

/// Writes all that can be written, and says what could not: a part of the policy is better than
/// none of it.
pub(super) fn apply(plan: &Plan, early: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    for (path, item) in plan {
        if let Err(error) = put(early, path, item) {
            problems.push(format!(
                "failed to write '{}': {error}",
                show(&early.join(path))
            ));
        }
    }
    problems
}

fn put(early: &Path, path: &Path, item: &Item) -> io::Result<()> {
    let target = early.join(path);
    let directory = target.parent().unwrap_or(early);
    fs::create_dir_all(directory)?;
    // A name that systemd takes for no unit and no drop-in.
    let temporary: PathBuf = directory.join(format!(".earmark.{}", std::process::id()));
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    match item {
        Item::File(text) => fs::write(&temporary, text)?,
        Item::Link(to) => symlink(to, &temporary)?,
    }
    fs::rename(&temporary, &target).inspect_err(|_| {
        // What remains would be harmless.
        let _ = fs::remove_file(&temporary);
    })
}
