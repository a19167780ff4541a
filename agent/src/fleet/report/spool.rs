//! Reports that a sink has not got yet, on the disk: bounded in bytes and in age, the oldest dropped first and counted.

use std::{
    ffi::OsStr,
    fs, io,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use earmark_manifest::{crypto, declaration::Sink, limits};
use earmark_scan::Root;

use crate::host::files;

/// Beneath it, a directory for each sink. The service manager makes it.
const DIRECTORY: &str = "var/lib/earmark/report";
/// For each sink: a day of reports every five minutes, of the size that they have.
pub const BYTES: u64 = 512 * 1024;
/// Age beyond which a report is dropped: nobody asks a host for older history.
pub const AGE: Duration = Duration::from_hours(24);

/// The reports for one sink.
#[derive(Debug)]
pub struct Spool {
    path: PathBuf,
}

impl Spool {
    /// Opens it, and makes it if need be.
    pub fn open(root: &Root, sink: &Sink) -> io::Result<Self> {
        // A URL has slashes, and may be longer than the 255 bytes of a name.
        let name = crypto::sha256(sink.as_str().as_bytes()).hex();
        let name = name.get(..16).unwrap_or_default();
        let path = root.path().join(DIRECTORY).join(name);
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(Self { path }),
        }
    }

    /// Those that are there, oldest first.
    pub fn pending(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            // What is no file is none of ours: a pipe would hold the delivery up, and a directory could not be taken out.
            if entry.file_type()?.is_file() {
                numbers.extend(number(&entry.file_name()));
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// One of them; nothing, if it cannot be one of ours.
    pub fn read(&self, number: u64) -> io::Result<Option<Vec<u8>>> {
        let path = self.file(number);
        // Before it is read: what somebody else put there may be as large as the disk.
        if path.metadata()?.len() > u64::try_from(limits::REPORT).unwrap_or(u64::MAX) {
            return Ok(None);
        }
        fs::read(path).map(Some)
    }

    /// Puts one behind the others.
    pub fn push(&self, line: &[u8]) -> io::Result<()> {
        let last = self.pending()?.last().copied().unwrap_or_default();
        let name = name(last.saturating_add(1));
        let directory = fs::File::open(&self.path)?;
        files::replace(&directory, &name, line, 0o644)
    }

    /// Takes one out.
    pub fn remove(&self, number: u64) -> io::Result<()> {
        fs::remove_file(self.file(number))
    }

    /// Drops what is over the bounds, the oldest first. Says how many.
    pub fn trim(&self, now: SystemTime) -> io::Result<u64> {
        let (mut bytes, mut dropped) = (0_u64, 0);
        for number in self.pending()?.into_iter().rev() {
            let metadata = self.file(number).metadata()?;
            bytes = bytes.saturating_add(metadata.len());
            // A clock that was put back makes nothing old.
            let age = metadata
                .modified()
                .and_then(|made| now.duration_since(made).map_err(io::Error::other));
            if bytes > BYTES || age.is_ok_and(|age| age > AGE) {
                self.remove(number)?;
                dropped += 1;
            }
        }
        Ok(dropped)
    }

    /// Returns the size of all reports in the spool, in bytes.
    pub fn bytes(&self) -> io::Result<u64> {
        let pending = self.pending()?.into_iter();
        pending
            .map(|number| Ok(self.file(number).metadata()?.len()))
            .sum()
    }

    fn file(&self, number: u64) -> PathBuf {
        self.path.join(name(number))
    }
}

fn name(number: u64) -> String {
    format!("{number:020}.json")
}

fn number(name: &OsStr) -> Option<u64> {
    let name = name.to_str()?;
    let digits = name.strip_suffix(".json")?;
    let number = digits.parse().ok()?;
    // `9.json` and `+9.json` are numbers, too: with two names for one number, the wrong file would be removed.
    (self::name(number) == name).then_some(number)
}
