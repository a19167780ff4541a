//! Output of the program: `tell!` writes a line on standard output, `complain!` on standard error, and [`write()`]
//! prints the data that was asked for.
//!
//! Output that fails changes nothing else. With `panic = "abort"` the standard macros end a program by SIGABRT as soon
//! as nobody reads it any more or the disk behind it is full, and a boot that waits for a verdict would get none.

use std::{fmt, io, io::Write};

/// Prints a line on standard error, if that can be.
macro_rules! complain {
    ($($words:tt)*) => {
        $crate::host::output::complain(::std::format_args!($($words)*))
    };
}

/// Prints a line on standard output, if that can be.
macro_rules! tell {
    ($($words:tt)*) => {
        $crate::host::output::tell(::std::format_args!($($words)*))
    };
}

/// See `complain!`.
pub fn complain(line: fmt::Arguments<'_>) {
    // There is nowhere left to say that it could not be said.
    let _ = io::stderr()
        .lock()
        .write_all(format!("{line}\n").as_bytes());
}

/// See `tell!`.
pub fn tell(line: fmt::Arguments<'_>) {
    write(&format!("{line}\n"));
}

/// Prints all of `text` on standard output. The exit code is that of what was done, also if nobody could read it.
pub fn write(text: &str) {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if let Err(error) = written
        // Who reads through `head` closed the pipe on purpose.
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        complain!("earmark-agent: failed to write the result: {error}, ignoring");
    }
}
