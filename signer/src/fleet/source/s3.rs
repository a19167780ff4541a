//! Reports in S3, or in what speaks as S3 does: listed page by page, read many at a time.
//!
//! An instance that has ended leaves its last report behind for as long as the bucket keeps it. Objects are named for
//! their instance and their boot, and come in the order of their names: so a host's stand together, and one
//! that sent nothing for too long costs its place in the list and no request.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use ::http::Request;
use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use earmark_manifest::{crypto, limits};
use tokio::task::{JoinHandle, JoinSet};

use super::{
    Asked, Found, READ,
    listing::{Object, Page},
    pace::{MOST, Pace},
};
use crate::{
    aws::{self, Asker, Bucket, Session, Trouble, trouble},
    exit::{Exit, Exits, Next, Outcome},
    fleet::report::Taker,
};

/// A page has a thousand objects at most, each with a key of a kilobyte.
const PAGE: usize = 4 << 20;
/// An error says less than that.
const ANSWER: usize = 64 << 10;
const TRIES: u32 = 6;
const PAUSE: Duration = Duration::from_millis(200);
/// Seconds that the clock of the store may be behind.
const SLACK: u64 = 300;

/// Bucket that is read: its URL, the prefix, and the sender of requests.
#[derive(Clone)]
struct Store {
    asker: Asker,
    url: String,
    prefix: String,
    /// Requests that were not answered and are made again, since the pace asked last.
    refusals: Arc<AtomicUsize>,
}

type Read = (String, Result<Option<Bytes>>);

pub fn read(bucket: &Bucket, prefix: &str, asked: Asked<'_>) -> Outcome<Found> {
    let at = format!("s3://{bucket}/{prefix}");
    let region = aws::region(&format!("'{at}'"))?;
    let session = Session::many("s3", &region, MOST)?;
    let store = Store {
        asker: session.asker(),
        url: bucket.url(&region),
        prefix: prefix.to_owned(),
        refusals: Arc::default(),
    };
    session
        .run(all(&store, asked))
        .with_context(|| format!("failed to list the reports in '{at}'"))
        .exits(Exit::Undecided)
        .or_next(|| {
            "the caller needs s3:ListBucket on the bucket, and s3:GetObject on what is in it"
                .to_owned()
        })
}

async fn all(store: &Store, asked: Asked<'_>) -> Result<Found> {
    let mut reading = Reading {
        store,
        asked,
        taker: Taker::new(asked.now, asked.certificates),
        found: Found::default(),
        host: Vec::new(),
        tasks: JoinSet::new(),
        pace: Pace::new(Instant::now()),
    };
    let mut page = store.list(None).await;
    // What cannot be listed at all is an error; of the rest, what is known is told.
    if page.is_err() {
        page.as_ref().map_err(|error| anyhow!("{error:#}"))?;
    }
    loop {
        let listed = page.and_then(|page| {
            let next = page.next()?;
            Ok((page.objects(&store.prefix)?, next))
        });
        let (objects, next) = match listed {
            Ok(listed) => listed,
            Err(error) => {
                let why = format!("{error:#}");
                reading.found.unread.add("the rest of the list", &why);
                break;
            }
        };
        // Asked for already while this page is read.
        let ahead = next.map(|token| {
            let store = store.clone();
            tokio::spawn(async move { store.list(Some(&token)).await })
        });
        for object in objects {
            reading.add(object).await;
        }
        match ahead {
            None => break,
            Some(ahead) => page = joined(ahead).await,
        }
    }
    reading.finish().await;
    Ok(reading.found)
}

async fn joined<T>(task: JoinHandle<Result<T>>) -> Result<T> {
    task.await.context("the task of a request failed")?
}

struct Reading<'a> {
    store: &'a Store,
    asked: Asked<'a>,
    taker: Taker<'a>,
    found: Found,
    /// The objects of the host that the list is at.
    host: Vec<Object>,
    tasks: JoinSet<Read>,
    pace: Pace,
}

