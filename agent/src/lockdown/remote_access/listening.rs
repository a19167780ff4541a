//! Listening TCP sockets, as the kernel lists them: only those on the ports that are asked for. The number of
//! connections makes no difference.
//!
//! A socket has the user id of who made it, as it is outside of every user namespace: `root` in a namespace of an
//! ordinary user is listed as that user, since the kernel lets nobody map the host's id 0 but the host's root; and
//! a socket is not given to root by `fchown` without `CAP_CHOWN`. What a set-uid program or a service of root's
//! opens, and then hands on to others, is root's.

mod answer;
mod table;

use std::cell::RefCell;

use self::answer::{BY_FAMILY, Found, take};
use super::super::{
    cause::Probe,
    item::Unseen,
    look::Look,
    netlink::{
        self, Of, Refusal,
        message::{DUMP, REQUEST, message},
    },
};

/// Name of the probe, for people.
pub(super) const PROBE: &str = "listening sockets (sock_diag)";
/// `AF_INET`, `AF_INET6`.
const FAMILIES: [u8; 2] = [2, 10];
/// `IPPROTO_TCP`.
const TCP: u8 = 6;
/// `TCP_LISTEN`, in a set of states.
const LISTENING: u32 = 1 << 10;

/// Finds the sockets that listen on one of these ports. Returns those that were seen, and the reason if the list was
/// not seen to its end.
pub(super) fn on(look: &Look<'_>, ports: &[u16]) -> (Found, Option<Unseen>) {
    let mut found = Found::default();
    let seen = if look.root().is_live() {
        ask(look, ports, &mut found)
    } else {
        table::read(look.root(), ports, &mut found)
    };
    (found, seen.err())
}

/// Has the kernel load what answers such questions, as long as it loads anything.
pub(super) fn warm_up() {
    for family in FAMILIES {
        // Where it cannot, the look falls back to the kernel's text. Port 0 asks for all, and none of them is kept.
        let _ = dump(family, 0, &mut Found::default());
    }
}

fn ask(look: &Look<'_>, ports: &[u16], found: &mut Found) -> Result<(), Unseen> {
    netlink::must_be_of_the_host(look)?;
    for family in FAMILIES {
        for port in ports {
            match dump(family, *port, found) {
                Ok(()) => {}
                // No module answers for TCP or for sock_diag at all, and since the kernel's door is shut none is
                // loaded. That it is shut is root's doing, before anybody else came.
                Err(Refusal::Unsupported | Refusal::Errno(_)) => {
                    // The text has all ports in one list: what was found before would be counted twice.
                    *found = Found::default();
                    return table::read(look.root(), ports, found);
                }
                Err(refusal) => {
                    return Err(refusal.unseen("listening sockets", Probe::ListenersFit));
                }
            }
        }
    }
    Ok(())
}

/// Asks for the sockets of a family that listen on a port. The kernel leaves the others out. What was listed before
/// an answer broke off counts.
fn dump(family: u8, port: u16, found: &mut Found) -> Result<(), Refusal> {
    let listed = RefCell::new(Found::default());
    let begin = || *listed.borrow_mut() = Found::default();
    let each = |piece: &[u8]| take(piece, port, &mut listed.borrow_mut());
    let answer = netlink::list(Of::Sockets, &question(family, port), begin, each);
    found.merge(listed.into_inner());
    answer
}

/// `struct inet_diag_req_v2` for sockets of TCP that listen on a port.
fn question(family: u8, port: u16) -> Vec<u8> {
    let mut body = vec![family, TCP, 0, 0];
    body.extend(LISTENING.to_ne_bytes());
    // `struct inet_diag_sockid`: the local port; every other port, address, interface; no cookie.
    body.extend(port.to_be_bytes());
    body.extend([0; 38]);
    body.extend([0xff; 8]);
    message(BY_FAMILY, REQUEST | DUMP, &body)
}

#[cfg(test)]
mod tests;
