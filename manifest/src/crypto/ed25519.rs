//! Ed25519 (RFC 8032): key encodings, checks of keys, signatures.

mod edwards;

use ring::{
    rand::SystemRandom,
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};

use super::{BadSignature, KeyError};

/// The length of a public key, in bytes.
pub(super) const KEY: usize = 32;

/// SPKI is a fixed prefix and the key: comparing the prefix is the whole, strict, parser.
pub(super) const SPKI: &[u8] = &[
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// PKCS#8 version 1. `ring` writes version 2 for Ed25519, which OpenSSL 3.0 does not read.
const PKCS8: &[u8] = &[
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Refuses a key of small order, or that is no point of the curve, or that is a second spelling of one.
pub(super) fn check(key: &[u8; KEY]) -> Result<(), KeyError> {
    let mut masked = *key;
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
    Ok(())
}

pub(super) fn verify(
    key: &[u8; KEY],
    message: &[u8],
    signature: &[u8],
) -> Result<(), BadSignature> {
    // `ring` refuses S at or above the group order: else anybody could turn a signature into another one.
    UnparsedPublicKey::new(&ED25519, key)
        .verify(message, signature)
        .map_err(|_| BadSignature)
}

pub(super) fn generate_pkcs8() -> Result<Vec<u8>, KeyError> {
    let seed: [u8; 32] = ring::rand::generate(&SystemRandom::new())
        .map_err(|_| KeyError::Random)?
        .expose();
    Ok([PKCS8, &seed].concat())
}

/// A private key.
pub(super) struct Private(Ed25519KeyPair);

impl Private {
    pub(super) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        // OpenSSL writes Ed25519 keys without the public key, which the "unchecked" name is about:
        // there is no pair that could be inconsistent.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der);
        pair.ok().map(Self)
    }

    pub(super) fn public(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
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
    use crate::crypto::PublicKey;

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
    fn second_spelling_of_a_point_is_refused() {
        assert_eq!(check(&near_p(0xef)), Err(KeyError::NotOnCurve));
    }
}
