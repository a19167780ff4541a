//! Exit codes, and errors that know theirs.

use std::{fmt, io, process::ExitCode};

use earmark_scan::ScanError;
use rustix::io::Errno;

/// Exit status of a command. The numbers are part of the command line's contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, or verified.
    Done,
    /// Something failed that no argument or image is to blame for.
    Internal,
    /// Wrong arguments, or a declaration, key or trust file that cannot be used.
    Usage,
    /// Failed verification, such as of a root, a seal or a channel document.
    NotVerified,
    /// Something is missing, or cannot be read or written, so that nothing can be said.
    Undecided,
    /// The root is not fit to be sealed.
    Lint,
    /// Hosts of the fleet are not as they should be.
    NotCurrent,
}

impl Exit {
    /// The number that the process ends with.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Internal => 1,
            Self::Usage => 2,
            Self::NotVerified => 10,
            Self::Undecided => 11,
            Self::Lint => 15,
            Self::NotCurrent => 16,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Result of a command.
pub type Outcome<T = Exit> = Result<T, Failure>;

/// An error, the exit code that it leads to, and what to do next.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    error: anyhow::Error,
    next: Option<String>,
}

impl Failure {
    /// Of this kind, saying `message`.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            error: anyhow::Error::msg(message.into()),
            next: None,
        }
    }

    /// With what was being done.
    pub fn context(mut self, doing: impl Into<String>) -> Self {
        self.error = self.error.context(doing.into());
        self
    }

    /// With the next step for the person who reads it.
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// With another next step, beside the one that it has.
    pub fn or(mut self, other: impl Into<String>) -> Self {
        let other = other.into();
        self.next = Some(match self.next {
            Some(next) => format!("{next}; or {other}"),
            None => other,
        });
        self
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = String::new();
        for cause in self.error.chain() {
            let cause = cause.to_string();
            // Some errors tell their cause themselves, and are asked for it again.
            if said.ends_with(&cause) {
                continue;
            }
            let colon = if said.is_empty() { "" } else { ": " };
            write!(f, "{colon}{cause}")?;
            said = cause;
        }
        match self.next.as_deref().or_else(|| self.remedy()) {
            Some(next) => write!(f, "\n  next: {next}"),
            None => Ok(()),
        }
    }
}

impl Failure {
    /// The next step for a fault of the host, which is the same whatever was being done.
    fn remedy(&self) -> Option<&'static str> {
        match errno(&self.error)? {
            Errno::NOSPC => Some("make room on that file system, and run this again"),
            Errno::DQUOT => Some("make room in this user's quota, and run this again"),
            Errno::ROFS => Some("mount that file system writable, or name another place"),
            Errno::MFILE | Errno::NFILE => Some("raise the limit of open files: ulimit -n 4096"),
            Errno::AGAIN | Errno::NOMEM => {
                Some("raise the limit of processes or memory: ulimit -u, or TasksMax= of its unit")
            }
            Errno::IO => Some("look at the disk: dmesg"),
            _ => None,
        }
    }
}

/// The error of the kernel at the bottom of an error.
fn errno(error: &anyhow::Error) -> Option<Errno> {
    error.chain().find_map(|cause| {
        if let Some(errno) = cause.downcast_ref::<Errno>() {
            return Some(*errno);
        }
        let cause = match cause.downcast_ref::<ScanError>() {
            Some(error) => &error.cause,
            None => cause.downcast_ref::<io::Error>()?,
        };
        cause.raw_os_error().map(Errno::from_raw_os_error)
    })
}

/// Derives the exit code of an error that nobody gave one from its cause: an error of the kernel is a fault of the
/// host (11), anything else one of this program (1).
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let mut causes = error.chain();
        let of_the_host = causes
            .any(|cause| cause.is::<io::Error>() || cause.is::<Errno>() || cause.is::<ScanError>());
        Self {
            exit: if of_the_host {
                Exit::Undecided
            } else {
                Exit::Internal
            },
            error,
            next: None,
        }
    }
}

/// Gives an error its exit code.
pub trait Exits<T> {
    /// Ends with `exit`, if this is an error.
    fn exits(self, exit: Exit) -> Outcome<T>;
}

impl<T, E: Into<anyhow::Error>> Exits<T> for Result<T, E> {
    fn exits(self, exit: Exit) -> Outcome<T> {
        self.map_err(|error| Failure {
            exit,
            error: error.into(),
            next: None,
        })
    }
}

/// Says what to do next.
pub trait Next {
    /// With the next step, if this is an error that has none: who is nearer to the cause knows better.
    fn or_next(self, next: impl FnOnce() -> String) -> Self;
}

impl<T> Next for Outcome<T> {
    fn or_next(self, next: impl FnOnce() -> String) -> Self {
        self.map_err(|failure| match failure.next {
            None => failure.next(next()),
            Some(_) => failure,
        })
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn failure_message_has_context_cause_and_next_step() {
        let failure = Err::<(), _>(std::io::Error::other("disk on fire"))
            .context("failed to read 'x'")
            .exits(Exit::Undecided)
            .or_next(|| "put it out".to_owned())
            .unwrap_err();
        assert_eq!(
            failure.to_string(),
            "failed to read 'x': disk on fire\n  next: put it out"
        );
        assert_eq!(failure.exit().code(), 11);
    }

    #[test]
    fn fault_of_the_host_is_undecided_and_a_fault_of_the_program_is_internal() {
        let of = |error: anyhow::Error| Failure::from(error.context("failed to write 'x'"));
        for errno in [
            Errno::NOSPC,
            Errno::DQUOT,
            Errno::IO,
            Errno::ROFS,
            Errno::MFILE,
            Errno::ACCESS,
        ] {
            for error in [io::Error::from(errno).into(), errno.into()] {
                let failure = of(error);
                assert_eq!(failure.exit(), Exit::Undecided, "{failure}");
            }
        }
        let full = of(io::Error::from(Errno::NOSPC).into()).to_string();
        assert!(full.contains("next: make room"), "{full}");
        assert_eq!(of(anyhow::anyhow!("a bug")).exit(), Exit::Internal);
    }
}
