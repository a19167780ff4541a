//! One question to the kernel over netlink, and its answer: routing rules, listening sockets.

mod answer;
pub(super) mod message;

use std::{
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

pub(super) use self::answer::{GARBLED, LONGEST, Progress, Refusal, take};
use super::{item::Unseen, look::Look};

/// The kernel answers at once, or not at all.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes that are read at a time: more than the kernel puts into one piece.
const PIECE: usize = 64 * 1024;
/// Pieces of an answer, and whatever else comes in meanwhile.
const MOST_PIECES: usize = 8_192;
/// Attempts at a list: one that changed meanwhile is listed again, but not for ever.
const ATTEMPTS: usize = 5;
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
    // A socket for each question: all have the same sequence number, and an answer that was given up would be mixed in.
    let socket: OwnedFd = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        of.protocol(),
    )?;
    let kernel = SocketAddrNetlink::new(0, 0);
    bind(&socket, &kernel)?;
    // Without it a kernel that says nothing would hold the boot until the timeout of the unit.
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    sendto(&socket, question, SendFlags::empty(), &kernel)?;
    let mut buffer = vec![0; PIECE];
    let mut is_interrupted = false;
    for _ in 0..MOST_PIECES {
        // The timeout above is for one piece: a process that adds sockets meanwhile could keep them coming.
        if began.elapsed() > LONGEST {
            return Err(Refusal::Late);
        }
        // MSG_TRUNC has the kernel return the whole length, so that a piece that was cut is seen.
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
            return Err(Refusal::Answer("its answer is larger than the limit"));
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
