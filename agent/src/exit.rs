//! Exit codes. They are part of the interface: the units and other people's scripts act on them.

use std::process::ExitCode;

use earmark_scan::ScanError;

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

/// What could not be read leaves the question open; anything else is ours.
pub fn of_error(error: &anyhow::Error) -> ExitCode {
    let exit = if error.downcast_ref::<ScanError>().is_some() {
        Exit::Undecided
    } else {
        Exit::Internal
    };
    exit.into()
}
