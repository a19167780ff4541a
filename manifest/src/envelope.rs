//! The DSSE envelope round a statement. Source: the DSSE protocol and envelope, version 1.0.2.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::Serialize;

use crate::{
    crypto::{self, BadSignature, KeyError, PrivateKey, PublicKey},
    digest::Sha256Digest,
    json::{self, JsonError},
    limits,
};

/// The only `payloadType` there is here.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// An envelope as it was read: nothing in it is believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    payload: Vec<u8>,
    signatures: Vec<Signature>,
}

/// A signature and the unauthenticated hint at its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    keyid: Option<String>,
    bytes: Vec<u8>,
}

/// The id of a key: the SHA-256 of its `SubjectPublicKeyInfo`, in hex. It is written into each
/// signature because some verifiers skip signatures without it, and never decides anything here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(Sha256Digest);

/// Reason why some bytes are not an envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Not the JSON that an envelope is.
    #[error("{0}")]
    Json(#[from] JsonError),
    /// More bytes than an envelope of its kind may have: [`limits::ENVELOPE`] and [`limits::PAYLOAD`], or
    /// [`limits::CHANNEL`] and [`limits::CHANNEL_PAYLOAD`].
    #[error("{what} has {found} bytes, and at most {most} are accepted")]
    Long {
        /// The envelope or its payload.
        what: &'static str,
        /// Size that was found, in bytes.
        found: usize,
        /// Largest size that is accepted, in bytes.
        most: usize,
    },
    /// An envelope without a signature says nothing.
    #[error("the envelope has no signature")]
    Unsigned,
}

