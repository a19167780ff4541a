//! Places outside this host, where documents are fetched from and reports are put: files, servers, buckets.
//!
//! Only processes without any right use this. What they bring is believed by nobody for having come, and what
//! they send is for anybody to read.

mod file;
pub mod http;
mod https;
mod s3;
mod sign;

use std::{fmt, sync::OnceLock};

use earmark_manifest::declaration::Place;
use earmark_scan::Root;
use reqwest::{Client, Method, StatusCode};

use self::https::{Answer, exchange};
use crate::platform::instance::Role;

/// An answer to a put is not of interest but for its status; an error of S3 has a code in it.
const ANSWER: usize = 64 * 1024;

/// The way to all of these, for one root.
pub struct Remote<'a> {
    root: &'a Root,
    /// Credentials of the instance's role, and its region; needed for buckets only.
    role: Option<Role>,
    client: OnceLock<Result<Client, String>>,
}

/// Failure of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It may the next time.
    Passing(String),
    /// It may after this many seconds, as the other side says.
    Busy(String, u64),
    /// It will not, as long as nobody changes something.
    Lasting(String),
    /// This one will never be taken; another may.
    Unfit(String),
}

impl<'a> Remote<'a> {
    pub const fn new(root: &'a Root, role: Option<Role>) -> Self {
        Self {
            root,
            role,
            client: OnceLock::new(),
        }
    }

    /// Gets the document at `place`, of at most `bound` bytes; `None` if there is none.
    pub async fn get(&self, place: &Place, bound: usize) -> Result<Option<Vec<u8>>, Trouble> {
        let answer = match place {
            Place::File(path) => return file::get(self.root, path, bound),
            Place::Https(url) => exchange(self.client()?.get(url), bound).await?,
            Place::S3(object) => {
                let role = self.role()?;
                let request = s3::request(self.client()?, &Method::GET, object, role, b"")?;
                exchange(request, bound).await?
            }
        };
        match answer.status {
            StatusCode::OK => Ok(Some(answer.body)),
            // Most hosts have no grant: 404 is an answer. A bucket that is not there is a mistake in the declaration.
            StatusCode::NOT_FOUND if !s3::has_code(&answer.body, "NoSuchBucket") => Ok(None),
            _ => Err(trouble(&answer)),
        }
    }

    /// Puts it there, in the place of what is.
    pub async fn put(&self, place: &Place, bytes: &[u8]) -> Result<(), Trouble> {
        let request = match place {
            Place::File(path) => return file::put(self.root, path, bytes),
            Place::Https(url) => self.client()?.put(url).body(bytes.to_vec()),
            Place::S3(object) => {
                let role = self.role()?;
                s3::request(self.client()?, &Method::PUT, object, role, bytes)?
            }
        };
        let answer = exchange(request.header("content-type", "application/json"), ANSWER).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        Err(trouble(&answer))
    }

    fn role(&self) -> Result<&Role, Trouble> {
        self.role.as_ref().ok_or_else(|| {
            let says = "there are no credentials of an instance role: see earmark-instance.service";
            Trouble::Lasting(says.to_owned())
        })
    }

    fn client(&self) -> Result<&Client, Trouble> {
        // At the first request: an image whose places are files need not have a bundle of authorities.
        let client = self
            .client
            .get_or_init(|| https::client(self.root).map_err(|error| format!("{error:#}")));
        client
            .as_ref()
            .map_err(|error| Trouble::Lasting(error.clone()))
    }
}

/// Codes with which S3 answers 400 for what a new role or another region mends.
const CREDENTIALS: [&str; 4] = [
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
    "AuthorizationHeaderMalformed",
];

fn trouble(answer: &Answer) -> Trouble {
    let status = answer.status.as_u16();
    let says = format!("it answered {status}{}", s3::code(&answer.body));
    match (status, answer.after) {
        (429 | 500..=599, Some(seconds)) => Trouble::Busy(says, seconds),
        (408 | 429 | 500..=599, _) => Trouble::Passing(says),
        // S3 says that it is busy in many ways.
        _ if s3::has_code(&answer.body, "SlowDown")
            || s3::has_code(&answer.body, "RequestTimeout") =>
        {
            Trouble::Passing(says)
        }
        // Nor is it the document's fault where the credentials or the region are not right.
        _ if CREDENTIALS
            .iter()
            .any(|code| s3::has_code(&answer.body, code)) =>
        {
            Trouble::Lasting(says)
        }
        // Taken for a word about this one document: sent again, it would hold up those behind it in the spool.
        (400 | 411 | 413 | 414 | 415 | 422, _) => Trouble::Unfit(says),
        // 401, 403 and 404 are about rights and addresses: the report is good, and waits until somebody mends them.
        _ => Trouble::Lasting(says),
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Passing(says) | Self::Busy(says, _) | Self::Lasting(says) | Self::Unfit(says)) =
            self;
        f.write_str(says)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_of_credentials_drops_no_document() {
        let of = |status: u16, code: &str| {
            let body = format!("<Error><Code>{code}</Code></Error>").into_bytes();
            let status = status.try_into().unwrap();
            trouble(&Answer {
                status,
                after: None,
                body,
            })
        };
        for code in CREDENTIALS {
            assert!(matches!(of(400, code), Trouble::Lasting(_)), "{code}");
        }
        assert!(matches!(of(400, "SlowDown"), Trouble::Passing(_)));
        // The control: of the document itself.
        assert!(matches!(of(400, "EntityTooLarge"), Trouble::Unfit(_)));
    }
}
