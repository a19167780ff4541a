//! Who listens for TCP connections, as the kernel lists it: those that listen, on the ports that are asked for,
//! alone. How many connections there are makes no difference.
//!
//! A socket has the user id of who made it, as it is outside of every user namespace: `root` in a namespace of an
//! ordinary user is listed as that user, since the kernel lets nobody map the host's id 0 but the host's root; and
//! a socket is not given to root by `fchown` without `CAP_CHOWN`. What a set-uid program or a service of root's
//! opens, and then hands on to others, is root's.

mod table;

use std::{
    cell::RefCell,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use super::super::{
    cause::Probe,
    item::Unseen,
    look::Look,
    netlink::{
        self, GARBLED, Of, Progress, Refusal,
        message::{DUMP, REQUEST, message, u32_at},
    },
};

/// How it is looked at, for people.
pub(super) const PROBE: &str = "listening sockets (sock_diag)";
/// Of each kind, for a finding.
const SHOWN: usize = 4;
/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// `AF_INET`, `AF_INET6`.
const FAMILIES: [u8; 2] = [2, 10];
/// `IPPROTO_TCP`.
const TCP: u8 = 6;
/// `TCP_LISTEN`, as a state and in a set of states.
const LISTEN: u8 = 10;
const LISTENING: u32 = 1 << 10;

/// Who listens: the first few of root's and of others', and how many there are.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub root: Listeners,
    pub others: Listeners,
}

/// Listening sockets of one kind.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Listeners {
    shown: Vec<(SocketAddr, u32)>,
    count: usize,
}

impl Found {
    fn add(&mut self, address: SocketAddr, owner: u32) {
        let listeners = if owner == 0 {
            &mut self.root
        } else {
            &mut self.others
        };
        listeners.count = listeners.count.saturating_add(1);
        if listeners.shown.len() < SHOWN && !listeners.shown.contains(&(address, owner)) {
            listeners.shown.push((address, owner));
            listeners.shown.sort_unstable();
        }
    }

    fn merge(&mut self, other: Self) {
        for (listeners, more) in [
            (&mut self.root, other.root),
            (&mut self.others, other.others),
        ] {
            listeners.count = listeners.count.saturating_add(more.count);
            listeners.shown.extend(more.shown);
            listeners.shown.sort_unstable();
            listeners.shown.truncate(SHOWN);
        }
    }
}

impl Listeners {
    /// The listeners in words, if there are any.
    pub fn text(&self) -> Option<String> {
        let shown = self.shown.iter();
        let shown = shown.map(|(address, owner)| format!("{address} (user id {owner})"));
        let mut text = shown.collect::<Vec<_>>().join(", ");
        if let Some(more @ 1..) = self.count.checked_sub(self.shown.len()) {
            text.push_str(&format!(" and {more} more"));
        }
        (self.count > 0).then_some(text)
    }
}

/// Who listens on one of these ports, as far as it was seen, and why it was not seen to its end.
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
        // Where it cannot, the look falls back to the kernel's text.
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

/// Takes the sockets out of a piece of the answer.
fn take(piece: &[u8], port: u16, found: &mut Found) -> Result<Progress, Refusal> {
    netlink::take(piece, |kind, body| {
        if kind == BY_FAMILY {
            let (address, owner) = socket(body).ok_or(GARBLED)?;
            // Of a kernel that ignores what it is asked for, the rest is left out here.
            if address.port() == port {
                found.add(address, owner);
            }
        }
        Ok(())
    })
}

/// The address and the user of a socket that listens, from a `struct inet_diag_msg`.
fn socket(body: &[u8]) -> Option<(SocketAddr, u32)> {
    let [family, state, _, _, port @ ..] = body.first_chunk::<6>()?;
    if *state != LISTEN {
        return None;
    }
    let ip = match *family {
        2 => {
            let address: &[u8; 4] = body.get(8..)?.first_chunk()?;
            IpAddr::from(Ipv4Addr::from(*address))
        }
        10 => {
            let address: &[u8; 16] = body.get(8..)?.first_chunk()?;
            IpAddr::from(Ipv6Addr::from(*address))
        }
        _ => return None,
    };
    let owner = u32_at(body, 64)?;
    Some((SocketAddr::new(ip, u16::from_be_bytes(*port)), owner))
}

#[cfg(test)]
mod tests;
