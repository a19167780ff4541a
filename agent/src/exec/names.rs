//! Addresses of a host name, by the image's own `getent`.
//!
//! This program is linked statically, and its C library would load code of the host to look a name up
//! (docs/adr/0005-static-programs.md). `getent` is in every image, is sealed, and asks whatever the image is
//! configured to ask.

use std::{net::IpAddr, process::Stdio, time::Duration};

use tokio::{io::AsyncReadExt, process::Command};

// Absolute, so that no search path can put another program of the name first.
const GETENT: &str = "/usr/bin/getent";
const TIMEOUT: Duration = Duration::from_secs(10);
/// More than this are no addresses of one host.
const BOUND: u64 = 64 * 1024;

/// The addresses of a host; an error if there are none.
pub async fn addresses(name: &str) -> Result<Vec<IpAddr>, String> {
    let failed = |cause: &dyn std::fmt::Display| format!("failed to look up '{name}': {cause}");
    match tokio::time::timeout(TIMEOUT, ask(name)).await {
        Ok(Ok(said)) => parse(&said).ok_or_else(|| failed(&"no such name")),
        Ok(Err(error)) => Err(failed(&error)),
        Err(_) => Err(failed(&"no answer in time")),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a part of the helper that starts processes"
)]
async fn ask(name: &str) -> std::io::Result<String> {
    // glibc's resolver takes orders from the environment (RES_OPTIONS, LOCALDOMAIN), its loader from LD_PRELOAD.
    let mut child = Command::new(GETENT)
        .args(["ahosts", "--", name])
        .env_clear()
        .env("LANG", "C.UTF-8")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut said = String::new();
    if let Some(output) = child.stdout.take() {
        // Who answers the name's DNS queries decides how much is printed.
        output.take(BOUND).read_to_string(&mut said).await?;
    }
    // Its status says no more than what it printed: a name without an address has no line.
    child.wait().await?;
    Ok(said)
}

/// `ADDRESS KIND [NAME]` a line, each address once for each kind of socket.
fn parse(said: &str) -> Option<Vec<IpAddr>> {
    let mut found = Vec::new();
    for line in said.lines() {
        let address = line.split_whitespace().next();
        if let Some(Ok(address)) = address.map(str::parse)
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    (!found.is_empty()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn getent_addresses_are_deduplicated_in_order() {
        let said = "192.0.2.2       STREAM releases.example.com\n\
                    192.0.2.2       DGRAM\n\
                    192.0.2.2       RAW\n\
                    2001:db8::1     STREAM\n\
                    fe80::1%eth0    STREAM\n";
        let expected: Vec<IpAddr> =
            vec!["192.0.2.2".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        assert_eq!(parse(said), Some(expected));
        assert_eq!(parse(""), None);
        assert_eq!(parse("no address here\n"), None);
    }

    #[tokio::test]
    async fn resolver_finds_localhost_and_refuses_option_like_names() {
        let found = addresses("localhost").await.unwrap();
        assert!(found.iter().all(IpAddr::is_loopback), "{found:?}");
        assert!(addresses("--help").await.is_err());
        assert!(addresses("no-such-name.invalid").await.is_err());
    }
}
