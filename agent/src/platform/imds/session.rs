//! Requests with a session token: IMDSv2, and nothing else.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use reqwest::{
    Client, StatusCode,
    dns::{Name, Resolve, Resolving},
    header::HeaderValue,
};
use rustls::RootCertStore;
use tokio::time::Instant;

use super::{
    ImdsError,
    request::{Fault, send},
};
use crate::transport::http::{self, innermost};

/// The service is on the same machine, and answers in milliseconds.
const CONNECT: Duration = Duration::from_secs(1);
/// From the connection to the last byte: one byte a second must end.
const REQUEST: Duration = Duration::from_secs(2);
/// The first wait before something is tried again, and the longest.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A deadline beyond this is none, and could not be added to the time.
const LONGEST_DEADLINE: Duration = Duration::from_hours(24);

const TOKEN_PATH: &str = "api/token";
const TOKEN_BOUND: usize = 1024;
const TOKEN_HEADER: &str = "X-aws-ec2-metadata-token";
const TTL_HEADER: &str = "X-aws-ec2-metadata-token-ttl-seconds";
/// As long as first boot may need it; one that ran out is renewed.
const TTL_SECONDS: &str = "300";

/// A client, and its token.
#[derive(Debug)]
pub(super) struct Session {
    http: Client,
    endpoints: Vec<String>,
    allowed: Duration,
    deadline: Instant,
    token: Mutex<Option<Token>>,
}

/// A token, and the endpoint that gave it. Its header is marked sensitive, which `Debug` minds.
#[derive(Debug, Clone)]
struct Token {
    endpoint: String,
    value: HeaderValue,
}

/// The service is addressed by literals. Should a name come along, it must not be looked up: the C
/// library would load code to do so (docs/adr/0005), and the answer would be the network's.
#[derive(Debug)]
struct NoNames;

impl Resolve for NoNames {
    fn resolve(&self, _: Name) -> Resolving {
        Box::pin(async { Err(io::Error::other("names are not looked up").into()) })
    }
}

impl Session {
    pub(super) fn new(endpoints: Vec<String>, allowed: Duration) -> Result<Self, ImdsError> {
        let allowed = allowed.min(LONGEST_DEADLINE);
        let failed = |cause: String| ImdsError::Client { cause };
        // Nobody's word is needed here: the service speaks no TLS.
        let http = http::client(RootCertStore::empty())
            .map_err(|error| failed(error.to_string()))?
            .dns_resolver(NoNames)
            .connect_timeout(CONNECT)
            .timeout(REQUEST)
            .build()
            .map_err(|error| failed(innermost(&error)))?;
        Ok(Self {
            http,
            endpoints,
            allowed,
            deadline: Instant::now() + allowed,
            token: Mutex::new(None),
        })
    }

    /// Gets the value at `path`, of at most `bound` bytes; `None` if there is none (404). Retries transient
    /// errors until the deadline.
    pub(super) async fn get(&self, path: &str, bound: usize) -> Result<Option<Vec<u8>>, ImdsError> {
        let late = |last: &str| ImdsError::Late {
            path: path.to_owned(),
            seconds: self.allowed.as_secs(),
            last: last.to_owned(),
        };
        let mut last = "timed out".to_owned();
        let mut wait = FIRST_WAIT;
        let mut is_renewed = false;
        loop {
            let attempt = self.attempt(path, bound);
            match tokio::time::timeout_at(self.deadline, attempt).await {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(Fault::Final(error))) => return Err(error),
                // It may have run out, or the instance was stopped and started.
                Ok(Err(Fault::Unauthorized)) if !is_renewed => {
                    // Once, as there is no wait: a service that refuses its own tokens would be asked in a tight loop.
                    is_renewed = true;
                    self.forget_token();
                    continue;
                }
                Ok(Err(Fault::Unauthorized)) => {
                    return Err(ImdsError::TokenRefused {
                        path: path.to_owned(),
                    });
                }
                Ok(Err(Fault::Passing(reason))) => last = reason,
                Err(_) => return Err(late(&last)),
            }
            let pause = jittered(wait);
            if Instant::now() + pause >= self.deadline {
                return Err(late(&last));
            }
            tokio::time::sleep(pause).await;
            wait = wait.saturating_mul(2).min(LONGEST_WAIT);
        }
    }

    async fn attempt(&self, path: &str, bound: usize) -> Result<Option<Vec<u8>>, Fault> {
        let kept = self.token().clone();
        let token = match kept {
            Some(token) => token,
            None => self.new_token().await?,
        };
        let url = format!("{}/latest/{path}", token.endpoint);
        let request = self.http.get(url).header(TOKEN_HEADER, token.value);
        let answer = send(request, path, bound).await;
        if matches!(answer, Err(Fault::Passing(_))) {
            // The other endpoint may be the one that works by now.
            self.forget_token();
        }
        answer
    }

    /// Asks the endpoints in their order. Without a token nothing is asked: not every service that
    /// gives none would mind.
    async fn new_token(&self) -> Result<Token, Fault> {
        let mut reasons = Vec::new();
        for endpoint in &self.endpoints {
            let url = format!("{endpoint}/latest/{TOKEN_PATH}");
            let request = self.http.put(url).header(TTL_HEADER, TTL_SECONDS);
            let status = |status: StatusCode| ImdsError::Status {
                path: TOKEN_PATH.to_owned(),
                status: status.as_u16(),
            };
            match send(request, TOKEN_PATH, TOKEN_BOUND).await {
                Ok(Some(bytes)) => {
                    let token = Token {
                        endpoint: endpoint.clone(),
                        value: token_header(&bytes).ok_or_else(|| {
                            Fault::Final(ImdsError::Malformed {
                                path: TOKEN_PATH.to_owned(),
                                expected: "a token of printable characters",
                            })
                        })?,
                    };
                    *self.token() = Some(token.clone());
                    return Ok(token);
                }
                // What knows no tokens, such as an emulator of IMDSv1, is not EC2: it is asked nothing without one.
                Ok(None) => return Err(Fault::Final(status(StatusCode::NOT_FOUND))),
                Err(Fault::Unauthorized) => {
                    return Err(Fault::Final(status(StatusCode::UNAUTHORIZED)));
                }
                // Only a passing error leads on to the next address: a refusal is the service's own answer.
                Err(Fault::Passing(reason)) => reasons.push(format!("{endpoint}: {reason}")),
                Err(other) => return Err(other),
            }
        }
        Err(Fault::Passing(reasons.join("; ")))
    }

    fn token(&self) -> MutexGuard<'_, Option<Token>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget_token(&self) {
        *self.token() = None;
    }
}

/// A token goes back into a header: it is one word, and never shown.
fn token_header(bytes: &[u8]) -> Option<HeaderValue> {
    let is_word = !bytes.is_empty() && bytes.iter().all(u8::is_ascii_graphic);
    let mut value = HeaderValue::from_bytes(bytes).ok().filter(|_| is_word)?;
    value.set_sensitive(true);
    Some(value)
}

/// From half of `wait` to all of it: hosts that were started together must not ask together for ever.
fn jittered(wait: Duration) -> Duration {
    // The seed of the standard library's hash tables is as random as this needs.
    let random = RandomState::new().hash_one(wait.as_nanos());
    let share = u32::try_from(random % 1_000).unwrap_or_default();
    (wait / 2).saturating_add((wait / 2_000).saturating_mul(share))
}
