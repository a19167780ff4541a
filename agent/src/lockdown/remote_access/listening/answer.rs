//! Sockets that listen, out of the kernel's answer. Nothing here touches a socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::super::super::netlink::{self, GARBLED, Progress, Refusal, message::u32_at};

/// Of each kind, for a finding.
const SHOWN: usize = 4;
/// `SOCK_DIAG_BY_FAMILY`.
pub(super) const BY_FAMILY: u16 = 20;
/// `TCP_LISTEN`.
pub(super) const LISTEN: u8 = 10;

/// Listeners of root and of others: the first few of each, and how many there are.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in super::super) struct Found {
    pub root: Listeners,
    pub others: Listeners,
}

/// Listening sockets of one kind.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in super::super) struct Listeners {
    pub(super) shown: Vec<(SocketAddr, u32)>,
    pub(super) count: usize,
}

impl Found {
    pub(super) fn add(&mut self, address: SocketAddr, owner: u32) {
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

    pub(super) fn merge(&mut self, other: Self) {
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

/// Takes the sockets out of a piece of the answer.
pub(super) fn take(piece: &[u8], port: u16, found: &mut Found) -> Result<Progress, Refusal> {
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
