//! AWS, as KMS and S3 are spoken with: where credentials come from, and requests that are signed with them.

mod bucket;
mod context;
mod http;

use std::time::Duration;

use ::http::{Request, Response};
use anyhow::{Context as _, Result, anyhow};
use bytes::Bytes;
use earmark_manifest::name::Region;
use earmark_scan::threads;
use reqsign_aws_v4::{
    AssumeRoleWithWebIdentityCredentialProvider, Credential, DefaultCredentialProvider,
    RequestSigner,
};
use reqsign_core::{Context, Signer};
use tokio::runtime::{Builder, Runtime};

use self::context::Host;
pub use self::{
    bucket::{Bucket, said, trouble},
    http::Http,
};
use crate::{
    exit::{Exit, Failure, Outcome},
    io::output,
};

/// One service in one region, and who asks it.
pub struct Session {
    runtime: Runtime,
    asker: Asker,
}

/// Sender of signed requests. Copies of it send with the same credentials, over the same connections.
#[derive(Clone)]
pub struct Asker {
    http: Http,
    signer: Signer<Credential>,
}

/// An answer that another try may mend, or not.
pub enum Trouble {
    /// It may.
    Passing(anyhow::Error),
    /// It cannot.
    Lasting(anyhow::Error),
}

/// Attempts for one request, and the wait before the second; the wait doubles each time.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(500);

impl Session {
    /// With the service of that name, such as `kms`. Nothing is sent yet.
    pub fn new(service: &str, region: &str) -> Outcome<Self> {
        Self::with(Builder::new_current_thread(), 0, service, region)
    }

    /// The same, for many requests at a time: as many connections are kept between them.
    pub fn many(service: &str, region: &str, at_once: usize) -> Outcome<Self> {
        Self::with(Builder::new_multi_thread(), at_once, service, region)
    }

    fn with(mut builder: Builder, kept: usize, service: &str, region: &str) -> Outcome<Self> {
        // The runtime looks names up on threads of its own, and panics if the first cannot be created.
        threads::spawn(|| ()).context("failed to start a thread for requests to AWS")?;
        let runtime = builder.enable_all().build().context("failed to start")?;
        let http = Http::keeping(kept).context("failed to make an HTTP client")?;
        let context = Context::new()
            .with_file_read(Host)
            .with_env(Host)
            .with_http_send(http.clone());
        let web_identity = AssumeRoleWithWebIdentityCredentialProvider::new()
            .with_region(region.to_owned())
            .with_regional_sts_endpoint();
        // A program that a profile names (`credential_process`) is not run.
        let credentials = DefaultCredentialProvider::builder()
            .web_identity(web_identity)
            .no_process()
            .build();
        let signer = Signer::new(context, credentials, RequestSigner::new(service, region));
        let asker = Asker { http, signer };
        Ok(Self { runtime, asker })
    }

    /// Returns the sender of requests, for tasks of their own.
    pub fn asker(&self) -> Asker {
        self.asker.clone()
    }

    /// Runs it, and the tasks that it starts.
    pub fn run<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Retries `once` on transient errors, up to the attempt limit.
    pub fn persist<T>(&self, once: &impl AsyncFn(&Self) -> Result<T, Trouble>) -> Result<T> {
        let mut pause = PAUSE;
        self.runtime.block_on(async {
            for _ in 1..TRIES {
                match once(self).await {
                    Ok(answer) => return Ok(answer),
                    Err(Trouble::Lasting(error)) => return Err(error),
                    Err(Trouble::Passing(_)) => tokio::time::sleep(pause).await,
                }
                pause *= 2;
            }
            match once(self).await {
                Ok(answer) => Ok(answer),
                Err(Trouble::Passing(error) | Trouble::Lasting(error)) => Err(error),
            }
        })
    }

    /// As [`Asker::send`].
    pub async fn send(
        &self,
        request: Request<Bytes>,
        most: usize,
    ) -> Result<Response<Bytes>, Trouble> {
        self.asker.send(request, most).await
    }
}

impl Asker {
    /// Signs and sends it, once. The answer has at most so many bytes.
    pub async fn send(
        &self,
        request: Request<Bytes>,
        most: usize,
    ) -> Result<Response<Bytes>, Trouble> {
        let (mut head, body) = request.into_parts();
        self.signer
            .sign(&mut head, None)
            .await
            .map_err(|error| Trouble::Lasting(anyhow!("no AWS credentials: {error}")))?;
        let server = head.uri.host().unwrap_or_default().to_owned();
        let answer = self.http.send(Request::from_parts(head, body), most).await;
        answer.map_err(|error| {
            Trouble::Passing(error.context(format!("no answer from {}", output::plain(&server))))
        })
    }
}

/// Returns whether an error answer is transient, by its status or error code: a retry may succeed.
pub fn is_passing(status: u16, error: &str) -> bool {
    const THROTTLED: [&str; 3] = ["Throttling", "SlowDown", "RequestTimeout"];
    status >= 500 || status == 429 || THROTTLED.iter().any(|word| error.contains(word))
}

/// The region that the environment names; `what` needs it.
pub fn region(what: &str) -> Outcome<String> {
    let region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
    let region = region.ok_or_else(|| {
        let unknown = format!("the region of {what} is not known");
        Failure::new(Exit::Usage, unknown).next("set AWS_REGION")
    })?;
    checked_region(region)
}

/// The region, if it is one.
pub fn checked_region(region: String) -> Outcome<String> {
    if is_region(&region) {
        return Ok(region);
    }
    let bad = format!("'{}' is not an AWS region", output::plain(&region));
    Err(Failure::new(Exit::Usage, bad))
}

/// It becomes a part of a server's name: nothing may follow that makes it another's.
pub fn is_region(text: &str) -> bool {
    text.parse::<Region>().is_ok()
}

/// Returns the domain that the names of AWS's servers end in, in a region.
pub fn domain(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    }
}

/// Another endpoint than AWS's for a service, such as `KMS`.
pub fn endpoint(service: &str) -> Option<String> {
    variable(&format!("AWS_ENDPOINT_URL_{service}")).or_else(|| variable("AWS_ENDPOINT_URL"))
}

/// Returns whether only FIPS 140 endpoints may be used: `AWS_USE_FIPS_ENDPOINT` is `true`.
pub fn wants_fips() -> bool {
    variable("AWS_USE_FIPS_ENDPOINT").is_some_and(|value| value == "true")
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
