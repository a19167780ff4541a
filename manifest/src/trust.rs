//! The trust file: the keys that an image believes, and for what.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

use crate::{
    crypto::{KeyError, PublicKey},
    envelope::KeyId,
    limits,
    name::ImageName,
    strict::{self, Table},
};

/// Purpose of a key: the documents that it may sign. An envelope of one purpose is never accepted for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Image manifests.
    Image,
    /// Release channel documents.
    Channel,
    /// Break-glass grants.
    Grant,
}

/// A trusted key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKey {
    key: PublicKey,
    purposes: BTreeSet<Purpose>,
}

/// The keys that an image believes. There is always at least one, and the threshold can be met for
/// each purpose that any key has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    image: Option<ImageName>,
    threshold: usize,
    keys: Vec<TrustedKey>,
}

/// Reason why a trust file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The same key twice would meet a threshold of two alone.
    #[error("duplicate key {0}")]
    Duplicate(KeyId),
    /// A key that cannot be used.
    #[error("key {number}: {error}")]
    Key {
        /// Position of the key in the file, from 1.
        number: usize,
        /// Fault of the key.
        error: KeyError,
    },
    /// More bytes than [`limits::TRUST`] or more keys than [`limits::TRUST_KEYS`].
    #[error(
        "the trust file is too large: at most {} bytes and {} keys",
        limits::TRUST,
        limits::TRUST_KEYS
    )]
    Large,
    /// No key at all.
    #[error("the trust file has no key")]
    NoKey,
    /// A key that may sign nothing.
    #[error("key {0} has no purpose: expected some of image, channel, grant")]
    NoPurpose(usize),
    /// Not PEM.
    #[error("key {0} is not a PEM block 'PUBLIC KEY'")]
    Pem(usize),
    /// A threshold that no set of signatures can meet, or that none need to.
    #[error(
        "invalid threshold {threshold}: {keys} key(s) have the purpose '{purpose}'; expected 1 to \
         {keys}"
    )]
    Threshold {
        /// As the file has it.
        threshold: usize,
        /// Keys with the purpose.
        keys: usize,
        /// The purpose with the fewest keys.
        purpose: Purpose,
    },
    /// Not the TOML that a trust file is.
    #[error("{0}")]
    Toml(String),
}

impl Trust {
    /// A trust file of these keys.
    ///
    /// # Errors
    ///
    /// [`TrustError`] without a key, beyond [`limits::TRUST_KEYS`], for a duplicate key, a key without purpose, and
    /// a threshold that the keys of some purpose cannot meet.
    pub fn new(
        image: Option<ImageName>,
        threshold: usize,
        keys: Vec<TrustedKey>,
    ) -> Result<Self, TrustError> {
        // Without a key the loop over purposes below checks nothing, and any threshold would pass.
        if keys.is_empty() {
            return Err(TrustError::NoKey);
        }
        if keys.len() > limits::TRUST_KEYS {
            return Err(TrustError::Large);
        }
        let mut seen = BTreeSet::new();
        for (number, key) in (1..).zip(&keys) {
            // `verify::signers` counts entries of this list: a key listed twice would meet a threshold of two alone.
            if !seen.insert(key.id()) {
                return Err(TrustError::Duplicate(key.id()));
            }
            if key.purposes.is_empty() {
                return Err(TrustError::NoPurpose(number));
            }
        }
        let trust = Self {
            image,
            threshold,
            keys,
        };
        // Purpose by purpose: a threshold that grants cannot meet would show on the day that a host must be opened.
        for purpose in [Purpose::Image, Purpose::Channel, Purpose::Grant] {
            let keys = trust.keys_for(purpose).count();
            if keys > 0 && !(1..=keys).contains(&threshold) {
                return Err(TrustError::Threshold {
                    threshold,
                    keys,
                    purpose,
                });
            }
        }
        Ok(trust)
    }

