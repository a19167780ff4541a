//! A channel in a file of this host.

use std::{fs::File, path::Path};

use anyhow::Context;
use earmark_manifest::limits;

use super::{Found, Written};
use crate::{
    exit::{Exit, Exits, Failure, Outcome},
    io::{files, output::quote},
};

pub fn read(path: &Path) -> Outcome<Option<Found>> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name
        .ok_or_else(|| Failure::new(Exit::Usage, format!("{} is not a file name", quote(path))))?;
    let bytes = files::read_in(files::parent(path), name, limits::CHANNEL, "channel")?;
    Ok(bytes.map(|bytes| Found { bytes, tag: None }))
}

/// Under a lock of the directory, which every writer takes: none writes between another's look and its
/// rename. Somebody who writes there with another program is not held up by it.
pub fn write(path: &Path, document: &[u8], replaced: Option<&Found>) -> Outcome<Written> {
    let directory = files::parent(path);
    let locking = || format!("failed to lock {}", quote(directory));
    let lock = File::open(directory)
        .with_context(locking)
        .exits(Exit::Undecided)?;
    lock.lock().with_context(locking)?;
    let there = read(path)?;
    if there.as_ref().map(Found::bytes) != replaced.map(Found::bytes) {
        return Ok(Written::Overtaken);
    }
    files::replace(path, document)?;
    Ok(Written::Done)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn concurrent_channel_writes_have_one_winner_and_leave_no_temporary_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stable.json");
        assert!(read(&path).unwrap().is_none());
        assert_eq!(write(&path, b"0", None).unwrap(), Written::Done);
        let found = read(&path).unwrap().unwrap();
        let done = AtomicU32::new(0);
        std::thread::scope(|threads| {
            for writer in 0..8u8 {
                let (path, found, done) = (&path, &found, &done);
                threads.spawn(move || {
                    let written = write(path, &[writer], Some(found)).unwrap();
                    done.fetch_add((written == Written::Done).into(), Ordering::Relaxed);
                });
            }
        });
        assert_eq!(done.into_inner(), 1);
        assert_eq!(write(&path, b"1", None).unwrap(), Written::Overtaken);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
