//! A channel that a web server has. Whoever serves it can hold it back and no more: it is signed.

use std::fmt;

use ::http::Request;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use earmark_manifest::{declaration::Location, limits};

use super::Found;
use crate::{
    aws::Http,
    exit::{Exit, Exits, Outcome},
};

/// An `https://` URL, as a declaration names it, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url(Location);

impl Url {
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        Location::try_from(text.to_owned()).map(Self)
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub fn read(&self) -> Outcome<Option<Found>> {
        self.get()
            .with_context(|| format!("failed to read the channel '{self}'"))
            .exits(Exit::Undecided)
    }

    fn get(&self) -> Result<Option<Found>> {
        // The runtime looks names up on threads of its own, and panics if the first cannot be created.
        earmark_scan::threads::spawn(|| ()).context("failed to start a thread")?;
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build()?;
        let request = Request::get(self.as_str())
            // A cache that is behind shows a channel that was.
            .header("cache-control", "no-cache")
            .body(Bytes::new())?;
        let answer = runtime.block_on(Http::new()?.send(request, limits::CHANNEL))?;
        match answer.status().as_u16() {
            200 => Ok(Some(Found {
                bytes: answer.into_body().to_vec(),
                tag: None,
            })),
            404 | 410 => Ok(None),
            status => bail!("status {status}"),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
