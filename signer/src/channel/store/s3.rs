//! A channel in S3, or in what speaks as S3 does: written by conditional puts, so that of two writers
//! one is told.

use std::fmt;

use ::http::{Request, Response, request::Builder};
use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use earmark_manifest::{crypto, declaration::S3, limits};

use super::{Found, Written};
use crate::{
    aws::{self, Bucket, Session, Trouble, said, trouble},
    exit::{Exit, Exits, Next, Outcome},
};

/// An object of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    bucket: Bucket,
    key: String,
}

impl Object {
    /// `BUCKET/KEY`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let found: S3 = text.parse()?;
        if found.key.is_empty() || found.key.ends_with('/') {
            return Err("it names no object: expected s3://BUCKET/KEY".to_owned());
        }
        Ok(Self {
            bucket: Bucket::of(&found),
            key: found.key,
        })
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    pub fn read(&self) -> Outcome<Option<Found>> {
        let (session, url) = self.open()?;
        let read = session.persist(&async |session: &Session| self.get(session, &url).await);
        read.with_context(|| format!("failed to read the channel '{self}'"))
            .exits(Exit::Undecided)
            .or_next(|| {
                "the caller needs s3:GetObject on it, and s3:ListBucket to learn that it is missing"
                    .to_owned()
            })
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
                        let error =
                            anyhow!("it has no ETag: without an ETag an object is not replaced");
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

    /// Returns a session with S3, and the object's URL.
    fn open(&self) -> Outcome<(Session, String)> {
        let region = aws::region(&format!("'{self}'"))?;
        let session = Session::new("s3", &region)?;
        let url = format!("{}/{}", self.bucket.url(&region), self.key);
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
        .context("the endpoint is not a URL")
        .and_then(|request| {
            if request.uri().host().is_none() {
                bail!("the endpoint is not a URL");
            }
            Ok(request)
        })
        .map_err(Trouble::Lasting)?;
    session.send(request, limits::CHANNEL).await
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}
