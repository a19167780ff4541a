//! Exit codes. They are part of the interface: the units and other people's scripts act on them.

use std::{io, process::ExitCode};

use earmark_scan::ScanError;
use rustix::io::Errno;

/// Why the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what it was asked.
    Done,
    /// A defect of the program.
    Internal,
    /// The command line.
    Usage,
    /// Something is missing or cannot be read.
    Undecided,
    /// First boot stopped: a step or its values failed.
    FirstBoot,
    /// A lock that is denied is not enforced.
    Lockdown,
    /// A report could not be made, or did not reach each place.
    Report,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => 0,
            Exit::Internal => 1,
            Exit::Usage => 2,
            Exit::Undecided => 11,
            Exit::FirstBoot => 12,
            Exit::Lockdown => 13,
            Exit::Report => 14,
        }
        .into()
    }
}

/// What the host could not read or write (a full disk, too many open files) leaves the question open;
/// anything else is ours.
pub fn of_error(error: &anyhow::Error) -> ExitCode {
    of(error).into()
}

fn of(error: &anyhow::Error) -> Exit {
    let of_the_host = |cause: &(dyn std::error::Error + 'static)| {
        cause.is::<ScanError>() || cause.is::<io::Error>() || cause.is::<Errno>()
    };
    if error.chain().any(of_the_host) {
        Exit::Undecided
    } else {
        Exit::Internal
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn fault_of_the_host_is_undecided_and_a_fault_of_the_program_is_internal() {
        for errno in [
            Errno::NOSPC,
            Errno::DQUOT,
            Errno::IO,
            Errno::ROFS,
            Errno::MFILE,
        ] {
            let bare: anyhow::Error = errno.into();
            let told = Err::<(), _>(io::Error::from(errno)).context("failed to write 'x'");
            for error in [bare, told.unwrap_err()] {
                assert_eq!(of(&error), Exit::Undecided, "{error:#}");
            }
        }
        assert_eq!(of(&anyhow!("a bug").context("while at it")), Exit::Internal);
    }
}
