//! Exit codes. They are part of the interface: the units and other people's scripts act on them.

use std::{io, process::ExitCode};

use earmark_scan::ScanError;
use rustix::io::Errno;

use crate::{host::store::UnknownFormat, platform::imds::ImdsError};

/// Reason for the program's end; each has an exit code.
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
            // No 10: a verdict alone ends with it, and no error may look like one.
            Exit::Undecided => 11,
            Exit::FirstBoot => 12,
            Exit::Lockdown => 13,
            Exit::Report => 14,
        }
        .into()
    }
}

/// Returns the exit code of an error. A failed read or write and a service that does not answer leave the question
/// open: a disk that is full or fails, a limit on files, memory or threads is the host's. Anything else is ours.
pub fn of_error(error: &anyhow::Error) -> ExitCode {
    of(error).into()
}

fn of(error: &anyhow::Error) -> Exit {
    let is_of_the_host = |cause: &(dyn std::error::Error + 'static)| {
        cause.is::<io::Error>()
            || cause.is::<Errno>()
            || cause.is::<ScanError>()
            || cause.is::<ImdsError>()
            || cause.is::<UnknownFormat>()
    };
    // Anywhere in the chain: context that was added on the way up does not change whose fault it is.
    if error.chain().any(is_of_the_host) {
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
    fn exit_code_is_undecided_for_host_faults_and_internal_for_bugs() {
        for errno in [
            Errno::NOSPC,
            Errno::DQUOT,
            Errno::IO,
            Errno::ROFS,
            Errno::MFILE,
            Errno::FBIG,
            Errno::AGAIN,
        ] {
            let bare: anyhow::Error = errno.into();
            let told = Err::<(), _>(io::Error::from(errno)).context("failed to write 'x'");
            for error in [bare, told.unwrap_err()] {
                assert_eq!(of(&error), Exit::Undecided, "{error:#}");
            }
        }
        let late = ImdsError::Off {
            path: "x".to_owned(),
        };
        assert_eq!(of(&late.into()), Exit::Undecided);
        assert_eq!(of(&anyhow!("a bug").context("while at it")), Exit::Internal);
    }
}
