//! A bucket of S3, or of what speaks as S3 does.

use std::fmt;

use anyhow::anyhow;
use bytes::Bytes;
use earmark_manifest::declaration::S3;
use http::Response;

use super::{Trouble, domain, endpoint, is_passing, wants_fips};
use crate::io::output;

/// Its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket(String);

impl Bucket {
    /// The bucket of objects.
    pub fn of(objects: &S3) -> Self {
        Self(objects.bucket.clone())
    }

    /// Its URL, without a slash at its end: in the server's name where it can be, since AWS wants it there.
    pub fn url(&self, region: &str) -> String {
        let Self(name) = self;
        if let Some(endpoint) = endpoint("S3") {
            return format!("{}/{name}", endpoint.trim_end_matches('/'));
        }
        let fips = if wants_fips() { "-fips" } else { "" };
        let server = format!("s3{fips}.{region}.{}", domain(region));
        // A dot in the bucket's name would be one more level than the certificate is for.
        if name.contains('.') {
            format!("https://{server}/{name}")
        } else {
            format!("https://{name}.{server}")
        }
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Turns an error answer of S3 into an error, and tells whether a retry may help.
pub fn trouble(answer: &Response<Bytes>) -> Trouble {
    let status = answer.status().as_u16();
    let code = said(answer, "Code");
    let error = anyhow!("status {status}: {code}: {}", said(answer, "Message"));
    if is_passing(status, &code) {
        Trouble::Passing(error)
    } else {
        Trouble::Lasting(error)
    }
}

/// Returns the text of an element of S3's error, which others may have written: escaped, 300 characters at most.
/// It decides nothing but whether to try again, and so is looked for and not parsed.
pub fn said(answer: &Response<Bytes>, element: &str) -> String {
    let text = String::from_utf8_lossy(answer.body());
    let found = text
        .split_once(&format!("<{element}>"))
        .and_then(|(_, rest)| rest.split_once("</"));
    let found: String = found
        .map_or("", |(found, _)| found)
        .chars()
        .take(300)
        .collect();
    output::plain(&found)
}
