//! HTTP as the requests to AWS need it: bounded, and in the clear only to this very host.

use std::{net::IpAddr, sync::Once, time::Duration};

use anyhow::{Context, Result, bail};
use bytes::{Bytes, BytesMut};
use http::{Request, Response, Uri};
use reqsign_core::{Error, HttpSend};
use reqwest::{Client, redirect};
use rustls::crypto::ring;

use super::endpoint;

/// An answer longer than this is none of STS or the metadata service.
const ANSWER: usize = 256 * 1024;

/// Two clients: what is on the host or on the link is reached without a proxy, or not at all.
#[derive(Debug, Clone)]
pub struct Http {
    far: Client,
    near: Client,
}

static PROVIDER: Once = Once::new();

impl Http {
    pub fn new() -> Result<Self> {
        Self::keeping(0)
    }

    /// Keeps so many connections, each for the next request to its server.
    pub fn keeping(connections: usize) -> Result<Self> {
        PROVIDER.call_once(|| {
            // Were there another one already, it would be ring's, too: no other is linked.
            let _ = ring::default_provider().install_default();
        });
        let client = || {
            Client::builder()
                .user_agent(concat!("earmark/", env!("CARGO_PKG_VERSION")))
                .redirect(redirect::Policy::none())
                .referer(false)
                .pool_max_idle_per_host(connections)
        };
        Ok(Self {
            far: client()
                .connect_timeout(Duration::from_secs(10))
                .timeout(Duration::from_secs(30))
                .build()?,
            // Where there is no metadata service, its address often does not even refuse.
            near: client()
                .no_proxy()
                .connect_timeout(Duration::from_secs(1))
                .timeout(Duration::from_secs(10))
                .build()?,
        })
    }

    /// Sends it, once. The answer has at most so many bytes.
    pub async fn send(&self, mut request: Request<Bytes>, most: usize) -> Result<Response<Bytes>> {
        *request.uri_mut() = other_sts(request.uri())?;
        let near = is_near(request.uri());
        // The token of a session is in a header, and is worth as much as the key for as long as it lasts.
        if !near && request.uri().scheme_str() != Some("https") {
            bail!("refused: only https is allowed to other hosts");
        }
        let client = if near { &self.near } else { &self.far };
        let mut answer = client
            .execute(request.try_into()?)
            .await
            .map_err(|error| innermost(&error))?;
        let mut response = Response::builder().status(answer.status());
        if let Some(headers) = response.headers_mut() {
            *headers = answer.headers().clone();
        }
        let mut body = BytesMut::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| innermost(&error))? {
            if body.len() + piece.len() > most {
                bail!("the answer is larger than the limit of {most} bytes");
            }
            body.extend_from_slice(&piece);
        }
        Ok(response.body(body.freeze())?)
    }
}

impl HttpSend for Http {
    async fn http_send(&self, request: Request<Bytes>) -> reqsign_core::Result<Response<Bytes>> {
        let sent = self.send(request, ANSWER).await;
        sent.map_err(|error| Error::unexpected(format!("{error:#}")))
    }
}

/// The library that finds credentials knows STS at its own address alone.
fn other_sts(uri: &Uri) -> Result<Uri> {
    let sts = uri
        .host()
        .is_some_and(|host| host.starts_with("sts.") && host.contains(".amazonaws.com"));
    match endpoint("STS") {
        Some(other) if sts => {
            let path = uri.path_and_query().map_or("/", |path| path.as_str());
            let other = format!("{}{path}", other.trim_end_matches('/'));
            other.parse().context("AWS_ENDPOINT_URL_STS")
        }
        _ => Ok(uri.clone()),
    }
}

/// The host itself, or where the metadata services of EC2, ECS and EKS are.
fn is_near(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_link_local(),
        Ok(IpAddr::V6(address)) => {
            address.is_loopback() || address.segments()[..2] == [0xfd00, 0x0ec2]
        }
        Err(_) => host == "localhost",
    }
}

/// Returns the innermost cause, from the operating system or a library: neither quotes the request.
fn innermost(error: &reqwest::Error) -> anyhow::Error {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    anyhow::anyhow!("{cause}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_and_metadata_endpoints_are_near() {
        for (uri, near) in [
            ("http://127.0.0.1:4566/", true),
            ("http://localhost/", true),
            ("http://169.254.169.254/latest", true),
            ("http://169.254.170.2/v2", true),
            ("http://[fd00:ec2::254]/latest", true),
            ("http://[::1]/", true),
            ("http://[fd00::1]/", false),
            ("http://10.0.0.1/", false),
            ("http://localhost.example/", false),
            ("https://kms.eu-central-1.amazonaws.com/", false),
        ] {
            assert_eq!(is_near(&uri.parse().unwrap()), near, "{uri}");
        }
    }

    #[test]
    fn plain_http_to_remote_host_is_refused() {
        let http = Http::new().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        let request = Request::post("http://192.0.2.1/").body(Bytes::new());
        let refused = runtime
            .block_on(http.send(request.unwrap(), ANSWER))
            .unwrap_err();
        assert!(refused.to_string().contains("only https"), "{refused}");
    }
}
