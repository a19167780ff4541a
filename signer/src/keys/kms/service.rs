//! Requests to KMS, signed with the caller's credentials.

mod context;
mod http;

use std::time::Duration;

use ::http::{Request, request::Parts};
use anyhow::{Context as _, Result, anyhow, bail};
use bytes::Bytes;
use earmark_manifest::crypto;
use reqsign_aws_v4::{
    AssumeRoleWithWebIdentityCredentialProvider, Credential, DefaultCredentialProvider,
    RequestSigner,
};
use reqsign_core::{Context, Signer};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use self::{context::Host, http::Http};
use super::reference::{Reference, is_region};
use crate::{
    exit::{Exit, Failure, Outcome},
    output,
};

/// One region's KMS.
pub struct Service {
    runtime: Runtime,
    http: Http,
    signer: Signer<Credential>,
    endpoint: String,
}

/// How often a request is tried, and how long is waited before the second time; then twice as long.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(500);

/// An answer that another try may mend, or not.
enum Trouble {
    Passing(anyhow::Error),
    Lasting(anyhow::Error),
}

impl Service {
    /// Of the region that the reference, or else the environment, names. Nothing is sent yet.
    pub fn new(reference: &Reference) -> Outcome<Self> {
        let region = match reference.region() {
            Some(region) => region.to_owned(),
            None => variable("AWS_REGION")
                .or_else(|| variable("AWS_DEFAULT_REGION"))
                .ok_or_else(|| {
                    let unknown = format!("the region of {reference} is not known");
                    Failure::new(Exit::Usage, unknown).next("give its ARN, or set AWS_REGION")
                })?,
        };
        if !is_region(&region) {
            let bad = format!("'{}' is no region of AWS", output::plain(&region));
            return Err(Failure::new(Exit::Usage, bad));
        }
        let endpoint = variable("AWS_ENDPOINT_URL_KMS")
            .or_else(|| variable("AWS_ENDPOINT_URL"))
            .unwrap_or_else(|| endpoint(&region));
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .context("failed to start")?;
        let http = Http::new().context("failed to make an HTTP client")?;
        let context = Context::new()
            .with_file_read(Host)
            .with_env(Host)
            .with_http_send(http.clone());
        let web_identity = AssumeRoleWithWebIdentityCredentialProvider::new()
            .with_region(region.clone())
            .with_regional_sts_endpoint();
        // A program that a profile names (`credential_process`) is not run.
        let credentials = DefaultCredentialProvider::builder()
            .web_identity(web_identity)
            .no_process()
            .build();
        let signer = Signer::new(context, credentials, RequestSigner::new("kms", &region));
        Ok(Self {
            runtime,
            http,
            signer,
            endpoint,
        })
    }

    /// Calls the operation, and gives its answer.
    pub fn call(&self, operation: &str, request: &Value) -> Result<Value> {
        let body = Bytes::from(serde_json::to_vec(request)?);
        let mut pause = PAUSE;
        self.runtime.block_on(async {
            for _ in 1..TRIES {
                match self.once(operation, body.clone()).await {
                    Ok(answer) => return Ok(answer),
                    Err(Trouble::Lasting(error)) => return Err(error),
                    Err(Trouble::Passing(_)) => tokio::time::sleep(pause).await,
                }
                pause *= 2;
            }
            match self.once(operation, body.clone()).await {
                Ok(answer) => Ok(answer),
                Err(Trouble::Passing(error) | Trouble::Lasting(error)) => Err(error),
            }
        })
    }

    async fn once(&self, operation: &str, body: Bytes) -> Result<Value, Trouble> {
        let mut head = self.head(operation, &body).map_err(Trouble::Lasting)?;
        self.signer
            .sign(&mut head, None)
            .await
            .map_err(|error| Trouble::Lasting(anyhow!("no credentials of AWS: {error}")))?;
        let answer = self.http.send(Request::from_parts(head, body)).await;
        let answer = answer.map_err(|error| {
            Trouble::Passing(error.context(format!("no answer of {}", self.endpoint)))
        })?;
        let status = answer.status();
        let parsed: Option<Value> = serde_json::from_slice(answer.body()).ok();
        if status.is_success() {
            let parsed = parsed.context("the answer is not JSON");
            return parsed.map_err(Trouble::Lasting);
        }
        let error = refusal(status.as_u16(), parsed.as_ref());
        let throttled = error.to_string().contains("Throttling") || status.as_u16() == 429;
        if status.is_server_error() || throttled {
            Err(Trouble::Passing(error))
        } else {
            Err(Trouble::Lasting(error))
        }
    }

    fn head(&self, operation: &str, body: &[u8]) -> Result<Parts> {
        let request = Request::post(format!("{}/", self.endpoint.trim_end_matches('/')))
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("TrentService.{operation}"))
            .header("x-amz-content-sha256", crypto::sha256(body).hex())
            .body(());
        let (head, ()) = request
            .with_context(|| format!("the endpoint '{}'", output::plain(&self.endpoint)))?
            .into_parts();
        if head.uri.host().is_none() {
            bail!("the endpoint '{}' is no URL", output::plain(&self.endpoint));
        }
        Ok(head)
    }
}

/// What AWS says, which others may have written: shown escaped, and not at length.
fn refusal(status: u16, answer: Option<&Value>) -> anyhow::Error {
    let text = |names: &[&str]| {
        let found = names.iter().find_map(|name| answer?.get(*name)?.as_str());
        let text: String = found.unwrap_or_default().chars().take(300).collect();
        output::plain(&text)
    };
    let kind = text(&["__type"]);
    let kind = kind.rsplit('#').next().unwrap_or_default();
    anyhow!("status {status}: {kind}: {}", text(&["message", "Message"]))
}

/// The regional endpoint.
fn endpoint(region: &str) -> String {
    let fips = variable("AWS_USE_FIPS_ENDPOINT").is_some_and(|value| value == "true");
    let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
    let fips = if fips { "-fips" } else { "" };
    format!("https://kms{fips}.{region}.amazonaws.com{suffix}")
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn endpoints_are_regional() {
        assert_eq!(
            endpoint("eu-central-1"),
            "https://kms.eu-central-1.amazonaws.com"
        );
        assert_eq!(
            endpoint("cn-north-1"),
            "https://kms.cn-north-1.amazonaws.com.cn"
        );
    }

    #[test]
    fn what_aws_says_cannot_drive_a_terminal() {
        let answer = json!({ "__type": "x#NotFoundException", "message": "no\u{1b}[2J key" });
        let said = refusal(400, Some(&answer)).to_string();
        assert_eq!(said, "status 400: NotFoundException: no\\u{1b}[2J key");
        assert_eq!(refusal(502, None).to_string(), "status 502: : ");
    }
}
