//! The terminal: the view has a screen of its own, which is given back however the command ends.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    exit::{Failure, Outcome},
    fleet::{
        Status,
        render::{Table, states_text},
    },
    io::output,
};

/// A screen that is redrawn, or lines where there is no terminal.
pub struct Screen {
    is_terminal: bool,
}

/// The alternate screen without a cursor; the one before with it; the upper left corner of an empty one.
const TAKE: &[u8] = b"\x1b[?1049h\x1b[?25l";
const GIVE_BACK: &[u8] = b"\x1b[?25h\x1b[?1049l";
const CLEAR: &str = "\x1b[H\x1b[2J";
/// A terminal that does not say how large it is.
const SIZE: (u16, u16) = (24, 80);

impl Screen {
    pub fn open() -> Outcome<Self> {
        let is_terminal = io::stdout().is_terminal();
        if is_terminal {
            give_back_on_signals()?;
            write(TAKE);
        }
        Ok(Self { is_terminal })
    }

    /// Shows it, as much of it as there is room for. False, if nobody reads it any more.
    pub fn show(&self, status: &Status) -> bool {
        if !self.is_terminal {
            let line = format!("{} {}\n", output::utc(status.time), line(status));
            return write(line.as_bytes());
        }
        let (rows, columns) = size();
        let text = Table::short(status, rows).to_string();
        let mut view = CLEAR.to_owned();
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().take(rows.saturating_sub(1)).enumerate() {
            if index > 0 {
                view.push_str("\r\n");
            }
            view.extend(line.chars().take(columns));
        }
        if lines.len() >= rows {
            view.push_str("\r\n  …");
        }
        write(view.as_bytes())
    }

    /// Says why there is nothing new, and leaves the last view.
    pub fn trouble(&self, failure: &Failure) {
        let what = failure.to_string();
        let what = what.lines().next().unwrap_or_default();
        if self.is_terminal {
            let (rows, columns) = size();
            let said: String = format!("not read: {what}").chars().take(columns).collect();
            write(format!("\x1b[{rows};1H\x1b[2K{said}").as_bytes());
            return;
        }
        output::note(&format!("not read, looking again: {what}"));
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.is_terminal {
            // There is no other terminal to tell that this one is gone.
            write(GIVE_BACK);
        }
    }
}

/// A look in a line.
fn line(status: &Status) -> String {
    let mut line = format!(
        "{}: {}",
        output::count(status.total(), "host", "hosts"),
        states_text(status)
    );
    for (image, hosts) in status.images.iter().filter(|(image, _)| !image.is_empty()) {
        line.push_str(&format!(
            "; latest of {image}: {}, {} violated",
            output::count(hosts.on_latest, "host", "hosts"),
            output::thousands(hosts.violated_on_latest)
        ));
    }
    let unread = status.reports.unread.count();
    if unread > 0 {
        let unread = output::count(unread, "report", "reports");
        line.push_str(&format!("; {unread} NOT READ"));
    }
    line
}

fn size() -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    let (rows, columns) = size.map_or(SIZE, |size| (size.ws_row, size.ws_col));
    let (rows, columns) = if rows == 0 || columns == 0 {
        SIZE
    } else {
        (rows, columns)
    };
    (rows.into(), columns.into())
}

/// Writes to standard output; false, if its reader is gone. A full disk is no reader that went away: the view is
/// missing, and what is waited for may still come.
fn write(bytes: &[u8]) -> bool {
    let mut out = io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    written.map_or_else(|error| error.kind() != io::ErrorKind::BrokenPipe, |()| true)
}

/// Ends the program by a signal as a shell would tell it, with the terminal as it was.
fn give_back_on_signals() -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start")?;
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ];
    let signals = {
        let _in = runtime.enter();
        kinds.map(|kind| signal(kind).map(|signal| (kind, signal)))
    };
    let signals = signals.into_iter().collect::<io::Result<Vec<_>>>();
    let mut signals = signals.context("failed to wait for signals")?;
    let thread = earmark_scan::threads::spawn(move || {
        let first = runtime.block_on(std::future::poll_fn(|context| {
            let mut ready = signals
                .iter_mut()
                .filter_map(|(kind, signal)| signal.poll_recv(context).is_ready().then_some(*kind));
            ready
                .next()
                .map_or(std::task::Poll::Pending, std::task::Poll::Ready)
        }));
        // Not through the lock of the standard library, which whoever writes a view may hold.
        let _ = rustix::io::write(io::stdout(), GIVE_BACK);
        std::process::exit(128 + first.as_raw_value());
    });
    thread.context("failed to start a thread that waits for signals")?;
    Ok(())
}
