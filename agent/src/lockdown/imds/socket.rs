//! One question to rtnetlink, and its answer.

use std::{fmt, os::fd::OwnedFd, time::Duration};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind,
        netlink::SocketAddrNetlink,
        recvfrom, sendto, socket_with,
        sockopt::{Timeout, set_socket_timeout},
    },
};

use super::{
    message::{DONE, ERROR, INTERRUPTED, Message, NEW_RULE, OVERRUN, SEQUENCE, messages, u32_at},
    rule::Rule,
};

/// The kernel answers at once, or not at all.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is read at a time: more than the kernel puts into one piece.
const PIECE: usize = 64 * 1024;
/// Hosts with rules for each container have thousands.
const MOST_RULES: usize = 65_536;
/// Pieces of an answer, and whatever else comes in meanwhile.
const MOST_PIECES: usize = 8_192;
const GARBLED: Refusal = Refusal::Answer("its answer does not add up");
/// Rules that change all the time are listed again, but not for ever.
const ATTEMPTS: usize = 5;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The kernel has no rules for this family.
    Unsupported,
    /// There is such a rule.
    Exists,
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
            Self::Unsupported => f.write_str("the kernel has no rules for this family"),
            Self::Exists => f.write_str("there is such a rule"),
            Self::Errno(errno) => write!(f, "{errno}"),
            Self::Answer(problem) => f.write_str(problem),
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

/// Asks for a list of rules.
pub(super) fn rules(question: &[u8]) -> Result<Vec<Rule>, Refusal> {
    for _ in 0..ATTEMPTS {
        let mut rules = Vec::new();
        if ask(question, |piece| take(piece, &mut rules))? == Progress::Done {
            return Ok(rules);
        }
    }
    Err(Refusal::Answer("the rules change all the time"))
}

/// Asks for something to be done, and waits until it is.
pub(super) fn ask_for(question: &[u8]) -> Result<(), Refusal> {
    ask(question, |piece| take(piece, &mut Vec::new())).map(|_| ())
}

fn ask(
    question: &[u8],
    mut each: impl FnMut(&[u8]) -> Result<Progress, Refusal>,
) -> Result<Progress, Refusal> {
    // No protocol is the first one: NETLINK_ROUTE.
    let socket: OwnedFd = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let kernel = SocketAddrNetlink::new(0, 0);
    bind(&socket, &kernel)?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    sendto(&socket, question, SendFlags::empty(), &kernel)?;
    let mut buffer = vec![0; PIECE];
    let mut is_interrupted = false;
    for _ in 0..MOST_PIECES {
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
    Err(Refusal::Answer("its answer does not end"))
}

/// Takes the rules out of a piece of the answer.
pub(super) fn take(piece: &[u8], rules: &mut Vec<Rule>) -> Result<Progress, Refusal> {
    let mut progress = Progress::More;
    let is_ours = |message: &Message<'_>| message.sequence == SEQUENCE;
    for message in messages(piece).ok_or(GARBLED)?.into_iter().filter(is_ours) {
        if message.flags & INTERRUPTED != 0 {
            progress = Progress::Again;
        }
        match message.kind {
            NEW_RULE => rules.push(Rule::parse(message.body).ok_or(GARBLED)?),
            DONE => return finished(message.body, progress),
            ERROR => {
                u32_at(message.body, 0).ok_or(GARBLED)?;
                return finished(message.body, progress);
            }
            OVERRUN => return Err(Refusal::Answer("it lost a part of its answer")),
            _ => {}
        }
        if rules.len() > MOST_RULES {
            return Err(Refusal::Answer("there are too many rules"));
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
