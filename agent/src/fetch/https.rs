//! HTTPS to servers that are hostile by assumption: bounded in bytes and time, no redirects, no proxy, and
//! believed for no more than being the one of that name.

use std::{io, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use earmark_manifest::path::ImagePath;
use earmark_scan::Root;
use reqwest::{
    Client, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::{
    http::{self, innermost},
    process,
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
const AUTHORITIES_BOUND: usize = 8 * 1024 * 1024;

/// By the system's own resolver, see [`process::addresses`].
struct System;

impl Resolve for System {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = process::addresses(name.as_str()).await;
            let found = found.map_err(io::Error::other)?.into_iter();
            let addresses: Addrs = Box::new(found.map(|address| (address, 0).into()));
            Ok(addresses)
        })
    }
}

/// A client that believes the authorities of this root.
pub(super) fn client(root: &Root) -> Result<Client> {
    http::client(authorities(root)?)
        .context("failed to set up TLS")?
        .https_only(true)
        .dns_resolver(System)
        .connect_timeout(CONNECT)
        .timeout(REQUEST)
        .build()
        .map_err(|error| anyhow!("failed to set up a client: {}", innermost(&error)))
}

fn authorities(root: &Root) -> Result<RootCertStore> {
    for path in AUTHORITIES {
        let path = ImagePath::from_absolute(path.as_bytes())?;
        let Some(bundle) = root.read_opt(&path, AUTHORITIES_BOUND)? else {
            continue;
        };
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(&bundle)
            .collect::<Result<_, _>>()
            .with_context(|| format!("failed to read the certificates of '{path}'"))?;
        let mut store = RootCertStore::empty();
        // A bundle may well have one of a kind that is not understood.
        let (taken, _) = store.add_parsable_certificates(certificates);
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

/// What is at `url`, at most `bound` bytes; nothing, if there is nothing. No error quotes the answer.
pub(super) async fn get(client: &Client, url: &str, bound: usize) -> Result<Option<Vec<u8>>> {
    let broken = |error: reqwest::Error| {
        if error.is_timeout() {
            anyhow!("no answer in time")
        } else {
            anyhow!("{}", innermost(&error))
        }
    };
    let mut answer = client.get(url).send().await.map_err(broken)?;
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Ok(None),
        status if status.is_redirection() => bail!("it redirects, and redirects are not followed"),
        status => bail!("it answered {}", status.as_u16()),
    }
    let mut body = Vec::new();
    // What the answer says of its length is only its word.
    while let Some(piece) = answer.chunk().await.map_err(broken)? {
        if piece.len() > bound.saturating_sub(body.len()) {
            bail!("it is larger than the {bound} bytes that are accepted");
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body))
}
