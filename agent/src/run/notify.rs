//! The service manager's notification protocol (`sd_notify`): a datagram to a socket that it names.

use std::{
    env,
    ffi::OsStr,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

use crate::status::summary::clean;

/// Socket of the service manager for notifications; none if nobody asked.
#[derive(Debug)]
pub(super) struct Notify {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notify {
    /// As the service manager asks for it.
    pub(super) fn from_environment() -> Self {
        let address = env::var_os("NOTIFY_SOCKET").and_then(|path| address(&path));
        // The environment is inherited: what was meant for a parent is not answered.
        let is_for_us = env::var("WATCHDOG_PID")
            .map_or(true, |process| process == std::process::id().to_string());
        let watchdog = env::var("WATCHDOG_USEC")
            .ok()
            .filter(|_| is_for_us)
            .and_then(|text| text.parse().ok())
            .map(Duration::from_micros);
        Self::new(address, watchdog)
    }

    fn new(address: Option<SocketAddr>, watchdog: Option<Duration>) -> Self {
        Self {
            socket: address.and_then(|address| Some((UnixDatagram::unbound().ok()?, address))),
            // Three signs of life in the time that one is waited for.
            watchdog: watchdog.map(|time| time / 3).filter(|time| !time.is_zero()),
        }
    }

    /// Returns how often [`Notify::alive`] is to be called; `None` if nobody waits for it.
    pub(super) fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    pub(super) fn ready(&self) {
        self.send("READY=1");
    }

    pub(super) fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    pub(super) fn stopping(&self) {
        self.send("STOPPING=1");
    }

    pub(super) fn status(&self, line: &str) {
        // A newline would begin another assignment, such as MAINPID=, out of a record that somebody else wrote.
        self.send(&format!("STATUS={}", clean(line)));
    }

    /// A service manager that does not listen takes nothing from the service.
    fn send(&self, message: &str) {
        if let Some((socket, address)) = &self.socket {
            let _ = socket.send_to_addr(message.as_bytes(), address);
        }
    }
}

/// A path, or an abstract name behind `@`.
fn address(path: &OsStr) -> Option<SocketAddr> {
    match path.as_bytes().split_first()? {
        (b'@', name) => SocketAddr::from_abstract_name(name).ok(),
        (b'/', _) => SocketAddr::from_pathname(path).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notify_sends_messages_to_path_and_abstract_sockets() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let name = format!("earmark-test-{}", std::process::id());
        let sockets = [
            (UnixDatagram::bind(&path).unwrap(), path.into_os_string()),
            (
                UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap(),
                format!("@{name}").into(),
            ),
        ];
        for (socket, name) in sockets {
            let notify = Notify::new(address(&name), Some(Duration::from_mins(3)));
            assert_eq!(notify.watchdog(), Some(Duration::from_mins(1)));
            notify.ready();
            notify.status("two\nlines");
            let mut buffer = [0; 100];
            let mut next = || {
                let length = socket.recv(&mut buffer).unwrap();
                String::from_utf8_lossy(&buffer[..length]).into_owned()
            };
            assert_eq!(next(), "READY=1");
            assert_eq!(next(), "STATUS=two\u{fffd}lines");
        }
    }

    #[test]
    fn notify_to_missing_or_invalid_socket_does_not_fail() {
        for name in ["", "relative", "/nowhere/at/all"] {
            let notify = Notify::new(address(OsStr::new(name)), None);
            notify.ready();
            assert_eq!(notify.watchdog(), None);
        }
    }
}
