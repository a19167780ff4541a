//! The only file that names `ring`: SHA-256, Ed25519 and ECDSA P-256, and their key encodings.
//!
//! Two algorithms and no negotiation: a key says which one it is for, and a signature is tried with
//! that one alone. RSA is there for what others sign, which no trust file names: see [`RsaKey`].

use std::fmt;

use ring::{
    agreement, digest, hmac,
    rand::SystemRandom,
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};

use crate::{digest::Sha256Digest, edwards};

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
    /// As the command line and the trust file spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::P256 => "p256",
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
    Ed25519([u8; 32]),
    /// The uncompressed point, on the curve.
    P256([u8; 65]),
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

/// SPKI is a fixed prefix and the key: comparing the prefix is the whole, strict, parser.
const SPKI_ED25519: &[u8] = &[
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
// The named curve alone: explicit parameters let the maker of a key choose its curve (CVE-2020-0601).
const SPKI_P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// PKCS#8 version 1. `ring` writes version 2 for Ed25519, which OpenSSL 3.0 does not read.
const PKCS8_ED25519: &[u8] = &[
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

impl PublicKey {
    /// From a `SubjectPublicKeyInfo`, as in a PEM block `PUBLIC KEY`.
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`] for another encoding or algorithm; as [`PublicKey::ed25519`] and [`PublicKey::p256`]
    /// otherwise.
    pub fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        if let Some(key) = der.strip_prefix(SPKI_ED25519) {
            return Self::ed25519(key.try_into().map_err(|_| KeyError::Malformed)?);
        }
        if let Some(key) = der.strip_prefix(SPKI_P256) {
            return Self::p256(key.try_into().map_err(|_| KeyError::Malformed)?);
        }
        // RSA keys end here too: `RsaKey` is for EC2's documents, and no trust file may name one.
        Err(KeyError::Malformed)
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
    pub fn ed25519(key: [u8; 32]) -> Result<Self, KeyError> {
        let mut masked = key;
        let [.., last] = &mut masked;
        // The sign bit only picks one of the two points with this y, and both have the same order.
        *last &= 0x7f;
        // Before the other two checks: the curve check has no answer for y = 1 and -1, and p and p + 1 are
        // not only a second spelling but points of small order.
        if SMALL_ORDER_Y.contains(&masked) {
            return Err(KeyError::SmallOrder);
        }
        // y is little-endian and must be below p = 2^255 - 19.
        let [low, middle @ .., high] = &masked;
        // A y of p or more is a smaller one spelt a second time: one key would have two key ids.
        if *low >= 0xed && *high == 0x7f && middle.iter().all(|byte| *byte == 0xff) {
            return Err(KeyError::NotOnCurve);
        }
        if !edwards::is_on_curve(&masked) {
            return Err(KeyError::NotOnCurve);
        }
        Ok(Self::Ed25519(key))
    }

    /// From an uncompressed P-256 point.
    ///
    /// # Errors
    ///
    /// [`KeyError::NotOnCurve`] for no point of the curve; [`KeyError::Random`] if the check has no random source.
    pub fn p256(point: [u8; 65]) -> Result<Self, KeyError> {
        // An agreement with the key checks what a verification would check only when it is too
        // late to say so: that the point is on the curve.
        let private =
            agreement::EphemeralPrivateKey::generate(&agreement::ECDH_P256, &SystemRandom::new())
                .map_err(|_| KeyError::Random)?;
        let peer = agreement::UnparsedPublicKey::new(&agreement::ECDH_P256, &point);
        agreement::agree_ephemeral(private, &peer, |_| ()).map_err(|_| KeyError::NotOnCurve)?;
        Ok(Self::P256(point))
    }

    /// As a `SubjectPublicKeyInfo`.
    pub fn to_spki(&self) -> Vec<u8> {
        match self {
            Self::Ed25519(key) => [SPKI_ED25519, key].concat(),
            Self::P256(key) => [SPKI_P256, key].concat(),
        }
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
            // `ring` refuses S at or above the group order: else anybody could turn a signature into another one.
            Self::Ed25519(key) => {
                UnparsedPublicKey::new(&signature::ED25519, key).verify(message, signature)
            }
            // Low S is not demanded: signatures are counted by key and never compared, and not all signers make it.
            Self::P256(key) => UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, key)
                .verify(message, signature),
        }
        .map_err(|_| BadSignature)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} public key", self.algorithm())
    }
}

/// An RSA key of others, such as the one that EC2 signs identity documents with. It is never a key of
/// ours: no trust file has it, and nothing that decides what a host runs is signed with it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RsaKey(Vec<u8>);

impl RsaKey {
    /// From a PKCS#1 `RSAPublicKey`, as a certificate has it. Whether it is one shows when it is used: a
    /// key that is none, or that has less than 2,048 bits, verifies nothing.
    pub fn from_pkcs1(der: &[u8]) -> Self {
        Self(der.to_vec())
    }

    /// Checks that `signature` is this key's over `message`, with PKCS#1 v1.5 padding and SHA-256.
    ///
    /// # Errors
    ///
    /// [`BadSignature`] for a signature of another key, message or encoding, and for bytes that are no RSA key of
    /// 2,048 to 8,192 bits.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        // PKCS#1 v1.5 is what EC2 signs identity documents with: the padding is not ours to choose.
        UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, &self.0)
            .verify(message, signature)
            .map_err(|_| BadSignature)
    }
}

impl fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RSA public key")
    }
}

/// A private key. It has no `Debug` that shows it and no way to be written out again.
pub struct PrivateKey(Pair);

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
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
        let random = SystemRandom::new();
        match algorithm {
            Algorithm::Ed25519 => {
                let seed: [u8; 32] = ring::rand::generate(&random)
                    .map_err(|_| KeyError::Random)?
                    .expose();
                Ok([PKCS8_ED25519, &seed].concat())
            }
            Algorithm::P256 => {
                EcdsaKeyPair::generate_pkcs8(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, &random)
                    .map(|document| document.as_ref().to_vec())
                    .map_err(|_| KeyError::Random)
            }
        }
    }

    /// From PKCS#8 DER, as in a PEM block `PRIVATE KEY`.
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`] for another encoding or algorithm.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        // OpenSSL writes Ed25519 keys without the public key, which the "unchecked" name is about:
        // there is no pair that could be inconsistent.
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            return Ok(Self(Pair::Ed25519(pair)));
        }
        EcdsaKeyPair::from_pkcs8(
            &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
            der,
            &SystemRandom::new(),
        )
        .map(|pair| Self(Pair::P256(pair)))
        .map_err(|_| KeyError::Malformed)
    }

    /// The public half.
    ///
    /// # Errors
    ///
    /// As [`PublicKey::ed25519`] and [`PublicKey::p256`]: a private key may be of a public one that is refused.
    pub fn public(&self) -> Result<PublicKey, KeyError> {
        match &self.0 {
            Pair::Ed25519(pair) => PublicKey::ed25519(
                pair.public_key()
                    .as_ref()
                    .try_into()
                    .map_err(|_| KeyError::Malformed)?,
            ),
            Pair::P256(pair) => PublicKey::p256(
                pair.public_key()
                    .as_ref()
                    .try_into()
                    .map_err(|_| KeyError::Malformed)?,
            ),
        }
    }

    /// A signature over `message`. Ed25519's is always the same; P-256's is randomised.
    ///
    /// # Errors
    ///
    /// [`KeyError::Random`] if the system has no random source.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.0 {
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            // No random source, no signature: one repeated nonce of ECDSA gives the private key away.
            Pair::P256(pair) => pair
                .sign(&SystemRandom::new(), message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| KeyError::Random),
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

