//! The RSA key in a certificate, and nothing else of it: the certificate itself is what is believed.

use anyhow::{Result, anyhow, bail};
use bcder::{BitString, ConstOid, Mode, Oid, Tag};
use earmark_manifest::crypto::RsaKey;

/// `rsaEncryption`, 1.2.840.113549.1.1.1.
pub const RSA: ConstOid = Oid(&[42, 134, 72, 134, 247, 13, 1, 1, 1]);

/// The modulus of 2,048 bits with a tag, a length and a sign byte, and an exponent of one byte.
const SHORTEST: usize = 256 + 5 + 3;

/// The key of an X.509 certificate in DER.
pub fn rsa_key(der: Vec<u8>) -> Result<RsaKey> {
    let found = Mode::Der.decode(bytes::Bytes::from(der), |certificate| {
        certificate.take_sequence(|certificate| {
            let key = certificate.take_sequence(|signed| {
                // Version, serial number, algorithm, issuer, validity, subject.
                signed.take_opt_constructed_if(Tag::CTX_0, |rest| rest.skip_all())?;
                for _ in 0..5 {
                    signed.capture_one()?;
                }
                let key = signed.take_sequence(|key| {
                    let algorithm = key.take_sequence(|algorithm| {
                        let oid = Oid::take_from(algorithm)?;
                        algorithm.skip_all()?;
                        Ok(oid)
                    })?;
                    Ok((algorithm == RSA, BitString::take_from(key)?))
                })?;
                signed.skip_all()?;
                Ok(key)
            })?;
            certificate.skip_all()?;
            Ok(key)
        })
    });
    let (is_rsa, key) = found.map_err(|_| anyhow!("it is not an X.509 certificate"))?;
    if !is_rsa {
        bail!("its key is not RSA: EC2 signs with DSA, too, which is not read");
    }
    let key = key.octet_bytes();
    if key.len() < SHORTEST {
        bail!("its key has less than 2,048 bits");
    }
    Ok(RsaKey::from_pkcs1(&key))
}
