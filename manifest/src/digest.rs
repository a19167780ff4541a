//! Digests, as values that cannot be taken for one another.
//!
//! They are public values: comparing them needs no constant time.

use std::fmt;

/// The SHA-256 digest of some bytes. Shown as `sha256:<64 lower-case hex digits>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256Digest([u8; 32]);

/// The fs-verity digest of a file: SHA-256, 4096-byte blocks, no salt. It is what the kernel's
/// `FS_IOC_MEASURE_VERITY` answers, and differs from the SHA-256 of the same file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VerityDigest([u8; 32]);

/// The SHA-256 of a manifest's payload bytes: the identity of a sealed image, whoever signed it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ManifestDigest(Sha256Digest);

/// Text that is not 64 lower-case hex digits (after `sha256:`, where that belongs).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a digest: expected {expected}")]
pub struct DigestError {
    expected: &'static str,
}

impl Sha256Digest {
    /// From the 32 bytes of the digest.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the digest.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// From 64 lower-case hex digits.
    ///
    /// # Errors
    ///
    /// For any other length or byte.
    pub fn from_hex(hex: &[u8]) -> Result<Self, DigestError> {
        decode_hex(hex).map(Self)
    }

    /// From `sha256:` and 64 lower-case hex digits.
    ///
    /// # Errors
    ///
    /// For any other prefix, length or byte.
    pub fn from_prefixed(text: &str) -> Result<Self, DigestError> {
        let hex = text.strip_prefix("sha256:").ok_or(DigestError {
            expected: "'sha256:' and 64 lower-case hex digits",
        })?;
        Self::from_hex(hex.as_bytes())
    }

    /// As 64 lower-case hex digits, without the name of the algorithm.
    pub fn hex(&self) -> String {
        encode_hex(&self.0)
    }
}

impl VerityDigest {
    /// From the 32 bytes of the digest.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the digest.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// From 64 lower-case hex digits.
    ///
    /// # Errors
    ///
    /// For any other length or byte.
    pub fn from_hex(hex: &[u8]) -> Result<Self, DigestError> {
        decode_hex(hex).map(Self)
    }

    /// As 64 lower-case hex digits.
    pub fn hex(&self) -> String {
        encode_hex(&self.0)
    }
}

impl ManifestDigest {
    /// The digest of a manifest with this payload.
    pub fn of_payload(payload: &[u8]) -> Self {
        Self(crate::crypto::sha256(payload))
    }

    /// From `sha256:` and 64 lower-case hex digits.
    ///
    /// # Errors
    ///
    /// For any other prefix, length or byte.
    pub fn from_prefixed(text: &str) -> Result<Self, DigestError> {
        Sha256Digest::from_prefixed(text).map(Self)
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Display for VerityDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The notation of `fsverity measure`.
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Display for ManifestDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for VerityDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fs-verity {self}")
    }
}

impl fmt::Debug for ManifestDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "manifest {self}")
    }
}

/// Lower-case hex of any bytes.
pub fn encode_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    push_hex(&mut text, bytes);
    text
}

/// Appends lower-case hex of `bytes` to `text`.
pub(crate) fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for nibble in [byte >> 4, byte & 0xf] {
            text.push(char::from(if nibble < 10 {
                b'0' + nibble
            } else {
                b'a' + nibble - 10
            }));
        }
    }
}

/// The value of one lower-case hex digit. Upper case is refused: each value has one spelling.
pub(crate) const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

fn decode_hex(hex: &[u8]) -> Result<[u8; 32], DigestError> {
    const EXPECTED: DigestError = DigestError {
        expected: "64 lower-case hex digits",
    };
    let (pairs, rest) = hex.as_chunks::<2>();
    if pairs.len() != 32 || !rest.is_empty() {
        return Err(EXPECTED);
    }
    // A tree has a quarter of a million of these, on the way to the first byte that is hashed: what
    // is wrong is asked once at the end, not twice a byte.
    let mut bytes = [0; 32];
    let mut wrong = 0;
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let value = |digit: u8| nibble(digit).unwrap_or(u8::MAX);
        let (high, low) = (value(*high), value(*low));
        wrong |= high | low;
        *byte = high << 4 | low;
    }
    if wrong > 0xf {
        Err(EXPECTED)
    } else {
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_digest_accepts_only_its_canonical_form() {
        let digest = crate::crypto::sha256(b"earmark");
        assert_eq!(Sha256Digest::from_hex(digest.hex().as_bytes()), Ok(digest));
        assert_eq!(Sha256Digest::from_prefixed(&digest.to_string()), Ok(digest));
        for wrong in [
            digest.hex().to_uppercase(),
            digest.hex()[1..].into(),
            format!("{}0", digest.hex()),
        ] {
            assert!(Sha256Digest::from_hex(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(Sha256Digest::from_prefixed(&digest.hex()).is_err());
    }
}
