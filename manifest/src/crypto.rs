//! The only folder that names `ring`: SHA-256, signature algorithms, and their key encodings.
//!
//! One file an algorithm, and no negotiation: a key says which one it is for, and a signature is tried with
//! that one alone. RSA is there for what others sign, which no trust file names: see [`RsaKey`].

mod ed25519;
mod p256;
mod rsa;

use std::{fmt, iter};

use ring::{digest, hmac, rand::SystemRandom};

use crate::digest::Sha256Digest;

pub use rsa::RsaKey;

/// The SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> Sha256Digest {
    finish(digest::digest(&digest::SHA256, bytes))
}

/// The HMAC (RFC 2104) with SHA-256 of `bytes`. Requests to AWS are signed with it.
pub fn hmac_sha256(key: &[u8], bytes: &[u8]) -> Sha256Digest {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), bytes);
    copied(tag.as_ref())
}

/// SHA-256 of bytes that come in pieces.
#[derive(Clone)]
pub struct Sha256(digest::Context);

impl Sha256 {
    /// With nothing hashed yet.
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    /// Hashes `bytes` too.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all that was hashed.
    pub fn finish(self) -> Sha256Digest {
        finish(self.0.finish())
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sha256")
    }
}

fn finish(digest: digest::Digest) -> Sha256Digest {
    copied(digest.as_ref())
}

fn copied(digest: &[u8]) -> Sha256Digest {
    let mut bytes = [0; 32];
    // SHA-256 is 32 bytes long; were it not, a short copy would only ever fail to match.
    bytes
        .iter_mut()
        .zip(digest)
        .for_each(|(to, from)| *to = *from);
    Sha256Digest::new(bytes)
}

/// A signature algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// Ed25519 (RFC 8032), pure, over the message itself.
    Ed25519,
    /// ECDSA over P-256 with SHA-256; the signature is DER.
    P256,
}

impl Algorithm {
    /// All of them, in the order in which the encoding of a private key is tried.
    pub fn all() -> impl Iterator<Item = Self> + Clone {
        iter::successors(Some(Self::Ed25519), |algorithm| match algorithm {
            Self::Ed25519 => Some(Self::P256),
            Self::P256 => None,
        })
    }

    /// As the command line and the trust file spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::P256 => "p256",
        }
    }

    /// The bytes of a `SubjectPublicKeyInfo` before the key.
    const fn spki(self) -> &'static [u8] {
        match self {
            Self::Ed25519 => ed25519::SPKI,
            Self::P256 => p256::SPKI,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A public key that a signature can be checked with.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum PublicKey {
    /// The 32 bytes of RFC 8032; not of small order, and in its one canonical encoding.
    Ed25519([u8; ed25519::KEY]),
    /// The uncompressed point, on the curve.
    P256([u8; p256::KEY]),
}

/// Reason why some bytes are not a usable key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The DER is not that of an Ed25519 or P-256 key.
    #[error("not an Ed25519 or P-256 key in the encoding that OpenSSL writes (SPKI, or PKCS#8)")]
    Malformed,
    /// The point is not on the curve, or not in its canonical encoding.
    #[error("the key's point is not one of the curve in its canonical encoding")]
    NotOnCurve,
    /// The system's random source failed.
    #[error("the system's random source failed")]
    Random,
    /// Anybody can make signatures that verify with an Ed25519 key of small order.
    #[error("the key is of small order: signatures for it can be made without a private key")]
    SmallOrder,
}

/// The signature is not one by this key over this message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("signature does not verify")]
pub struct BadSignature;

impl PublicKey {
    /// From a `SubjectPublicKeyInfo`, as in a PEM block `PUBLIC KEY`.
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`] for another encoding or algorithm; otherwise as [`PublicKey::from_raw`].
    pub fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        let found = |algorithm: Algorithm| Some((algorithm, der.strip_prefix(algorithm.spki())?));
        match Algorithm::all().find_map(found) {
            Some((algorithm, key)) => Self::from_raw(algorithm, key),
            // RSA keys end here too: `RsaKey` is for EC2's documents, and no trust file may name one.
            None => Err(KeyError::Malformed),
        }
    }

    /// From the bare bytes of a key: 32 for Ed25519, an uncompressed point of 65 for P-256.
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`] for another length; otherwise as [`PublicKey::ed25519`] and [`PublicKey::p256`].
    pub fn from_raw(algorithm: Algorithm, key: &[u8]) -> Result<Self, KeyError> {
        match algorithm {
            Algorithm::Ed25519 => Self::ed25519(key.try_into().map_err(|_| KeyError::Malformed)?),
            Algorithm::P256 => Self::p256(key.try_into().map_err(|_| KeyError::Malformed)?),
        }
    }

    /// From the 32 bytes of an Ed25519 key.
    ///
    /// A key of small order is refused here, since `ring` accepts it and then accepts signatures
    /// that nobody made. So is one that is no point of the curve: it would never verify anything, and
    /// nobody would know why.
    ///
    /// # Errors
    ///
    /// [`KeyError::SmallOrder`], or [`KeyError::NotOnCurve`] for no point and for a second spelling of one.
    pub fn ed25519(key: [u8; ed25519::KEY]) -> Result<Self, KeyError> {
        ed25519::check(&key).map(|()| Self::Ed25519(key))
    }

    /// From an uncompressed P-256 point.
    ///
    /// # Errors
    ///
    /// [`KeyError::NotOnCurve`] for no point of the curve; [`KeyError::Random`] if the check has no random source.
    pub fn p256(point: [u8; p256::KEY]) -> Result<Self, KeyError> {
        p256::check(&point).map(|()| Self::P256(point))
    }

    /// The bare bytes of the key, as [`PublicKey::from_raw`] takes them.
    pub const fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Ed25519(key) => key,
            Self::P256(key) => key,
        }
    }

    /// As a `SubjectPublicKeyInfo`.
    pub fn to_spki(&self) -> Vec<u8> {
        [self.algorithm().spki(), self.as_bytes()].concat()
    }

    /// The algorithm that this key is for.
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ed25519(_) => Algorithm::Ed25519,
            Self::P256(_) => Algorithm::P256,
        }
    }

    /// Checks that `signature` is this key's over `message`.
    ///
    /// # Errors
    ///
    /// [`BadSignature`] for a signature of another key, message or encoding.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        match self {
            Self::Ed25519(key) => ed25519::verify(key, message, signature),
            Self::P256(key) => p256::verify(key, message, signature),
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} public key", self.algorithm())
    }
}