impl Reading<'_> {
    async fn add(&mut self, object: Object) {
        // A placeholder for a folder; what a writer has not finished.
        if object.name.is_empty() || object.name.starts_with('.') {
            return;
        }
        self.found.names += 1;
        if !is_report(&object.name) {
            let why = "its name is not that of a report";
            return self.found.unusable.add(&object.name, why);
        }
        let same = self.host.first().is_some_and(|first| {
            let (one, other) = (instance(&first.name), instance(&object.name));
            one == other && one != "unknown"
        });
        if !same {
            self.flush().await;
        }
        self.host.push(object);
    }

    /// Reads what can matter of a host.
    async fn flush(&mut self) {
        let host = std::mem::take(&mut self.host);
        let had = !host.is_empty();
        let host = wanted(host, self.asked);
        self.found.old += u64::from(had && host.is_empty());
        for object in host {
            if object.bytes > limits::REPORT as u64 {
                let why = format!(
                    "it has {} bytes, and at most {} are accepted",
                    object.bytes,
                    limits::REPORT
                );
                self.found.unusable.add(&object.name, &why);
                continue;
            }
            while self.tasks.len() >= self.pace.at_once() {
                self.take().await;
            }
            let store = self.store.clone();
            self.tasks.spawn(async move {
                let read = store.get(&object.name).await;
                (object.name, read)
            });
        }
    }

    async fn take(&mut self) {
        let (name, read) = match self.tasks.join_next().await {
            None => return,
            Some(Ok(read)) => read,
            Some(Err(_)) => return self.found.unread.add("a request", "it died"),
        };
        let refusals = || self.store.refusals.swap(0, Ordering::Relaxed);
        self.pace.answered(Instant::now(), refusals);
        match read {
            Ok(Some(bytes)) => self.found.take(&mut self.taker, &name, &bytes),
            // Removed since it was listed, as old ones are.
            Ok(None) => self.found.names -= 1,
            Err(error) => self.found.unread.add(&name, &format!("{error:#}")),
        }
    }

    async fn finish(&mut self) {
        self.flush().await;
        while !self.tasks.is_empty() {
            self.take().await;
        }
    }
}

impl Store {
    async fn list(&self, token: Option<&str>) -> Result<Page> {
        let mut url = format!(
            "{}/?delimiter=%2F&list-type=2&prefix={}",
            self.url,
            escaped(&self.prefix)
        );
        if let Some(token) = token {
            // In the order in which they are signed.
            url = format!(
                "{}/?continuation-token={}&delimiter=%2F&list-type=2&prefix={}",
                self.url,
                escaped(token),
                escaped(&self.prefix)
            );
        }
        let page = self.ask(&url, PAGE).await?;
        Page::parse(&page.context("status 404: no such bucket")?)
    }

    async fn get(&self, name: &str) -> Result<Option<Bytes>> {
        let url = format!("{}/{}{name}", self.url, self.prefix);
        let mut bytes = self.ask(&url, ANSWER).await?;
        if let Some(bytes) = &mut bytes {
            bytes.truncate(READ);
        }
        Ok(bytes)
    }

    /// Reads `url`, and retries on transient errors, up to the attempt limit.
    async fn ask(&self, url: &str, most: usize) -> Result<Option<Bytes>> {
        let mut pause = PAUSE;
        for _ in 1..TRIES {
            match self.once(url, most).await {
                Ok(found) => return Ok(found),
                Err(Trouble::Lasting(error)) => return Err(error),
                Err(Trouble::Passing(_)) => {
                    self.refusals.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(jittered(pause)).await;
                }
            }
            pause *= 2;
        }
        self.once(url, most)
            .await
            .map_err(|(Trouble::Passing(error) | Trouble::Lasting(error))| error)
    }

    async fn once(&self, url: &str, most: usize) -> Result<Option<Bytes>, Trouble> {
        let request = Request::get(url)
            .header("x-amz-content-sha256", crypto::sha256(b"").hex())
            .body(Bytes::new());
        let request = request
            .context("the endpoint is not a URL")
            .map_err(Trouble::Lasting)?;
        if request.uri().host().is_none() {
            return Err(Trouble::Lasting(anyhow!("the endpoint is not a URL")));
        }
        let answer = self.asker.send(request, most).await?;
        match answer.status().as_u16() {
            200 => Ok(Some(answer.into_body())),
            404 => Ok(None),
            _ => Err(trouble(&answer)),
        }
    }
}

