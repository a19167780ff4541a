//! Reports in a directory, to which hosts may have written: nothing in it is followed or waited for.

use std::{
    fs::File,
    io::{self, Read},
    num::NonZeroUsize,
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use anyhow::{Context, anyhow};
use earmark_scan::threads::spawn_up_to;
use rustix::{
    fs::{CWD, FileType, Mode, OFlags, RawDir, fstat, openat},
    io::Errno,
};

use super::{Asked, Found, READ};
use crate::{
    exit::{Exit, Exits, Next, Outcome},
    fleet::report::Taker,
    io::output::quote,
};

/// More names than that are a mistake, or made to exhaust memory: they are held, and no more than they.
const NAMES: usize = 4_000_000;
/// Number of names that a thread claims at a time.
const TURN: usize = 256;
/// More threads than that wait for the directory's lock, and for nothing else.
const THREADS: usize = 8;

/// Names one after another, each with the NUL that ends it: a string for each would cost as much again.
struct Names {
    text: Vec<u8>,
    ends: Vec<usize>,
}

pub fn read(path: &Path, asked: Asked<'_>) -> Outcome<Found> {
    let reading = || format!("failed to read the reports in {}", quote(path));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(CWD, path, flags, Mode::empty())
        .map_err(io::Error::from)
        .with_context(reading)
        .exits(Exit::Undecided)
        .or_next(|| "name the directory that hosts or a server put reports in".to_owned())?;
    let names = Names::list(directory.as_fd())
        .with_context(reading)
        .exits(Exit::Undecided)?;
    let next = AtomicUsize::new(0);
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let mut found = Found::default();
    thread::scope(|scope| {
        let work = || some(directory.as_fd(), &names, &next, asked);
        for part in spawn_up_to(scope, threads.min(THREADS), work).join() {
            found.merge(part);
        }
        Ok(found)
    })
}

/// Reads what no other thread has taken.
fn some(directory: BorrowedFd<'_>, names: &Names, next: &AtomicUsize, asked: Asked<'_>) -> Found {
    let mut found = Found::default();
    let mut taker = Taker::new(asked.now, asked.certificates);
    let mut buffer = Vec::with_capacity(READ);
    loop {
        let first = next.fetch_add(TURN, Ordering::Relaxed);
        if first >= names.ends.len() {
            return found;
        }
        for index in first..(first + TURN).min(names.ends.len()) {
            let name = names.get(index);
            let shown = String::from_utf8_lossy(name);
            found.names += 1;
            match one(directory, name, &mut buffer) {
                Ok(None) => found.names -= 1,
                Ok(Some(true)) => found.take(&mut taker, &shown, &buffer),
                Ok(Some(false)) => found.unusable.add(&shown, "it is not a regular file"),
                Err(error) => found.unread.add(&shown, &error.to_string()),
            }
        }
    }
}

/// Reads one file, if it is a regular one; nothing, if it has gone.
fn one(directory: BorrowedFd<'_>, name: &[u8], buffer: &mut Vec<u8>) -> io::Result<Option<bool>> {
    // A FIFO would be waited for, and a link may lead anywhere.
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = match openat(directory, name, flags, Mode::empty()) {
        // A host that took back a report, or a writer's temporary name, since the names were listed.
        Err(Errno::NOENT) => return Ok(None),
        // A link; a socket, or a device that nothing drives.
        Err(Errno::LOOP | Errno::NXIO) => return Ok(Some(false)),
        file => file?,
    };
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Ok(Some(false));
    }
    buffer.clear();
    File::from(file).take(READ as u64).read_to_end(buffer)?;
    Ok(Some(true))
}

impl Names {
    /// Lists them, but for those that begin with a dot: writers have such while they write.
    fn list(directory: BorrowedFd<'_>) -> anyhow::Result<Self> {
        let mut names = Self {
            text: Vec::new(),
            ends: Vec::new(),
        };
        let mut buffer = Vec::with_capacity(1 << 16);
        let mut entries = RawDir::new(directory, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(io::Error::from)?;
            let name = entry.file_name().to_bytes();
            if name.starts_with(b".") {
                continue;
            }
            if names.ends.len() >= NAMES {
                return Err(anyhow!("it has more than {NAMES} entries"));
            }
            names.text.extend_from_slice(name);
            names.ends.push(names.text.len());
        }
        Ok(names)
    }

    fn get(&self, index: usize) -> &[u8] {
        let start = index
            .checked_sub(1)
            .and_then(|before| self.ends.get(before));
        let end = self.ends.get(index).copied().unwrap_or_default();
        self.text
            .get(start.copied().unwrap_or_default()..end)
            .unwrap_or_default()
    }
}