/// The y coordinates, sign bit cleared, of the points whose order divides 8, in every encoding that
/// some implementation accepts. Source: the orders 1, 2, 4 and 8 of edwards25519 (RFC 7748,
/// section 7 explains the cofactor); y = 0, 1, -1, the two of order 8, and p and p + 1, which are 0
/// and 1 spelt a second way.
const SMALL_ORDER_Y: &[[u8; 32]] = &[
    [0; 32],
    {
        let mut one = [0; 32];
        one[0] = 1;
        one
    },
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
    near_p(0xec),
    near_p(0xed),
    near_p(0xee),
];

/// The 32 bytes of p - 0xed + `low`, for p = 2^255 - 19.
const fn near_p(low: u8) -> [u8; 32] {
    let mut bytes = [0xff; 32];
    bytes[0] = low;
    bytes[31] = 0x7f;
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ed25519_and_p256_keys_round_trip_and_verify() {
        for algorithm in [Algorithm::Ed25519, Algorithm::P256] {
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
    fn small_order_keys_are_refused_with_either_sign() {
        for y in SMALL_ORDER_Y {
            for sign in [0, 0x80] {
                let mut key = *y;
                key[31] |= sign;
                assert_eq!(PublicKey::ed25519(key), Err(KeyError::SmallOrder));
            }
        }
        // The reason: for the key of order 1 this signature, which nobody made, would verify.
        let mut forged = [0; 64];
        forged[0] = 1;
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(
            PublicKey::Ed25519(identity).verify(b"anything", &forged),
            Ok(())
        );
    }

    #[test]
    fn keys_off_the_curve_are_refused() {
        assert_eq!(PublicKey::ed25519(near_p(0xef)), Err(KeyError::NotOnCurve));
        let mut point = [7; 65];
        point[0] = 4;
        assert_eq!(PublicKey::p256(point), Err(KeyError::NotOnCurve));
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