/// Returns the objects of a host that can matter: all fresh ones; or, of a host that should be there, the last.
fn wanted(mut host: Vec<Object>, asked: Asked<'_>) -> Vec<Object> {
    let oldest = asked.now.saturating_sub(asked.silent_after + SLACK);
    if host.iter().any(|object| object.modified >= oldest) {
        host.retain(|object| object.modified >= oldest);
        return host;
    }
    let newest = host.into_iter().max_by_key(|object| object.modified);
    let newest = newest.filter(|newest| {
        let known = asked
            .inventory
            .and_then(|known| known.get(instance(&newest.name)));
        known.is_some_and(|instance| instance.running)
    });
    newest.into_iter().collect()
}

/// `INSTANCE.BOOT.json`, of letters that need no escapes.
fn is_report(name: &str) -> bool {
    let of_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let mut parts = name.split('.');
    let named = [parts.next(), parts.next()];
    let named =
        named.map(|part| part.is_some_and(|part| part.len() <= 64 && part.bytes().all(of_part)));
    named == [true; 2] && parts.next() == Some("json") && parts.next().is_none()
}

fn instance(name: &str) -> &str {
    name.split_once('.').map_or(name, |(instance, _)| instance)
}

/// As it is in a query.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(byte.into());
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// Between half of it and all: who was told to slow down together does not come back together.
fn jittered(pause: Duration) -> Duration {
    let chance = RandomState::new().hash_one(pause) % 1024;
    pause / 2 + pause / 2 * u32::try_from(chance).unwrap_or_default() / 1024
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::inventory::Inventory;

    #[test]
    fn reports_of_ended_boots_and_instances_are_not_fetched() {
        let object = |name: &str, modified: u64| Object {
            name: name.to_owned(),
            modified,
            bytes: 1,
        };
        let inventory = Inventory::of_running(&["i-1"]);
        let read = |objects: &[Object], inventory| -> Vec<String> {
            let asked = Asked {
                now: 10_000,
                silent_after: 900,
                certificates: None,
                inventory,
            };
            let wanted = wanted(objects.to_vec(), asked).into_iter();
            wanted.map(|object| object.name).collect()
        };
        // The clock of the store may be behind by a little.
        let reboot = [
            object("i-1.a.json", 9_990),
            object("i-1.b.json", 8_800),
            object("i-1.c.json", 8_799),
        ];
        assert_eq!(read(&reboot, None), ["i-1.a.json", "i-1.b.json"]);
        let old = [object("i-1.a.json", 100), object("i-1.b.json", 200)];
        assert!(read(&old, None).is_empty());
        assert_eq!(read(&old, Some(&inventory)), ["i-1.b.json"]);
        assert!(read(&[object("i-2.a.json", 100)], Some(&inventory)).is_empty());
        assert!(read(&[], None).is_empty());
    }

    #[test]
    fn s3_query_is_escaped_report_names_are_strict_and_pause_is_jittered() {
        assert_eq!(escaped("web/a+b=="), "web%2Fa%2Bb%3D%3D");
        let boot = "7e1c9c3e-1b7a-4a0e-9d57-0c4fba6f3a11";
        assert!(is_report(&format!("i-0123456789abcdef0.{boot}.json")));
        assert!(is_report(&format!("unknown.{boot}.json")));
        for bad in [
            "a.json",
            "a.b.c.json",
            "A.b.json",
            "a.b.txt",
            "a b.c.json",
            "../a.b.json",
            "a?.b.json",
        ] {
            assert!(!is_report(bad), "{bad}");
        }
        let pause = jittered(PAUSE);
        assert!((PAUSE / 2..=PAUSE).contains(&pause), "{pause:?}");
    }
}
