//! RSA, for what others sign.

use std::fmt;

use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

use super::BadSignature;

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
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.0)
            .verify(message, signature)
            .map_err(|_| BadSignature)
    }
}

impl fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RSA public key")
    }
}