impl Envelope {
    /// Parses `manifest.json`.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError`] beyond [`limits::ENVELOPE`] bytes, [`limits::PAYLOAD`] bytes of payload or
    /// [`limits::SIGNATURES`] signatures, for other JSON than DSSE 1.0.2, and without a signature.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        Self::parse_within(bytes, limits::ENVELOPE, limits::PAYLOAD)
    }

    /// Parses a channel document, which may be longer.
    ///
    /// # Errors
    ///
    /// As [`Envelope::parse`], with [`limits::CHANNEL`] and [`limits::CHANNEL_PAYLOAD`].
    pub fn parse_channel(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        Self::parse_within(bytes, limits::CHANNEL, limits::CHANNEL_PAYLOAD)
    }

    fn parse_within(bytes: &[u8], most: usize, most_payload: usize) -> Result<Self, EnvelopeError> {
        // Before the parser: nobody vouches for these bytes, and JSON takes many times its size once it is parsed.
        within("the envelope", bytes.len(), most)?;
        let mut envelope = json::parse(bytes)?.object()?;
        // In DSSE the type decides how a payload is read: a payload of another one is not tried as this one.
        envelope.take("payloadType")?.constant(PAYLOAD_TYPE)?;
        let payload = envelope.take("payload")?.parsed(decode_base64)?;
        within("the payload", payload.len(), most_payload)?;
        let mut signatures = Vec::new();
        for signature in envelope.take("signatures")?.array(limits::SIGNATURES)? {
            let mut signature = signature.object()?;
            let keyid = signature
                .take_optional("keyid")
                .map(json::Field::string)
                .transpose()?;
            let bytes = signature.take("sig")?.parsed(decode_base64)?;
            // Nothing beside the payload is signed: a reader that used another field would believe whoever wrote it.
            signature.finish()?;
            signatures.push(Signature { keyid, bytes });
        }
        envelope.finish()?;
        if signatures.is_empty() {
            return Err(EnvelopeError::Unsigned);
        }
        Ok(Self {
            payload,
            signatures,
        })
    }

    /// An envelope with one signature, by `key`.
    ///
    /// # Errors
    ///
    /// As [`PrivateKey::sign`] and [`PrivateKey::public`].
    pub fn sign(payload: Vec<u8>, key: &PrivateKey) -> Result<Self, KeyError> {
        let mut envelope = Self {
            payload,
            signatures: Vec::new(),
        };
        envelope.add_signature(key)?;
        Ok(envelope)
    }

    /// Signs the payload with `key` too. A signature that this key already made is replaced, so that
    /// signing twice does not grow the envelope.
    ///
    /// # Errors
    ///
    /// As [`PrivateKey::sign`] and [`PrivateKey::public`].
    pub fn add_signature(&mut self, key: &PrivateKey) -> Result<(), KeyError> {
        let public = key.public()?;
        let message = self.signed_message();
        // By verification, not by keyid, which anybody can write; nor by bytes: P-256 signs differently each time.
        self.signatures
            .retain(|signature| public.verify(&message, &signature.bytes).is_err());
        let keyid = Some(KeyId::of(&public).to_string());
        self.signatures.push(Signature {
            keyid,
            bytes: key.sign(&message)?,
        });
        Ok(())
    }

    /// Returns the bytes that a key signs: DSSE's pre-authentication encoding of the type and `payload`.
    pub fn message(payload: &[u8]) -> Vec<u8> {
        pae(PAYLOAD_TYPE, payload)
    }

    /// An envelope with one signature that was made elsewhere: by a service or a device that keeps its
    /// key. Nothing that does not verify gets in.
    ///
    /// # Errors
    ///
    /// [`BadSignature`] if `signature` is not `key`'s over [`Envelope::message`] of `payload`.
    pub fn signed(
        payload: Vec<u8>,
        key: &PublicKey,
        signature: Vec<u8>,
    ) -> Result<Self, BadSignature> {
        let mut envelope = Self {
            payload,
            signatures: Vec::new(),
        };
        envelope.attach(key, signature)?;
        Ok(envelope)
    }

    /// Adds a signature that was made elsewhere, in place of one that this key made before.
    ///
    /// # Errors
    ///
    /// [`BadSignature`] if `signature` is not `key`'s over the payload.
    pub fn attach(&mut self, key: &PublicKey, signature: Vec<u8>) -> Result<(), BadSignature> {
        let message = self.signed_message();
        // Before `retain`: a bad signature of a device must not cost the good one that is there.
        key.verify(&message, &signature)?;
        self.signatures
            .retain(|signature| key.verify(&message, &signature.bytes).is_err());
        self.signatures.push(Signature {
            keyid: Some(KeyId::of(key).to_string()),
            bytes: signature,
        });
        Ok(())
    }

    /// The payload. Nothing vouches for it until [`crate::verify::verify`] has accepted the envelope.
    pub fn unverified_payload(&self) -> &[u8] {
        &self.payload
    }

    /// The signatures' key ids, as the envelope has them.
    pub fn claimed_keyids(&self) -> impl Iterator<Item = Option<&str>> {
        self.signatures
            .iter()
            .map(|signature| signature.keyid.as_deref())
    }

    /// Returns the number of signatures, good or bad.
    pub fn signature_count(&self) -> usize {
        self.signatures.len()
    }

    /// Returns whether one of the signatures over `message` is `key`'s.
    pub(crate) fn is_signed_by(&self, key: &PublicKey, message: &[u8]) -> bool {
        // Each signature is tried, whatever its keyid: a wrong keyid must not hide a good signature.
        self.signatures
            .iter()
            .any(|signature| key.verify(message, &signature.bytes).is_ok())
    }

    /// Returns the signed bytes: DSSE's pre-authentication encoding of the type and the payload.
    pub(crate) fn signed_message(&self) -> Vec<u8> {
        Self::message(&self.payload)
    }

    /// As `manifest.json`, with a newline at its end.
    pub fn to_json(&self) -> Vec<u8> {
        let signatures = self
            .signatures
            .iter()
            .map(|signature| SignatureDocument {
                keyid: signature.keyid.as_deref(),
                sig: BASE64.encode(&signature.bytes),
            })
            .collect();
        let document = Document {
            payload: BASE64.encode(&self.payload),
            payload_type: PAYLOAD_TYPE,
            signatures,
        };
        // Strings cannot fail to serialize; were one to, no reader would accept the empty envelope.
        let mut bytes = serde_json::to_vec_pretty(&document).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

impl KeyId {
    /// The id of `key`.
    pub fn of(key: &PublicKey) -> Self {
        Self(crypto::sha256(&key.to_spki()))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.hex())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {self}")
    }
}

