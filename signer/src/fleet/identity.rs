//! EC2's word for which instance a report is of.
//!
//! The metadata service hands out a document with the instance's id, and a signature over it by a key of AWS
//! for the region. Protects against a report in the name of another instance by somebody who has never been
//! on it. Does not protect against who has seen the document: it is the same for the whole life of an
//! instance, and says nothing of the report that it is in.

#[expect(
    clippy::redundant_closure_for_method_calls,
    reason = "a method of one lifetime is not a closure for all of them"
)]
mod certificate;
#[expect(
    clippy::redundant_closure_for_method_calls,
    reason = "a method of one lifetime is not a closure for all of them"
)]
mod cms;

use std::path::Path;

use anyhow::{Context, anyhow};
use base64::{Engine, prelude::BASE64_STANDARD};
use earmark_manifest::{crypto::RsaKey, report::Report};
use serde::Deserialize;

use crate::{
    exit::{Exit, Exits, Next, Outcome},
    io::{files, output::quote},
};

/// The keys of AWS that the user names. A certificate is pinned: neither who signed it nor how long it is
/// good decides anything, since those of AWS are signed by themselves.
#[derive(Debug)]
pub struct Certificates(Vec<RsaKey>);

/// A certificate for each region, and as many that are to come.
const MOST: usize = 128;
const FILE: usize = 1 << 20;

/// Reason why a report does not count as one of the instance that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    #[error("it names no instance")]
    Nameless,
    #[error("it has no signed identity document")]
    Missing,
    #[error("the signature of its identity document cannot be read")]
    Malformed,
    #[error("its identity document is not the one that was signed")]
    OtherDocument,
    #[error("its identity document is of another instance")]
    OtherInstance,
    #[error("no given certificate is of the signer of its identity document")]
    Signature,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    instance_id: String,
    region: Option<String>,
}

impl Certificates {
    /// From a file of PEM blocks.
    pub fn read(path: &Path) -> Outcome<Self> {
        let bytes = files::read(path, FILE, "certificates")?;
        Self::parse(&bytes)
            .with_context(|| format!("failed to use the certificates {}", quote(path)))
            .exits(Exit::Usage)
            .or_next(|| {
                "give the RSA-2048 certificates that AWS publishes for your regions, as PEM"
                    .to_owned()
            })
    }

    fn parse(pem: &[u8]) -> anyhow::Result<Self> {
        let text = std::str::from_utf8(pem).context("it is not text")?;
        let keys = pem_blocks(text).enumerate().map(|(index, block)| {
            let der = BASE64_STANDARD.decode(block);
            let der = der.map_err(|_| anyhow!("certificate {} is not base64", index + 1))?;
            certificate::rsa_key(der).with_context(|| format!("certificate {}", index + 1))
        });
        let keys = keys.take(MOST + 1).collect::<anyhow::Result<Vec<_>>>()?;
        match keys.len() {
            0 => Err(anyhow!("it has no certificate")),
            1..=MOST => Ok(Self(keys)),
            _ => Err(anyhow!("it has more than {MOST} certificates")),
        }
    }

    /// Checks that the report's identity document is one that AWS signed, and of the instance that the report
    /// names. The region that it says then is AWS's word.
    pub fn check(&self, report: &Report) -> Result<Option<String>, Unproven> {
        let instance = report.instance.as_ref().ok_or(Unproven::Nameless)?;
        let ec2 = report.ec2.as_ref().ok_or(Unproven::Missing)?;
        let signature = ec2.signature.as_ref().ok_or(Unproven::Missing)?;
        let signature = BASE64_STANDARD.decode(signature);
        let signed = signature
            .ok()
            .and_then(cms::parse)
            .ok_or(Unproven::Malformed)?;
        if signed.content() != ec2.document.as_bytes() {
            return Err(Unproven::OtherDocument);
        }
        if !self.0.iter().any(|key| signed.is_by(key)) {
            return Err(Unproven::Signature);
        }
        let document: Document =
            serde_json::from_str(&ec2.document).map_err(|_| Unproven::Malformed)?;
        if document.instance_id != instance.as_str() {
            return Err(Unproven::OtherInstance);
        }
        Ok(document.region)
    }
}

/// Returns the text between the lines that begin and end a certificate, without its line ends. Text round them,
/// such as the names of regions, is let pass.
fn pem_blocks(text: &str) -> impl Iterator<Item = String> {
    let blocks = text.split("-----BEGIN CERTIFICATE-----").skip(1);
    blocks.map(|block| {
        let (body, _) = block
            .split_once("-----END CERTIFICATE-----")
            .unwrap_or_default();
        body.split_ascii_whitespace().collect()
    })
}

#[cfg(test)]
mod tests;
