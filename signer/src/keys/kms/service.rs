//! Requests to KMS.

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use earmark_manifest::crypto;
use http::Request;
use serde_json::Value;

use super::reference::Reference;
use crate::{
    aws::{self, Session, Trouble},
    exit::{Next, Outcome},
    io::output,
};

/// An answer longer than this is none of KMS.
const ANSWER: usize = 256 * 1024;

/// One region's KMS.
pub struct Service {
    session: Session,
    endpoint: String,
}

impl Service {
    /// Of the region that the reference, or else the environment, names. Nothing is sent yet.
    pub fn new(reference: &Reference) -> Outcome<Self> {
        let region = match reference.region() {
            Some(region) => aws::checked_region(region.to_owned())?,
            None => aws::region(&reference.to_string())
                .or_next(|| "give its ARN, or set AWS_REGION".to_owned())?,
        };
        Ok(Self {
            session: Session::new("kms", &region)?,
            endpoint: aws::endpoint("KMS").unwrap_or_else(|| endpoint(&region)),
        })
    }

    /// Calls the operation, and gives its answer.
    pub fn call(&self, operation: &str, request: &Value) -> Result<Value> {
        let body = Bytes::from(serde_json::to_vec(request)?);
        self.session.persist(&async |session: &Session| {
            let request = self
                .request(operation, body.clone())
                .map_err(Trouble::Lasting)?;
            let answer = session.send(request, ANSWER).await?;
            let status = answer.status();
            let parsed: Option<Value> = serde_json::from_slice(answer.body()).ok();
            if status.is_success() {
                let parsed = parsed.context("the answer is not JSON");
                return parsed.map_err(Trouble::Lasting);
            }
            let error = refusal(status.as_u16(), parsed.as_ref());
            if aws::is_passing(status.as_u16(), &error.to_string()) {
                Err(Trouble::Passing(error))
            } else {
                Err(Trouble::Lasting(error))
            }
        })
    }

    fn request(&self, operation: &str, body: Bytes) -> Result<Request<Bytes>> {
        let request = Request::post(format!("{}/", self.endpoint.trim_end_matches('/')))
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("TrentService.{operation}"))
            .header("x-amz-content-sha256", crypto::sha256(&body).hex())
            .body(body)
            .with_context(|| format!("the endpoint '{}'", output::plain(&self.endpoint)))?;
        if request.uri().host().is_none() {
            bail!(
                "the endpoint '{}' is not a URL",
                output::plain(&self.endpoint)
            );
        }
        Ok(request)
    }
}

/// Builds the error from AWS's answer, which others may have written: escaped, each text cut to 300 characters.
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
    let fips = if aws::wants_fips() { "-fips" } else { "" };
    format!("https://kms{fips}.{region}.{}", aws::domain(region))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kms_endpoint_follows_region_and_partition() {
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
    fn kms_error_message_is_escaped() {
        let answer = json!({ "__type": "x#NotFoundException", "message": "no\u{1b}[2J key" });
        let said = refusal(400, Some(&answer)).to_string();
        assert_eq!(said, "status 400: NotFoundException: no\\u{1b}[2J key");
        assert_eq!(refusal(502, None).to_string(), "status 502: : ");
    }
}