/// A private key. It has no `Debug` that shows it and no way to be written out again.
pub struct PrivateKey(Pair);

enum Pair {
    Ed25519(ed25519::Private),
    P256(p256::Private),
}

/// Bytes by chance, of the system's generator.
///
/// # Errors
///
/// [`KeyError::Random`] if the system has no random source.
pub fn random<const N: usize>() -> Result<[u8; N], KeyError>
where
    [u8; N]: ring::rand::RandomlyConstructable,
{
    ring::rand::generate(&SystemRandom::new())
        .map(ring::rand::Random::expose)
        .map_err(|_| KeyError::Random)
}

impl PrivateKey {
    /// A new private key as PKCS#8 DER, in the version that OpenSSL reads.
    ///
    /// # Errors
    ///
    /// [`KeyError::Random`] if the system has no random source.
    pub fn generate_pkcs8(algorithm: Algorithm) -> Result<Vec<u8>, KeyError> {
        match algorithm {
            Algorithm::Ed25519 => ed25519::generate_pkcs8(),
            Algorithm::P256 => p256::generate_pkcs8(),
        }
    }

    /// From PKCS#8 DER, as in a PEM block `PRIVATE KEY`.
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`] for another encoding or algorithm.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let read = |algorithm| match algorithm {
            Algorithm::Ed25519 => ed25519::Private::from_pkcs8(der).map(Pair::Ed25519),
            Algorithm::P256 => p256::Private::from_pkcs8(der).map(Pair::P256),
        };
        let pair = Algorithm::all().find_map(read);
        pair.map(Self).ok_or(KeyError::Malformed)
    }

    /// The public half.
    ///
    /// # Errors
    ///
    /// As [`PublicKey::from_raw`]: a private key may be of a public one that is refused.
    pub fn public(&self) -> Result<PublicKey, KeyError> {
        match &self.0 {
            Pair::Ed25519(pair) => PublicKey::from_raw(Algorithm::Ed25519, pair.public()),
            Pair::P256(pair) => PublicKey::from_raw(Algorithm::P256, pair.public()),
        }
    }

    /// A signature over `message`. Ed25519's is always the same; P-256's is randomised.
    ///
    /// # Errors
    ///
    /// [`KeyError::Random`] if the system has no random source.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.0 {
            Pair::Ed25519(pair) => Ok(pair.sign(message)),
            Pair::P256(pair) => pair.sign(message),
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_every_algorithm_round_trip_and_verify() {
        for algorithm in Algorithm::all() {
            let der = PrivateKey::generate_pkcs8(algorithm).unwrap();
            let private = PrivateKey::from_pkcs8(&der).unwrap();
            let public = private.public().unwrap();
            assert_eq!(public.algorithm(), algorithm);
            assert_eq!(PublicKey::from_spki(&public.to_spki()), Ok(public.clone()));
            let signature = private.sign(b"message").unwrap();
            assert_eq!(public.verify(b"message", &signature), Ok(()));
            assert_eq!(public.verify(b"massage", &signature), Err(BadSignature));
        }
    }

    #[test]
    fn truncated_or_extended_key_is_malformed() {
        let der = PrivateKey::generate_pkcs8(Algorithm::P256).unwrap();
        let spki = PrivateKey::from_pkcs8(&der)
            .unwrap()
            .public()
            .unwrap()
            .to_spki();
        for end in 0..spki.len() {
            assert_eq!(PublicKey::from_spki(&spki[..end]), Err(KeyError::Malformed));
        }
        assert_eq!(
            PublicKey::from_spki(&[&spki[..], b"x"].concat()),
            Err(KeyError::Malformed)
        );
        assert!(PrivateKey::from_pkcs8(&der[..der.len() - 1]).is_err());
    }
}