    /// Parses `trust.toml`.
    ///
    /// # Errors
    ///
    /// [`TrustError`] beyond [`limits::TRUST`] bytes, for whatever is no trust file, and as [`Trust::new`].
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustError> {
        // Before TOML sees it: the file is not signed, so that its size is up to whoever writes the disk.
        if bytes.len() > limits::TRUST {
            return Err(TrustError::Large);
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|_| TrustError::Toml("the trust file is not UTF-8".to_owned()))?;
        let document: Document = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let (line, column, problem) = strict::locate(text, at, error.message());
            TrustError::Toml(format!("line {line}, column {column}: {problem}"))
        })?;
        if document.schema != SCHEMA {
            return Err(TrustError::Toml(format!(
                "unknown schema {}: expected {SCHEMA}",
                document.schema
            )));
        }
        let keys = (1..).zip(document.key).map(|(number, Table(key))| {
            let purposes: BTreeSet<Purpose> = key.purposes.into_iter().collect();
            TrustedKey::from_pem(key.public.as_bytes(), purposes).map_err(|error| match error {
                PemKeyError::Pem => TrustError::Pem(number),
                PemKeyError::Key(error) => TrustError::Key { number, error },
            })
        });
        // Saturates, to a threshold that `new` refuses: a wrapped one could be 1.
        let threshold = usize::try_from(document.threshold).unwrap_or(usize::MAX);
        Self::new(document.image, threshold, keys.collect::<Result<_, _>>()?)
    }

    /// As `trust.toml`.
    pub fn to_toml(&self) -> String {
        let mut text = format!(
            "# The keys that this image believes.\nschema = {SCHEMA}\nthreshold = {}\n",
            self.threshold
        );
        // Neither names nor PEM have a character that TOML escapes.
        if let Some(image) = &self.image {
            text.push_str(&format!("image = \"{image}\"\n"));
        }
        for key in &self.keys {
            let purposes: Vec<String> = key
                .purposes
                .iter()
                .map(|purpose| format!("\"{purpose}\""))
                .collect();
            text.push_str(&format!(
                "\n# {} {}\n[[key]]\npurposes = [{}]\npublic = \"\"\"\n{}\"\"\"\n",
                key.key.algorithm(),
                key.id(),
                purposes.join(", "),
                public_pem(&key.key),
            ));
        }
        text
    }

    /// Describes the first thing that this trust file believes and `known` does not: a key, a purpose, fewer
    /// signatures, another image. `None` if it believes no more. A key that it lacks makes it no wider; nor does it that
    /// it names no image, since the floor beside it does.
    pub fn beyond(&self, known: &Self) -> Option<String> {
        if let (Some(own), Some(known)) = (&self.image, &known.image)
            && own != known
        {
            return Some(format!(
                "the trust file is for the image '{own}', not for '{known}'"
            ));
        }
        if self.threshold < known.threshold {
            let (found, least) = (self.threshold, known.threshold);
            return Some(format!("the threshold is {found}, not {least}"));
        }
        for key in &self.keys {
            let id = key.id();
            let Some(known) = known.keys.iter().find(|it| it.id() == id) else {
                return Some(format!("unknown key {id}"));
            };
            if let Some(purpose) = key.purposes.difference(&known.purposes).next() {
                return Some(format!(
                    "key {id} is trusted also for the purpose '{purpose}'"
                ));
            }
        }
        None
    }

    /// The image that this trust file is for, if it is for one alone.
    pub fn image(&self) -> Option<&ImageName> {
        self.image.as_ref()
    }

    /// Returns the number of distinct keys that must have signed.
    pub fn threshold(&self) -> usize {
        self.threshold
    }

    /// All keys.
    pub fn keys(&self) -> &[TrustedKey] {
        &self.keys
    }

    /// The keys that may sign for `purpose`.
    pub fn keys_for(&self, purpose: Purpose) -> impl Iterator<Item = &TrustedKey> {
        self.keys
            .iter()
            .filter(move |key| key.purposes.contains(&purpose))
    }
}

impl TrustedKey {
    /// From a PEM block `PUBLIC KEY`.
    ///
    /// # Errors
    ///
    /// [`PemKeyError`] for another PEM block, and for a key that [`PublicKey::from_spki`] refuses.
    pub fn from_pem(pem: &[u8], purposes: BTreeSet<Purpose>) -> Result<Self, PemKeyError> {
        Ok(Self {
            key: parse_public_pem(pem)?,
            purposes,
        })
    }

    /// The key itself.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Its id.
    pub fn id(&self) -> KeyId {
        KeyId::of(&self.key)
    }

    /// Returns the purposes that the key may sign for.
    pub fn purposes(&self) -> impl Iterator<Item = Purpose> {
        self.purposes.iter().copied()
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Image => "image",
            Self::Channel => "channel",
            Self::Grant => "grant",
        })
    }
}

impl std::str::FromStr for Purpose {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Image, Self::Channel, Self::Grant]
            .into_iter()
            .find(|purpose| purpose.to_string() == text)
            .ok_or_else(|| {
                format!("unknown key purpose '{text}': expected image, channel or grant")
            })
    }
}

