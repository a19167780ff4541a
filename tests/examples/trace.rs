//! Writes which files any process opens on a file system: `trace DIRECTORY STARTED`, in the initrd of a
//! machine that a test boots.
//!
//! Each file is one line, at its first time: microseconds since the kernel's start, and its inode. No path,
//! which would begin elsewhere in each mount namespace. The file STARTED is there once the first open
//! counts. It ends with the machine.

use std::{
    collections::BTreeSet,
    env,
    error::Error,
    ffi::OsStr,
    fs::{self, File},
    sync::mpsc,
    thread,
    time::Duration,
};

use nix::{
    sys::fanotify::{EventFFlags, Fanotify, InitFlags, MarkFlags, MaskFlags},
    time::{ClockId, clock_gettime},
};
use rustix::fs::fstat;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = env::args_os().skip(1);
    let (Some(directory), Some(started)) = (words.next(), words.next()) else {
        return Err("usage: trace DIRECTORY STARTED".into());
    };
    let flags =
        InitFlags::FAN_CLASS_NOTIF | InitFlags::FAN_CLOEXEC | InitFlags::FAN_UNLIMITED_QUEUE;
    let group = Fanotify::init(flags, EventFFlags::O_RDONLY | EventFFlags::O_CLOEXEC)?;
    group.mark(
        MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_FILESYSTEM,
        MaskFlags::FAN_OPEN | MaskFlags::FAN_OPEN_EXEC,
        File::open(directory)?,
        None::<&OsStr>,
    )?;
    fs::write(started, "")?;
    // A serial port is slow: whoever waits for it would take the time of an event too late.
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for (micros, inode) in receiver {
            println!("{micros} {inode}");
        }
    });
    let mut seen = BTreeSet::new();
    loop {
        for event in group.read_events()? {
            if event.mask().contains(MaskFlags::FAN_Q_OVERFLOW) {
                return Err("events were lost".into());
            }
            let inode = fstat(event.fd().ok_or("an event without a file")?)?.st_ino;
            if seen.insert(inode) {
                let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?);
                sender.send((now.as_micros(), inode))?;
            }
        }
    }
}
