//! A channel in S3, or in what speaks as S3 does: written by conditional puts, so that of two writers
//! one is told.

use std::fmt;

use ::http::{Request, Response, request::Builder};
use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use earmark_manifest::{crypto, limits};

use super::{Found, Written};
use crate::{
    aws::{self, Session, Trouble},
    exit::{Exit, Exits, Next, Outcome},
    output,
};

/// An object of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    bucket: String,
    key: String,
}

impl Object {
    /// `BUCKET/KEY`. The letters of a key are those that need no escapes, so that every signature of a
    /// request is over one spelling.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (bucket, key) = text.split_once('/').unwrap_or_default();
        let of_bucket = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let good_bucket = (3..=63).contains(&bucket.len())
            && bucket
                .bytes()
                .all(|byte| of_bucket(byte) || b"-.".contains(&byte))
            && bucket.bytes().next().is_some_and(of_bucket)
            && bucket.bytes().next_back().is_some_and(of_bucket)
            && !bucket.contains("..");
        let good_key = key.len() <= 1024
            && key.split('/').all(|part| !matches!(part, "" | "." | ".."))
            && key
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
        if good_bucket && good_key {
            Ok(Self {
                bucket: bucket.to_owned(),
                key: key.to_owned(),
            })
        } else {
            Err("expected s3://BUCKET/KEY, with letters, digits, '-', '_', '.' and '/'".to_owned())
        }
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    pub fn read(&self) -> Outcome<Option<Found>> {
        let (session, url) = self.open()?;
        let read = session.persist(&async |session: &Session| self.get(session, &url).await);
        read.with_context(|| format!("failed to read the channel '{self}'"))
            .exits(Exit::Undecided)
            .or_next(|| "the caller needs s3:GetObject on it, and s3:ListBucket to be told that it is not there".to_owned())
    }

    /// A put whose answer is lost may have been done: then its own document is what is found there.
    pub fn write(&self, document: &[u8], replaced: Option<&Found>) -> Outcome<Written> {
        let (session, url) = self.open()?;
        let body = Bytes::copy_from_slice(document);
        let write = || -> Result<Written> {
            let written = session.persist(&async |session: &Session| {
                let put = Request::put(&url).header("content-type", "application/json");
                let put = match replaced {
                    None => put.header("if-none-match", "*"),
                    Some(Found { tag: Some(tag), .. }) => put.header("if-match", tag),
                    Some(_) => {
                        let error = anyhow!("it has no ETag, without which nothing is replaced");
                        return Err(Trouble::Lasting(error));
                    }
                };
                let answer = exchange(session, put, body.clone()).await?;
                match answer.status().as_u16() {
                    200 => Ok(Written::Done),
                    // 409: a put by somebody else at the same time; 404: what was read was removed.
                    404 | 409 | 412 => Ok(Written::Overtaken),
                    _ => Err(trouble(&answer)),
                }
            })?;
            if written == Written::Overtaken {
                let there =
                    session.persist(&async |session: &Session| self.get(session, &url).await)?;
                if there.is_some_and(|there| there.bytes == document) {
                    return Ok(Written::Done);
                }
            }
            Ok(written)
        };
        write()
            .with_context(|| format!("failed to write the channel '{self}'"))
            .exits(Exit::Undecided)
            .or_next(|| "the caller needs s3:PutObject on it".to_owned())
    }

    async fn get(&self, session: &Session, url: &str) -> Result<Option<Found>, Trouble> {
        let answer = exchange(session, Request::get(url), Bytes::new()).await?;
        match answer.status().as_u16() {
            200 => {
                let tag = answer.headers().get("etag");
                let tag = tag.and_then(|tag| tag.to_str().ok()).map(str::to_owned);
                Ok(Some(Found {
                    bytes: answer.into_body().to_vec(),
                    tag,
                }))
            }
            // A bucket that is not there is a mistake, not an empty channel.
            404 if said(&answer, "Code") != "NoSuchBucket" => Ok(None),
            _ => Err(trouble(&answer)),
        }
    }

    /// Who asks, and the URL: in the server's name where it can be, since AWS wants the bucket there.
    fn open(&self) -> Outcome<(Session, String)> {
        let region = aws::region(&format!("'{self}'"))?;
        let session = Session::new("s3", &region)?;
        let Self { bucket, key } = self;
        let url = if let Some(endpoint) = aws::endpoint("S3") {
            format!("{}/{bucket}/{key}", endpoint.trim_end_matches('/'))
        } else {
            let fips = if aws::wants_fips() { "-fips" } else { "" };
            let server = format!("s3{fips}.{region}.{}", aws::domain(&region));
            // A dot in the bucket's name would be one more level than the certificate is for.
            if bucket.contains('.') {
                format!("https://{server}/{bucket}/{key}")
            } else {
                format!("https://{bucket}.{server}/{key}")
            }
        };
        Ok((session, url))
    }
}

async fn exchange(
    session: &Session,
    request: Builder,
    body: Bytes,
) -> Result<Response<Bytes>, Trouble> {
    let request = request
        .header("x-amz-content-sha256", crypto::sha256(&body).hex())
        .body(body)
        .context("the endpoint is no URL")
        .and_then(|request| {
            if request.uri().host().is_none() {
                bail!("the endpoint is no URL");
            }
            Ok(request)
        })
        .map_err(Trouble::Lasting)?;
    session.send(request, limits::CHANNEL).await
}

fn trouble(answer: &Response<Bytes>) -> Trouble {
    let status = answer.status().as_u16();
    let code = said(answer, "Code");
    let error = anyhow!("status {status}: {code}: {}", said(answer, "Message"));
    if aws::is_passing(status, &code) {
        Trouble::Passing(error)
    } else {
        Trouble::Lasting(error)
    }
}

/// What an element of S3's error says, which others may have written: shown escaped, and not at length.
/// It decides nothing but whether to try again, and so is looked for and not parsed.
fn said(answer: &Response<Bytes>, element: &str) -> String {
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

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}