/// DSSE's pre-authentication encoding. The lengths keep a type and a payload from being read as
/// another type and another payload.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut message = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    )
    .into_bytes();
    message.extend_from_slice(payload);
    message
}

/// Standard alphabet, padded, with no stray bits: one spelling for each value.
fn decode_base64(text: &str) -> Result<Vec<u8>, String> {
    BASE64
        .decode(text)
        .map_err(|error| format!("not canonical base64: {error}"))
}

fn within(what: &'static str, found: usize, most: usize) -> Result<(), EnvelopeError> {
    if found > most {
        Err(EnvelopeError::Long { what, found, most })
    } else {
        Ok(())
    }
}

#[derive(Serialize)]
struct Document<'a> {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: &'static str,
    signatures: Vec<SignatureDocument<'a>>,
}

#[derive(Serialize)]
struct SignatureDocument<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    keyid: Option<&'a str>,
    sig: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Algorithm;

    fn key(algorithm: Algorithm) -> PrivateKey {
        PrivateKey::from_pkcs8(&PrivateKey::generate_pkcs8(algorithm).unwrap()).unwrap()
    }

    #[test]
    fn dsse_pae_matches_the_specification_vector() {
        // The test vector of the DSSE protocol document.
        let message = pae("http://example.com/HelloWorld", b"hello world");
        assert_eq!(
            message,
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn envelope_round_trips_and_repeated_signing_adds_nothing() {
        let (first, second) = (key(Algorithm::Ed25519), key(Algorithm::P256));
        let mut envelope = Envelope::sign(b"{}".to_vec(), &first).unwrap();
        let once = envelope.to_json();
        envelope.add_signature(&first).unwrap();
        assert_eq!(envelope.to_json(), once);
        envelope.add_signature(&second).unwrap();
        envelope.add_signature(&second).unwrap();
        assert_eq!(envelope.signature_count(), 2);
        assert_eq!(Envelope::parse(&envelope.to_json()), Ok(envelope));
    }

    #[test]
    fn external_signature_is_attached_only_if_valid() {
        let (first, second) = (key(Algorithm::Ed25519), key(Algorithm::P256));
        let (public, other) = (first.public().unwrap(), second.public().unwrap());
        let signature = first.sign(&Envelope::message(b"{}")).unwrap();
        let envelope = Envelope::signed(b"{}".to_vec(), &public, signature.clone()).unwrap();
        assert_eq!(envelope, Envelope::sign(b"{}".to_vec(), &first).unwrap());
        let refused = |payload: &[u8], key, signature: &[u8]| {
            Envelope::signed(payload.to_vec(), key, signature.to_vec()).is_err()
        };
        assert!(refused(b"[]", &public, &signature));
        assert!(refused(b"{}", &other, &signature));
        assert!(refused(b"{}", &public, &first.sign(b"{}").unwrap()));
        let mut both = envelope.clone();
        assert_eq!(both.attach(&other, signature), Err(BadSignature));
        assert_eq!(both, envelope);
        for _ in 0..2 {
            let signature = second.sign(&Envelope::message(b"{}")).unwrap();
            both.attach(&other, signature).unwrap();
        }
        assert_eq!(both.signature_count(), 2);
    }

    #[test]
    fn truncated_envelope_is_refused() {
        let bytes = Envelope::sign(b"{}".to_vec(), &key(Algorithm::Ed25519))
            .unwrap()
            .to_json();
        for end in 0..bytes.len() - 1 {
            assert!(Envelope::parse(&bytes[..end]).is_err(), "{end}");
        }
    }
}
