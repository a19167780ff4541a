//! Who listens for TCP connections, as the kernel lists it.

use std::{
    io::{BufRead, BufReader, ErrorKind, Read},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use earmark_manifest::path::ImagePath;
use earmark_scan::Root;

/// The sockets in the network of PID 1, which is the host's. A service can have a network of its
/// own, as those of this program have: it would see nobody in `/proc/self/net` and call that shut.
pub(super) const LISTS: [&str; 2] = ["/proc/1/net/tcp", "/proc/1/net/tcp6"];
/// Room for hundreds of thousands of connections, of which nothing is kept.
const BOUND: u64 = 64 * 1024 * 1024;
/// `TCP_LISTEN`.
const LISTEN: u32 = 0x0a;

/// The addresses at which somebody listens on one of these ports.
pub(super) fn on(root: &Root, ports: &[u16]) -> Result<Vec<SocketAddr>, String> {
    let [version_4, version_6] = LISTS;
    let mut found = read(root, version_4, ports)?.ok_or_else(|| {
        // Without a version 6 there is no such list; without a version 4 nothing was seen.
        format!("'{version_4}' is not there: the host's network cannot be seen from here")
    })?;
    found.extend(read(root, version_6, ports)?.unwrap_or_default());
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

fn read(root: &Root, path: &str, ports: &[u16]) -> Result<Option<Vec<SocketAddr>>, String> {
    let failed = |problem: &dyn std::fmt::Display| format!("failed to read '{path}': {problem}");
    let list = ImagePath::from_absolute(path.as_bytes()).map_err(|error| failed(&error))?;
    let file = match root.open_regular(&list) {
        Ok((file, _)) => file,
        Err(error) if error.cause.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let mut reader = BufReader::new(file).take(BOUND);
    let mut lines = reader.by_ref().lines();
    // The names of the columns. A list without them is not the kernel's.
    let columns = lines.next().transpose().map_err(|error| failed(&error))?;
    if !columns.is_some_and(|columns| columns.trim_start().starts_with("sl ")) {
        return Err(failed(&"it does not begin as it should"));
    }
    let mut found = Vec::new();
    for line in lines {
        let line = line.map_err(|error| failed(&error))?;
        let (address, state) =
            socket(&line).ok_or_else(|| failed(&"a line is not of the form that is known"))?;
        if state == LISTEN && ports.contains(&address.port()) {
            found.push(address);
        }
    }
    if reader.limit() == 0 {
        return Err(failed(&"it is too long"));
    }
    Ok(Some(found))
}

/// The local address of a socket, and its state.
fn socket(line: &str) -> Option<(SocketAddr, u32)> {
    let mut fields = line.split_ascii_whitespace();
    let slot = fields.next()?.strip_suffix(':')?;
    slot.parse::<u64>().ok()?;
    let local = address(fields.next()?)?;
    address(fields.next()?)?;
    let state = hexadecimal(fields.next()?, 2)?;
    Some((local, state))
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
mod tests {
    use super::*;
    use crate::testing::TestRoot;

    const COLUMNS: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when \
                           retrnsmt   uid  timeout inode\n";

    fn line(local: &str, state: &str) -> String {
        let remote = local.split_once(':').map_or("", |(ip, _)| ip).len();
        let remote = "0".repeat(remote);
        format!(
            "   0: {local} {remote}:0000 {state} 00000000:00000000 00:00000000 00000000     0 \
             0 4711 1 0000000000000000 100 0 0 10 0\n"
        )
    }

    fn lists(version_4: &[String], version_6: Option<&[String]>) -> TestRoot {
        let root = TestRoot::bare();
        let text = |lines: &[String]| format!("{COLUMNS}{}", lines.concat());
        let [path_4, path_6] = LISTS;
        root.write(path_4, text(version_4).as_bytes());
        if let Some(lines) = version_6 {
            root.write(path_6, text(lines).as_bytes());
        }
        root
    }

    fn found(root: &TestRoot) -> Result<Vec<String>, String> {
        let found = on(&root.open(), &[22, 2222])?;
        Ok(found.iter().map(ToString::to_string).collect())
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn who_listens_is_found_in_both_lists_and_who_is_connected_is_not() {
        let none: [String; 0] = [];
        assert_eq!(found(&lists(&[], None)).unwrap(), none);
        let connected = line("0100007F:0016", "01");
        let other = line("00000000:0050", "0A");
        let root = lists(&[connected.clone(), other.clone()], Some(&[]));
        assert_eq!(found(&root).unwrap(), none);
        let root = lists(
            &[
                connected,
                line("00000000:0016", "0A"),
                line("0100007F:08AE", "0A"),
            ],
            Some(&[
                line("00000000000000000000000000000000:0016", "0A"),
                line("0000000000000000FFFF00000100007F:0016", "0A"),
            ]),
        );
        let expected = [
            "0.0.0.0:22",
            "127.0.0.1:2222",
            "[::]:22",
            "[::ffff:127.0.0.1]:22",
        ];
        assert_eq!(found(&root).unwrap(), expected);
    }

    #[test]
    fn a_list_of_this_kernel_is_understood() {
        let root = TestRoot::bare();
        for (list, address) in LISTS.iter().zip(["127.0.0.1:0", "[::1]:0"]) {
            // A machine may have no version 6.
            let Ok(listener) = std::net::TcpListener::bind(address) else {
                continue;
            };
            let here = listener.local_addr().unwrap();
            let own = list.replace("/1/", "/self/");
            root.write(list, &std::fs::read(own).unwrap());
            let found = on(&root.open(), &[here.port()]).unwrap();
            assert!(found.contains(&here), "{here}: {found:?}");
        }
    }

    #[test]
    fn a_list_that_is_not_understood_or_not_there_is_no_answer() {
        assert!(
            found(&TestRoot::bare())
                .unwrap_err()
                .contains("cannot be seen")
        );
        for bad in [
            "",
            "0: 00000000:0016",
            "0: 00000000:0016 00000000:0000",
            "0 00000000:0016 00000000:0000 0A",
            "x: 00000000:0016 00000000:0000 0A",
            "0: 0000000:0016 00000000:0000 0A",
            "0: 000000000:0016 00000000:0000 0A",
            "0: +0000000:0016 00000000:0000 0A",
            "0: 00000000:016 00000000:0000 0A",
            "0: 00000000:00016 00000000:0000 0A",
            "0: 00000000.0016 00000000:0000 0A",
            "0: 00000000:0016 0000000g:0000 0A",
            "0: 00000000:0016 00000000:0000 A",
            "0: 00000000:0016 00000000:0000 0x",
            "0: 0000000000000000000000000000000:0016 00000000:0000 0A",
            "0: 000000000000000000000000000000000:0016 00000000:0000 0A",
            "0: é000000:0016 00000000:0000 0A",
        ] {
            let root = lists(&[format!("{bad}\n")], None);
            assert!(found(&root).unwrap_err().contains("form"), "{bad}");
            let root = lists(&[], Some(&[format!("{bad}\n")]));
            assert!(found(&root).unwrap_err().contains("form"), "{bad}");
        }
        let root = TestRoot::bare();
        let [path, _] = LISTS;
        for text in ["", "x\n", "   0: 00000000:0016 00000000:0000 0A\n"] {
            root.write(path, text.as_bytes());
            assert!(found(&root).unwrap_err().contains("begin"), "{text}");
        }
    }
}
