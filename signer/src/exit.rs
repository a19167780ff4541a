//! Exit codes, and errors that know theirs.

use std::{fmt, process::ExitCode};

/// How a command ended. The numbers are part of the command line's contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, or verified.
    Done,
    /// Something failed that no argument or image is to blame for.
    Internal,
    /// Wrong arguments, or a declaration, key or trust file that cannot be used.
    Usage,
    /// What is there does not verify.
    NotVerified,
    /// Something is missing or cannot be read, so that nothing can be said.
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

/// What a command returns.
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
        match &self.next {
            Some(next) => write!(f, "\n  next: {next}"),
            None => Ok(()),
        }
    }
}

/// What has no exit code of its own is an internal error.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self {
            exit: Exit::Internal,
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
    fn an_error_says_what_why_and_what_next() {
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
}
