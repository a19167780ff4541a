//! The kernel's list of sockets as text, for a kernel that does not answer by `sock_diag`.
//!
//! Those that listen come first in it (`net/ipv4/tcp_ipv4.c`, `tcp_seq_start`), so that reading ends at the first
//! connection: how many of those there are is in the hands of whoever connects, and costs nothing.

use std::{
    io::{BufRead, BufReader, ErrorKind, Read},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Instant,
};

use earmark_manifest::path::ImagePath;
use earmark_scan::Root;

use super::{
    super::super::{cause::Probe, item::Unseen, netlink::LONGEST},
    Found,
};

/// The sockets in the network of PID 1, which is the host's. A service can have a network of its
/// own, as those of this program have: it would see nobody in `/proc/self/net` and call that shut.
pub(super) const LISTS: [&str; 2] = ["/proc/1/net/tcp", "/proc/1/net/tcp6"];
/// `TCP_LISTEN`.
const LISTEN: u32 = 0x0a;
/// Of a line.
const LINE: u64 = 1024;

/// Adds who listens on one of these ports.
pub(super) fn read(root: &Root, ports: &[u16], found: &mut Found) -> Result<(), Unseen> {
    let [version_4, version_6] = LISTS;
    if !list(root, version_4, ports, found)? {
        // Without a version 6 there is no such list; without a version 4 nothing was seen.
        return Err(Unseen::from(format!(
            "'{version_4}' is not there: the host's network cannot be seen from here"
        )));
    }
    list(root, version_6, ports, found)?;
    Ok(())
}

fn list(root: &Root, path: &str, ports: &[u16], found: &mut Found) -> Result<bool, Unseen> {
    let failed = |problem: &dyn std::fmt::Display| format!("failed to read '{path}': {problem}");
    let began = Instant::now();
    let list = ImagePath::from_absolute(path.as_bytes()).map_err(|error| failed(&error))?;
    let file = match root.open_regular(&list) {
        Ok((file, _)) => file,
        Err(error) if error.cause.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Unseen::io(&error.cause, error.to_string())),
    };
    let mut reader = BufReader::new(file);
    let mut next = |text: &mut String| {
        text.clear();
        let read = reader.by_ref().take(LINE).read_line(text);
        read.map_err(|error| Unseen::io(&error, failed(&error)))
    };
    let mut line = String::new();
    // The names of the columns. A list without them is not the kernel's.
    next(&mut line)?;
    if !line.trim_start().starts_with("sl ") {
        return Err(failed(&"unexpected first line").into());
    }
    while next(&mut line)? > 0 {
        let (address, state, owner) = socket(&line).ok_or_else(|| failed(&"malformed line"))?;
        if state != LISTEN {
            break;
        }
        if ports.contains(&address.port()) {
            found.add(address, owner);
        }
        // Any process may listen at every address of 127.0.0.0/8, 16 million of them.
        if began.elapsed() > LONGEST {
            let text = failed(&"more sockets listen than could be read in time");
            return Err(Unseen::Unfit(Probe::ListenersFit, text));
        }
    }
    Ok(true)
}

/// The local address of a socket, its state, and the user that made it.
fn socket(line: &str) -> Option<(SocketAddr, u32, u32)> {
    let mut fields = line.split_ascii_whitespace();
    let slot = fields.next()?.strip_suffix(':')?;
    slot.parse::<u64>().ok()?;
    let local = address(fields.next()?)?;
    address(fields.next()?)?;
    let state = hexadecimal(fields.next()?, 2)?;
    // What waits to be sent and received, the timer, and what was sent again.
    let owner = fields.nth(3)?.parse().ok()?;
    Some((local, state, owner))
}

fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::try_from(hexadecimal(port, 4)?).ok()?;
    // Words of four bytes, each in the machine's order.
    let word = |text: &str| hexadecimal(text, 8).map(u32::to_ne_bytes);
    let ip = if ip.len() == 8 {
        IpAddr::from(Ipv4Addr::from(word(ip)?))
    } else {
        let mut bytes = [0; 16];
        let starts = [0_usize, 8, 16, 24];
        for (place, start) in bytes.chunks_exact_mut(4).zip(starts) {
            place.copy_from_slice(&word(ip.get(start..start.checked_add(8)?)?)?);
        }
        if ip.len() != 32 {
            return None;
        }
        IpAddr::from(Ipv6Addr::from(bytes))
    };
    Some(SocketAddr::new(ip, port))
}

fn hexadecimal(text: &str, digits: usize) -> Option<u32> {
    let good = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    good.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests;
