//! An answer of the kernel over netlink: its messages, its end, and the reason why there is none. Nothing here touches
//! a socket.

use std::{fmt, time::Duration};

use rustix::io::Errno;

use super::{
    super::{cause::Probe, item::Unseen},
    message::{DONE, ERROR, INTERRUPTED, Message, OVERRUN, SEQUENCE, messages, u32_at},
};

/// An answer takes no longer than this, however much of it there is.
pub(in super::super) const LONGEST: Duration = Duration::from_secs(10);

pub(in super::super) const GARBLED: Refusal = Refusal::Answer("its answer is malformed");

/// Reason for which there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Refusal {
    /// The kernel has nothing of this kind.
    Unsupported,
    /// There is such a thing already.
    Exists,
    /// There was more of it than could be listened to.
    Late,
    /// Something else.
    Errno(Errno),
    /// This cannot be its answer.
    Answer(&'static str),
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::AFNOSUPPORT | Errno::OPNOTSUPP => Self::Unsupported,
            Errno::EXIST => Self::Exists,
            errno => Self::Errno(errno),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported => f.write_str("the kernel has none for this family"),
            Self::Exists => f.write_str("one exists already"),
            Self::Late => write!(
                f,
                "its answer did not end within {} seconds",
                LONGEST.as_secs()
            ),
            Self::Errno(errno) => write!(f, "{errno}"),
            Self::Answer(problem) => f.write_str(problem),
        }
    }
}

impl Refusal {
    /// Turns the refusal into the reason why `what` could not be seen. A list that did not end is put down to the
    /// row `crowd`.
    pub fn unseen(self, what: &str, crowd: Probe) -> Unseen {
        let text = format!("failed to list {what}: {self}");
        match self {
            Self::Errno(errno) => Unseen::errno(errno, text),
            Self::Late => Unseen::Unfit(crowd, text),
            Self::Unsupported | Self::Exists | Self::Answer(_) => Unseen::Hidden(text),
        }
    }
}

/// State of the list after a piece of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Progress {
    /// There is more to come.
    More,
    /// That was all.
    Done,
    /// The rules changed meanwhile.
    Again,
}

/// Takes the messages out of a piece of the answer; each gets the kind and the body of one.
pub(in super::super) fn take(
    piece: &[u8],
    mut each: impl FnMut(u16, &[u8]) -> Result<(), Refusal>,
) -> Result<Progress, Refusal> {
    let mut progress = Progress::More;
    let is_ours = |message: &Message<'_>| message.sequence == SEQUENCE;
    for message in messages(piece).ok_or(GARBLED)?.into_iter().filter(is_ours) {
        if message.flags & INTERRUPTED != 0 {
            progress = Progress::Again;
        }
        match message.kind {
            DONE => return finished(message.body, progress),
            ERROR => {
                u32_at(message.body, 0).ok_or(GARBLED)?;
                return finished(message.body, progress);
            }
            // Data was lost for want of room: a shortage, which any process can cause.
            OVERRUN => return Err(Refusal::Errno(Errno::NOBUFS)),
            kind => each(kind, message.body)?,
        }
    }
    Ok(progress)
}

/// The end of an answer has a number: nothing, or the negative of an error's.
fn finished(body: &[u8], progress: Progress) -> Result<Progress, Refusal> {
    match u32_at(body, 0).map_or(0, u32::cast_signed) {
        0 if progress == Progress::Again => Ok(Progress::Again),
        0 => Ok(Progress::Done),
        // The kernel's range of error numbers (`MAX_ERRNO`).
        number @ -4095..=-1 => Err(Errno::from_raw_os_error(number.saturating_neg()).into()),
        _ => Err(GARBLED),
    }
}
