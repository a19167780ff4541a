//! Points and signatures, as devices have them and as everybody else has.

use earmark_manifest::crypto::{Algorithm, KeyError, PublicKey};

/// A device's `CKA_EC_POINT`: the point in an OCTET STRING, as the standard says, in a BIT STRING, or bare.
pub fn public(algorithm: Algorithm, point: &[u8]) -> Result<PublicKey, KeyError> {
    let (octets, bits, bare): (&[u8], &[u8], _) = match algorithm {
        Algorithm::Ed25519 => (&[0x04, 32], &[0x03, 33, 0], 32),
        Algorithm::P256 => (&[0x04, 65], &[0x03, 66, 0], 65),
    };
    let wrapped = [octets, bits]
        .into_iter()
        .find_map(|prefix| point.strip_prefix(prefix).filter(|rest| rest.len() == bare));
    let point = wrapped.unwrap_or(point);
    PublicKey::from_raw(algorithm, point)
}

/// Devices give r and s, one after the other.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes are not a P-256 signature")]
pub struct WrongLength(usize);

/// The DER of an ECDSA signature over P-256.
pub fn ecdsa(signature: &[u8]) -> Result<Vec<u8>, WrongLength> {
    if signature.len() != 64 {
        return Err(WrongLength(signature.len()));
    }
    let (r, s) = signature.split_at(32);
    let mut body = Vec::with_capacity(70);
    for number in [r, s] {
        integer(number, &mut body);
    }
    let mut der = vec![0x30];
    // At most 2 * 35 bytes: lengths here are one byte long.
    der.extend(u8::try_from(body.len()));
    der.append(&mut body);
    Ok(der)
}

fn integer(number: &[u8], der: &mut Vec<u8>) {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let digits = number.get(zeros..).unwrap_or_default();
    // One that is negative in two's complement gets a zero before it, and so does zero itself.
    let sign = digits.first().is_none_or(|first| *first >= 0x80);
    der.push(0x02);
    der.extend(u8::try_from(digits.len() + usize::from(sign)));
    der.extend(sign.then_some(0));
    der.extend_from_slice(digits);
}

#[cfg(test)]
mod tests {
    use earmark_manifest::crypto::PrivateKey;

    use super::*;

    #[test]
    fn der_integer_encoding_is_minimal() {
        let of = |number: &[u8]| {
            let mut der = Vec::new();
            integer(number, &mut der);
            der
        };
        assert_eq!(of(&[0, 0, 1]), [2, 1, 1]);
        assert_eq!(of(&[0x7f, 0]), [2, 2, 0x7f, 0]);
        assert_eq!(of(&[0, 0x80]), [2, 2, 0, 0x80]);
        assert_eq!(of(&[0, 0]), [2, 1, 0]);
    }

    #[test]
    fn raw_ecdsa_signature_converts_to_der_and_wrong_length_is_refused() {
        let der = PrivateKey::generate_pkcs8(Algorithm::P256).unwrap();
        let key = PrivateKey::from_pkcs8(&der).unwrap();
        // Often enough that leading zeros and high bits come.
        for _ in 0..300 {
            let der = key.sign(b"message").unwrap();
            let mut raw = Vec::new();
            let mut rest = &der[2..];
            for _ in 0..2 {
                let length = usize::from(rest[1]);
                let digits = &rest[2..2 + length];
                let digits = &digits[digits.len().saturating_sub(32)..];
                raw.extend(std::iter::repeat_n(0, 32 - digits.len()));
                raw.extend_from_slice(digits);
                rest = &rest[2 + length..];
            }
            assert_eq!(ecdsa(&raw).unwrap(), der);
        }
        assert_eq!(ecdsa(&[1; 63]), Err(WrongLength(63)));
        assert_eq!(ecdsa(&[]), Err(WrongLength(0)));
    }

    #[test]
    fn ec_point_accepts_raw_octet_string_and_bit_string() {
        for algorithm in Algorithm::all() {
            let der = PrivateKey::generate_pkcs8(algorithm).unwrap();
            let key = PrivateKey::from_pkcs8(&der).unwrap().public().unwrap();
            let bare = key.as_bytes();
            let length = u8::try_from(bare.len()).unwrap();
            let octets = [&[4, length][..], bare].concat();
            let bits = [&[3, length + 1, 0][..], bare].concat();
            for point in [bare, &octets, &bits] {
                assert_eq!(public(algorithm, point), Ok(key.clone()));
            }
            for bad in [&bare[1..], &[&octets[..], b"x"].concat(), b""] {
                assert!(public(algorithm, bad).is_err());
            }
        }
    }
}
