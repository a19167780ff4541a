//! A store that is asked as S3 is, takes a fixed time for each answer, and refuses more than so many a second: measured
//! is who asks, not a server that shares its processors. It checks no signature; the tests have one that does.

use std::{
    fmt::Write as _,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

/// Requests a second, for a prefix. As AWS's guide to S3's performance has it.
pub const RATE: usize = 5_500;
/// It looks at them in such a time.
const WINDOW: Duration = Duration::from_millis(100);
/// Objects on a page of a list: as many as S3 puts there.
const PAGE: usize = 1_000;
/// URL of the reports: the store's bucket and their prefix.
pub const URL: &str = "s3://reports/web/";

/// It serves until the program ends.
#[derive(Debug)]
pub struct Store {
    /// For `AWS_ENDPOINT_URL`.
    pub endpoint: String,
    served: Arc<Served>,
}

#[derive(Debug)]
struct Served {
    reports: PathBuf,
    names: Vec<String>,
    answer: Duration,
    /// Begin of the window, and the number of requests in it.
    window: Mutex<(Instant, usize)>,
    refused: AtomicUsize,
    requests: AtomicUsize,
    /// Requests that wait for their answer now, and the most there were.
    open: AtomicUsize,
    most: AtomicUsize,
}

impl Store {
    /// Serves the files of a directory as objects, each after that time.
    pub fn start(reports: &Path, answer: Duration) -> Result<Self> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(reports).context("failed to list the reports")? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        let served = Arc::new(Served {
            reports: reports.to_owned(),
            names,
            answer,
            window: Mutex::new((Instant::now(), 0)),
            refused: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").context("failed to listen")?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let for_all = served.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = for_all.clone();
                // Whoever hangs up has all that they want; a request that fails is told by who made it.
                thread::spawn(move || served.converse(stream).ok());
            }
        });
        Ok(Self { endpoint, served })
    }

    /// Returns the numbers of requests that it took, that it refused, and that waited at once at most.
    pub fn requests(&self) -> [usize; 3] {
        let read = |number: &AtomicUsize| number.load(Ordering::Relaxed);
        let served = &self.served;
        [&served.requests, &served.refused, &served.most].map(read)
    }
}

impl Served {
    fn converse(&self, stream: TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        let mut to = stream.try_clone()?;
        let mut from = BufReader::new(stream);
        while let Some(target) = request(&mut from)? {
            let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
            self.most.fetch_max(open, Ordering::Relaxed);
            let (status, body) = if self.is_too_much() {
                self.refused.fetch_add(1, Ordering::Relaxed);
                let slow_down = b"<Error><Code>SlowDown</Code></Error>".to_vec();
                ("503 Slow Down", slow_down)
            } else {
                self.requests.fetch_add(1, Ordering::Relaxed);
                thread::sleep(self.answer);
                match self.answer(&target) {
                    Some(body) => ("200 OK", body),
                    None => ("404 Not Found", Vec::new()),
                }
            };
            self.open.fetch_sub(1, Ordering::Relaxed);
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            to.write_all(&[head.as_bytes(), &body].concat())?;
        }
        Ok(())
    }

    fn is_too_much(&self) -> bool {
        let Ok(mut window) = self.window.lock() else {
            return true;
        };
        if window.0.elapsed() >= WINDOW {
            *window = (Instant::now(), 0);
        }
        window.1 += 1;
        window.1 > RATE / 10
    }

    fn answer(&self, target: &str) -> Option<Vec<u8>> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        match path.strip_prefix("/reports/")? {
            "" => Some(self.page(query).into_bytes()),
            object => std::fs::read(self.reports.join(object.strip_prefix("web/")?)).ok(),
        }
    }

    /// A page of the list; the token for the next one is where it begins.
    fn page(&self, query: &str) -> String {
        let token = |pair: &str| pair.strip_prefix("continuation-token=")?.parse().ok();
        let start: usize = query.split('&').find_map(token).unwrap_or(0);
        let end = (start + PAGE).min(self.names.len());
        let goes_on = end < self.names.len();
        let mut xml = format!("<ListBucketResult><IsTruncated>{goes_on}</IsTruncated>");
        if goes_on {
            let _ = write!(xml, "<NextContinuationToken>{end}</NextContinuationToken>");
        }
        for name in self.names.get(start..end).unwrap_or_default() {
            let _ = write!(
                xml,
                "<Contents><Key>web/{name}</Key><LastModified>2100-01-01T00:00:00.000Z</LastModified>\
                 <ETag>&quot;0&quot;</ETag><Size>3000</Size></Contents>"
            );
        }
        xml + "</ListBucketResult>"
    }
}

/// Reads a request without a body and returns its target; nothing when there is none any more.
fn request(from: &mut impl BufRead) -> Result<Option<String>> {
    let mut head = String::new();
    let mut lines = from.take(64 * 1024);
    while lines.read_line(&mut head)? > 0 {
        if head.ends_with("\r\n\r\n") {
            let target = head.split(' ').nth(1).context("no request")?;
            return Ok(Some(target.to_owned()));
        }
    }
    Ok(None)
}
