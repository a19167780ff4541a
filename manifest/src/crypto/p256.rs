//! ECDSA over P-256 with SHA-256; the signature is DER.

use ring::{
    agreement,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
        UnparsedPublicKey,
    },
};

use super::{BadSignature, KeyError};

/// The length of a public key, an uncompressed point, in bytes.
pub(super) const KEY: usize = 65;

/// SPKI, as a fixed prefix and the key.
// The named curve alone: explicit parameters let the maker of a key choose its curve (CVE-2020-0601).
pub(super) const SPKI: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Refuses what is no point of the curve.
pub(super) fn check(point: &[u8; KEY]) -> Result<(), KeyError> {
    // An agreement with the key checks what a verification would check only when it is too
    // late to say so: that the point is on the curve.
    let private =
        agreement::EphemeralPrivateKey::generate(&agreement::ECDH_P256, &SystemRandom::new())
            .map_err(|_| KeyError::Random)?;
    let peer = agreement::UnparsedPublicKey::new(&agreement::ECDH_P256, point);
    agreement::agree_ephemeral(private, &peer, |_| ()).map_err(|_| KeyError::NotOnCurve)
}

pub(super) fn verify(
    key: &[u8; KEY],
    message: &[u8],
    signature: &[u8],
) -> Result<(), BadSignature> {
    // Low S is not demanded: signatures are counted by key and never compared, and not all signers make it.
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key)
        .verify(message, signature)
        .map_err(|_| BadSignature)
}

pub(super) fn generate_pkcs8() -> Result<Vec<u8>, KeyError> {
    EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
        .map(|document| document.as_ref().to_vec())
        .map_err(|_| KeyError::Random)
}

/// A private key.
pub(super) struct Private(EcdsaKeyPair);

impl Private {
    pub(super) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let signing = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pair = EcdsaKeyPair::from_pkcs8(signing, der, &SystemRandom::new());
        pair.ok().map(Self)
    }

    pub(super) fn public(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        // No random source, no signature: one repeated nonce of ECDSA gives the private key away.
        let signature = self.0.sign(&SystemRandom::new(), message);
        signature
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| KeyError::Random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_off_the_curve_is_refused() {
        let mut point = [7; KEY];
        point[0] = 4;
        assert_eq!(check(&point), Err(KeyError::NotOnCurve));
    }
}
