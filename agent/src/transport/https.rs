//! HTTPS to servers that are hostile by assumption: bounded in bytes and time, no redirects, no proxy, and
//! believed for no more than being the one of that name.

use std::{io, time::Duration};

use anyhow::{Context, anyhow, bail};
use earmark_manifest::path::ImagePath;
use earmark_scan::Root;
use reqwest::{
    Client, RequestBuilder, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    header,
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::Trouble;
use crate::{
    exec,
    transport::http::{self, innermost},
};

const CONNECT: Duration = Duration::from_secs(10);
/// From the connection to the last byte: one byte a second must end.
const REQUEST: Duration = Duration::from_secs(30);
/// Whom the image believes about names: Debian and Ubuntu; Amazon Linux and Red Hat. Files of the sealed
/// tree, and no environment variable has a say.
const AUTHORITIES: [&str; 2] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
];
// Bundles of distributions have some hundred KiB; this is for a file that somebody let grow.
const AUTHORITIES_BOUND: usize = 8 * 1024 * 1024;

/// By the system's own resolver, see [`exec::addresses`].
struct System;

impl Resolve for System {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = exec::addresses(name.as_str()).await;
            let found = found.map_err(io::Error::other)?.into_iter();
            // The client puts the URL's port in the place of 0.
            let addresses: Addrs = Box::new(found.map(|address| (address, 0).into()));
            Ok(addresses)
        })
    }
}

/// A client that believes the authorities of this root.
pub fn client(root: &Root) -> anyhow::Result<Client> {
    http::client(authorities(root)?)
        .context("failed to set up TLS")?
        // The declaration admits no http:// URL. Should one come along, nothing is sent in clear text.
        .https_only(true)
        // The library's own calls getaddrinfo, which loads shared libraries into a static program (docs/adr/0005).
        .dns_resolver(System)
        .connect_timeout(CONNECT)
        .timeout(REQUEST)
        .build()
        .map_err(|error| anyhow!("failed to set up a client: {}", innermost(&error)))
}

fn authorities(root: &Root) -> anyhow::Result<RootCertStore> {
    for path in AUTHORITIES {
        let path = ImagePath::from_absolute(path.as_bytes())?;
        let Some(bundle) = root.read_opt(&path, AUTHORITIES_BOUND)? else {
            continue;
        };
        // A bundle cut short within a certificate is an error: a shorter list would fail later, at some server.
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(&bundle)
            .collect::<Result<_, _>>()
            .with_context(|| format!("failed to read the certificates of '{path}'"))?;
        let mut store = RootCertStore::empty();
        // A bundle may well have one of a kind that is not understood.
        let (taken, _) = store.add_parsable_certificates(certificates);
        // rustls takes an empty store, and then refuses every server with words about the server's certificate.
        if taken == 0 {
            bail!("'{path}' has no certificate that can be used");
        }
        return Ok(store);
    }
    bail!(
        "neither '{}' is there: install ca-certificates in the image",
        AUTHORITIES.join("' nor '")
    )
}

/// Sends a request and takes at most `bound` bytes of its answer. No error quotes the answer.
pub async fn exchange(request: RequestBuilder, bound: usize) -> Result<Answer, Trouble> {
    let broken = |error: reqwest::Error| {
        Trouble::Passing(if error.is_timeout() {
            "no answer in time".to_owned()
        } else {
            innermost(&error)
        })
    };
    let mut answer = request.send().await.map_err(broken)?;
    let status = answer.status();
    // Without a policy that follows, the library hands a 3xx on as an answer; where it leads is the server's word.
    if status.is_redirection() {
        return Err(Trouble::Lasting(
            "it redirects, and redirects are not followed".to_owned(),
        ));
    }
    // In seconds alone. A date, which RFC 9110 allows too, would be held against a clock that may be wrong.
    let after = answer.headers().get(header::RETRY_AFTER);
    let after = after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let mut body = Vec::new();
    // What the answer says of its length is only its word. Of an error whatever came will do.
    loop {
        let piece = match answer.chunk().await {
            Ok(Some(piece)) => piece,
            Err(error) if status.is_success() => return Err(broken(error)),
            Ok(None) | Err(_) => break,
        };
        if piece.len() > bound.saturating_sub(body.len()) {
            if !status.is_success() {
                break;
            }
            let long = format!("it is larger than the limit of {bound} bytes");
            return Err(Trouble::Lasting(long));
        }
        body.extend_from_slice(&piece);
    }
    Ok(Answer {
        status,
        after,
        body,
    })
}

/// Answer of a server.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    /// In how many seconds it wants to be asked again, if it says so.
    pub after: Option<u64>,
    pub body: Vec<u8>,
}
