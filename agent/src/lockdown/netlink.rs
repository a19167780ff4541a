//! One question to the kernel over netlink, and its answer: routing rules, listening sockets.

pub(super) mod message;

use std::{
    fmt,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind,
        netlink::{self, SocketAddrNetlink},
        recvfrom, sendto, socket_with,
        sockopt::{Timeout, set_socket_timeout},
    },
};

use self::message::{DONE, ERROR, INTERRUPTED, Message, OVERRUN, SEQUENCE, messages, u32_at};
use super::{cause::Probe, item::Unseen, look::Look};

/// The kernel answers at once, or not at all.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is read at a time: more than the kernel puts into one piece.
const PIECE: usize = 64 * 1024;
/// Pieces of an answer, and whatever else comes in meanwhile.
const MOST_PIECES: usize = 8_192;
pub(super) const GARBLED: Refusal = Refusal::Answer("its answer does not add up");
/// What changes all the time is listed again, but not for ever.
const ATTEMPTS: usize = 5;
/// An answer takes no longer than this, however much of it there is.
pub(super) const LONGEST: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
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
            Self::Exists => f.write_str("there is one already"),
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
    /// What could not be seen for it. A list that did not end is as `crowd` says.
    pub fn unseen(self, what: &str, crowd: Probe) -> Unseen {
        let text = format!("failed to list {what}: {self}");
        match self {
            Self::Errno(errno) => Unseen::errno(errno, text),
            Self::Late => Unseen::Unfit(crowd, text),
            Self::Unsupported | Self::Exists | Self::Answer(_) => Unseen::Hidden(text),
        }
    }
}

/// What is known after a piece of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// There is more to come.
    More,
    /// That was all.
    Done,
    /// The rules changed meanwhile.
    Again,
}

/// Refuses to ask in another network than the host's: a unit with a network of its own would look at, and
/// shut, an empty one.
pub(super) fn must_be_of_the_host(look: &Look<'_>) -> Result<(), Unseen> {
    let of = |process: &str| look.link(&format!("proc/{process}/ns/net"));
    match (of("self")?, of("1")?) {
        (Some(own), Some(first)) if own == first => Ok(()),
        (Some(_), Some(_)) => Err("this is not the network of the host".into()),
        _ => Err("cannot tell whose network this is ('/proc/1/ns/net')".into()),
    }
}

/// A protocol of netlink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// `NETLINK_ROUTE`.
    Route,
    /// `NETLINK_SOCK_DIAG`.
    Sockets,
}

impl Of {
    const fn protocol(self) -> Option<Protocol> {
        match self {
            // No protocol is the first one.
            Self::Route => None,
            Self::Sockets => Some(netlink::SOCK_DIAG),
        }
    }
}

/// Asks for a list, piece by piece. What changes meanwhile is asked for again, from the start: `begin` is called
/// before each attempt.
pub(super) fn list(
    of: Of,
    question: &[u8],
    mut begin: impl FnMut(),
    mut each: impl FnMut(&[u8]) -> Result<Progress, Refusal>,
) -> Result<(), Refusal> {
    for _ in 0..ATTEMPTS {
        begin();
        if ask(of, question, &mut each)? == Progress::Done {
            return Ok(());
        }
    }
    Err(Refusal::Late)
}

/// Asks for something to be done, and waits until it is.
pub(super) fn ask_for(question: &[u8]) -> Result<(), Refusal> {
    let each = |piece: &[u8]| take(piece, |_, _| Ok(()));
    ask(Of::Route, question, each).map(|_| ())
}

fn ask(
    of: Of,
    question: &[u8],
    mut each: impl FnMut(&[u8]) -> Result<Progress, Refusal>,
) -> Result<Progress, Refusal> {
    let began = Instant::now();
    let socket: OwnedFd = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        of.protocol(),
    )?;
    let kernel = SocketAddrNetlink::new(0, 0);
    bind(&socket, &kernel)?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    sendto(&socket, question, SendFlags::empty(), &kernel)?;
    let mut buffer = vec![0; PIECE];
    let mut is_interrupted = false;
    for _ in 0..MOST_PIECES {
        if began.elapsed() > LONGEST {
            return Err(Refusal::Late);
        }
        let received = recvfrom(&socket, buffer.as_mut_slice(), RecvFlags::TRUNC);
        let (kept, whole, from) = match received {
            Err(Errno::INTR) => continue,
            other => other?,
        };
        // Anybody with CAP_NET_ADMIN may send to this socket.
        let from = from.and_then(|from| SocketAddrNetlink::try_from(from).ok());
        if from.is_none_or(|from| from.pid() != 0) {
            continue;
        }
        if whole > kept {
            return Err(Refusal::Answer("its answer is too long"));
        }
        match each(buffer.get(..kept).unwrap_or_default())? {
            Progress::Done if is_interrupted => return Ok(Progress::Again),
            Progress::Done => return Ok(Progress::Done),
            // What is left of the answer is read, so that the next one is to the next question.
            Progress::Again => is_interrupted = true,
            Progress::More => {}
        }
    }
    Err(Refusal::Late)
}

/// Takes the messages out of a piece of the answer; each gets the kind and the body of one.
pub(super) fn take(
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
        number @ -4095..=-1 => Err(Errno::from_raw_os_error(number.saturating_neg()).into()),
        _ => Err(GARBLED),
    }
}
