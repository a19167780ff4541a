//! Keys that stay in AWS KMS: docs/adr/0010-signing-keys.md.

mod reference;
mod service;

use std::fmt;

use anyhow::{Context, Result, bail};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use earmark_manifest::crypto::{self, Algorithm, PublicKey};
use serde_json::{Value, json};

pub use self::reference::Reference;
use self::service::Service;
use crate::{
    exit::{Exit, Exits, Next, Outcome},
    io::output,
};

/// KMS takes a message of at most so many bytes. A P-256 key gets a digest; an Ed25519 key cannot: the
/// signature over a digest would be another algorithm's, Ed25519ph.
const MESSAGE: usize = 4096;

/// A private key in KMS.
pub struct Key {
    service: Service,
    /// As the service says: what an alias names can change between two requests.
    arn: String,
    algorithm: Algorithm,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} awskms:{}", self.algorithm, output::plain(&self.arn))
    }
}

impl Key {
    /// Asks for the public half.
    pub fn open(reference: &Reference) -> Outcome<(Self, PublicKey)> {
        let service = Service::new(reference)?;
        let open = || -> Result<(Self, PublicKey)> {
            let answer = service.call("GetPublicKey", &json!({ "KeyId": reference.key() }))?;
            let public = PublicKey::from_spki(&bytes(&answer, "PublicKey")?)?;
            let key = Self {
                arn: text(&answer, "KeyId")?.to_owned(),
                algorithm: public.algorithm(),
                service,
            };
            Ok((key, public))
        };
        open()
            .with_context(|| format!("failed to use the key {reference}"))
            .exits(Exit::Undecided)
            .or_next(|| {
                "the caller needs kms:GetPublicKey and kms:Sign on a key for SIGN_VERIFY, \
                 ECC_NIST_P256 or ECC_NIST_EDWARDS25519"
                    .to_owned()
            })
    }

    /// The service's signature. Nobody has checked it yet.
    pub fn sign(&self, message: &[u8]) -> Outcome<Vec<u8>> {
        self.request(message)
            .with_context(|| format!("failed to sign with {self:?}"))
            .exits(Exit::Undecided)
    }

    fn request(&self, message: &[u8]) -> Result<Vec<u8>> {
        let (kind, algorithm, message) = match self.algorithm {
            Algorithm::P256 => {
                let digest = crypto::sha256(message);
                ("DIGEST", "ECDSA_SHA_256", BASE64.encode(digest.as_bytes()))
            }
            Algorithm::Ed25519 if message.len() > MESSAGE => bail!(
                "KMS signs at most {MESSAGE} bytes with an Ed25519 key, and this has {}: use a P-256 key",
                message.len()
            ),
            Algorithm::Ed25519 => ("RAW", "ED25519_SHA_512", BASE64.encode(message)),
        };
        let request = json!({
            "KeyId": self.arn,
            "Message": message,
            "MessageType": kind,
            "SigningAlgorithm": algorithm,
        });
        bytes(&self.service.call("Sign", &request)?, "Signature")
    }
}

fn text<'a>(answer: &'a Value, name: &str) -> Result<&'a str> {
    let text = answer.get(name).and_then(Value::as_str);
    text.with_context(|| format!("the answer has no {name}"))
}

fn bytes(answer: &Value, name: &str) -> Result<Vec<u8>> {
    let bytes = BASE64.decode(text(answer, name)?);
    bytes.with_context(|| format!("the answer's {name} is not base64"))
}