/// Reason why a PEM text is not a usable key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PemKeyError {
    /// Not PEM, or of another kind.
    #[error("not a PEM block of the expected kind")]
    Pem,
    /// PEM, but not of a key that can be used.
    #[error("{0}")]
    Key(#[from] KeyError),
}

/// A public key as OpenSSL writes it: a PEM block `PUBLIC KEY`.
pub fn public_pem(key: &PublicKey) -> String {
    encode_pem("PUBLIC KEY", &key.to_spki())
}

/// A public key from a PEM block `PUBLIC KEY`.
///
/// # Errors
///
/// [`PemKeyError`] for another PEM block, and for a key that [`PublicKey::from_spki`] refuses.
pub fn parse_public_pem(pem: &[u8]) -> Result<PublicKey, PemKeyError> {
    match pem_rfc7468::decode_vec(pem) {
        Ok(("PUBLIC KEY", der)) => Ok(PublicKey::from_spki(&der)?),
        // Nor is the key taken out of a certificate: its dates and usages would be ignored without a word.
        _ => Err(PemKeyError::Pem),
    }
}

/// DER as a PEM block.
pub fn encode_pem(label: &str, der: &[u8]) -> String {
    pem_rfc7468::encode_string(label, pem_rfc7468::LineEnding::LF, der).unwrap_or_default()
}

/// The label and the DER of a PEM block.
pub fn decode_pem(pem: &[u8]) -> Option<(String, Vec<u8>)> {
    pem_rfc7468::decode_vec(pem)
        .ok()
        .map(|(label, der)| (label.to_owned(), der))
}

/// The schema that this version writes and reads.
const SCHEMA: u64 = 1;

// Unknown fields are refused here and in a key: a limit that this version does not know would not be kept.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema: u64,
    threshold: u64,
    image: Option<ImageName>,
    #[serde(default)]
    key: Vec<Table<KeyDocument>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyDocument {
    purposes: Vec<Purpose>,
    public: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{Algorithm, PrivateKey};

    fn key(purposes: &[Purpose]) -> TrustedKey {
        let der = PrivateKey::generate_pkcs8(Algorithm::Ed25519).unwrap();
        let key = PrivateKey::from_pkcs8(&der).unwrap().public().unwrap();
        TrustedKey {
            key,
            purposes: purposes.iter().copied().collect(),
        }
    }

    #[test]
    fn trust_file_round_trips() {
        let keys = vec![
            key(&[Purpose::Image, Purpose::Channel]),
            key(&[Purpose::Image, Purpose::Channel]),
        ];
        let trust = Trust::new(Some("web".parse().unwrap()), 2, keys).unwrap();
        assert_eq!(Trust::parse(trust.to_toml().as_bytes()), Ok(trust));
    }

    #[test]
    fn trust_refuses_invalid_threshold_duplicate_key_and_empty_key_list() {
        let (image, both) = (
            key(&[Purpose::Image]),
            key(&[Purpose::Image, Purpose::Grant]),
        );
        let new = |threshold, keys: &[&TrustedKey]| {
            Trust::new(None, threshold, keys.iter().copied().cloned().collect())
        };
        assert!(new(1, &[&image]).is_ok());
        assert!(matches!(
            new(0, &[&image]),
            Err(TrustError::Threshold { .. })
        ));
        assert!(matches!(
            new(2, &[&image]),
            Err(TrustError::Threshold { .. })
        ));
        // Two keys for images, but one for grants.
        assert!(matches!(
            new(2, &[&image, &both]),
            Err(TrustError::Threshold {
                purpose: Purpose::Grant,
                ..
            })
        ));
        assert!(matches!(
            new(1, &[&image, &image]),
            Err(TrustError::Duplicate(_))
        ));
        assert_eq!(new(1, &[]), Err(TrustError::NoKey));
    }

    #[test]
    fn trust_file_with_small_order_key_is_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        let text = format!(
            "schema = 1\nthreshold = 1\n[[key]]\npurposes = [\"image\"]\npublic = \"\"\"\n{}\"\"\"\n",
            public_pem(&PublicKey::Ed25519(identity))
        );
        let error = TrustError::Key {
            number: 1,
            error: KeyError::SmallOrder,
        };
        assert_eq!(Trust::parse(text.as_bytes()), Err(error));
    }
}
