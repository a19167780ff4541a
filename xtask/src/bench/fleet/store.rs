//! A store that is asked as S3 is, and takes a fixed time for each answer: measured is who asks, not a server that
//! shares its processors. It checks no signature; the tests have one that does.

use std::{
    fmt::Write as _,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result};

/// How long it takes, in milliseconds, as S3 does for a small object in the same region.
pub const ANSWER_MS: u64 = 20;
/// Objects on a page of a list: as many as S3 puts there.
const PAGE: usize = 1_000;
/// What the store's bucket and the reports' prefix are called.
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
    requests: AtomicUsize,
    /// Requests that wait for their answer now, and the most there were.
    open: AtomicUsize,
    most: AtomicUsize,
}

impl Store {
    /// Serves the files of a directory as objects.
    pub fn start(reports: &Path) -> Result<Self> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(reports).context("failed to list the reports")? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        let served = Arc::new(Served {
            reports: reports.to_owned(),
            names,
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

    /// How many requests there were, and how many at once at most.
    pub fn requests(&self) -> (usize, usize) {
        let read = |number: &AtomicUsize| number.load(Ordering::Relaxed);
        (read(&self.served.requests), read(&self.served.most))
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
            self.requests.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(ANSWER_MS));
            let body = self.answer(&target);
            self.open.fetch_sub(1, Ordering::Relaxed);
            let status = if body.is_some() {
                "200 OK"
            } else {
                "404 Not Found"
            };
            let body = body.unwrap_or_default();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            to.write_all(&[head.as_bytes(), &body].concat())?;
        }
        Ok(())
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

/// What is asked for, by a request without a body; nothing when there is none any more.
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
