//! Settings that every HTTP client here has in common, whoever it speaks to: docs/adr/0008-http-client.md.

use std::error::Error;

use reqwest::{Client, ClientBuilder, redirect, retry};
use rustls::{ClientConfig, RootCertStore, crypto::ring};

/// A client that goes to where it is told, once: no proxy that a service manager hands on, no redirect, no
/// attempt of its own. Names of servers are believed to be theirs on the word of these authorities; with
/// none, no server is.
///
/// # Errors
///
/// If this version of ring could not speak any version of TLS.
pub fn client(authorities: RootCertStore) -> Result<ClientBuilder, rustls::Error> {
    // Named: the process's default panics where there is none, or where the features of two crates name two.
    let tls = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(authorities)
        .with_no_client_auth();
    Ok(Client::builder()
        .user_agent(concat!("earmark-agent/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(tls)
        // `http_proxy` in the service manager's environment would see session tokens (docs/adr/0008).
        .no_proxy()
        // A server outside must not be able to send a request on to one inside.
        .redirect(redirect::Policy::none())
        .referer(false)
        // What is tried again, and how often, is decided in one place, under one deadline.
        .retry(retry::never())
        // Each request has a connection of its own: what is left of one answer can never be taken for
        // the next.
        .pool_max_idle_per_host(0))
}

/// The errors below this one, which itself shows the URL.
pub fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

/// Returns the innermost cause: the words of the operating system or a library, neither of which quotes the answer.
pub fn innermost(error: &reqwest::Error) -> String {
    causes(error)
        .last()
        .map_or_else(|| "unknown".to_owned(), ToString::to_string)
}
