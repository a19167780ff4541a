//! Encrypted PKCS#8, as `openssl pkcs8 -topk8` writes it: docs/adr/0010-signing-keys.md.

use super::pem::{self, CONVERT, Unusable};
use earmark_manifest::{
    crypto::{self, KeyError, PrivateKey},
    trust,
};
use pkcs8::{
    EncryptedPrivateKeyInfoOwned, Error,
    der::{Decode, Encode, asn1::OctetString},
    pkcs5::{
        self, EncryptionScheme,
        pbes2::{self, Kdf, Parameters, ScryptParams},
    },
};

/// A private key that nobody has without its passphrase.
#[derive(Debug)]
pub struct Encrypted(EncryptedPrivateKeyInfoOwned);

/// The most memory that a key file may ask for, and the most rounds: some seconds' work. The file is the
/// one who made it, and a damaged one must not stop the machine.
const MEMORY: u64 = 1 << 30;
const WORK: u64 = 8 << 30;
const ROUNDS: u32 = 50_000_000;

/// Parameters N, r and p of scrypt, which `earmark keygen --encrypt` asks for. OWASP gives them for 16 MiB, and
/// OpenSSL reads no key that wants more than 32 MiB.
const SCRYPT: (u64, u16, u16) = (1 << 14, 8, 5);

impl Encrypted {
    /// Parses the DER, and refuses what no passphrase would open here.
    pub fn parse(der: &[u8]) -> Result<Self, Unusable> {
        let refuse = |cause: &str| Unusable {
            cause: cause.to_owned(),
            next: CONVERT,
        };
        let key = EncryptedPrivateKeyInfoOwned::from_der(der).map_err(|_| {
            refuse("unsupported encryption: expected PBES2 with scrypt or PBKDF2, and AES")
        })?;
        let EncryptionScheme::Pbes2(parameters) = &key.encryption_algorithm else {
            return Err(refuse("it is encrypted with PBES1, which is broken"));
        };
        let too_dear = match &parameters.kdf {
            Kdf::Scrypt(scrypt) => {
                let block = 128 * u64::from(scrypt.block_size);
                let memory = block.saturating_mul(scrypt.cost_parameter);
                let work = memory.saturating_mul(u64::from(scrypt.parallelization));
                memory > MEMORY || work > WORK
            }
            Kdf::Pbkdf2(pbkdf2) => pbkdf2.iteration_count > ROUNDS,
            _ => false,
        };
        if too_dear {
            return Err(refuse(
                "its key derivation is over the limit: it needs more than 1 GiB, or takes minutes",
            ));
        }
        Ok(Self(key))
    }

    /// The key, with the right passphrase.
    pub fn decrypt(&self, passphrase: &[u8]) -> Result<PrivateKey, Unusable> {
        let wrong = || Unusable {
            cause: "the passphrase is wrong, or the file is damaged".to_owned(),
            next: "try it with: openssl pkey -in KEY -noout",
        };
        match self.0.decrypt(passphrase) {
            Ok(document) => pem::plain(document.as_bytes()),
            // There is nothing in the file to check a passphrase with but the padding, which a wrong one
            // gets right once in 256 times; then what comes out is no DER.
            Err(Error::EncryptedPrivateKey(pkcs5::Error::DecryptFailed) | Error::Asn1(_)) => {
                Err(wrong())
            }
            Err(error) => Err(Unusable {
                cause: format!("unsupported encryption: {error}"),
                next: CONVERT,
            }),
        }
    }
}

/// A PKCS#8 document as an encrypted PEM block.
pub fn encrypt(der: &[u8], passphrase: &[u8]) -> Result<String, EncryptError> {
    let (cost_parameter, block_size, parallelization) = SCRYPT;
    let scrypt = ScryptParams {
        salt: crypto::random::<16>()?
            .as_slice()
            .try_into()
            .map_err(|_| EncryptError::Salt)?,
        cost_parameter,
        block_size,
        parallelization,
        key_length: None,
    };
    let parameters = Parameters {
        kdf: scrypt.into(),
        encryption: pbes2::EncryptionScheme::Aes256Cbc {
            iv: crypto::random()?,
        },
    };
    let encrypted_data = OctetString::new(parameters.encrypt(passphrase, der)?)?;
    let document = EncryptedPrivateKeyInfoOwned {
        encryption_algorithm: parameters.into(),
        encrypted_data,
    };
    Ok(trust::encode_pem(
        "ENCRYPTED PRIVATE KEY",
        &document.to_der()?,
    ))
}

/// Reason why a key could not be encrypted: a defect, or no randomness to be had.
#[derive(Debug, thiserror::Error)]
pub enum EncryptError {
    /// The random source.
    #[error(transparent)]
    Random(#[from] KeyError),
    /// The salt's length.
    #[error("invalid length of the salt")]
    Salt,
    /// The encryption.
    #[error(transparent)]
    Pkcs5(#[from] pkcs5::Error),
    /// The encoding.
    #[error(transparent)]
    Der(#[from] pkcs8::der::Error),
}

#[cfg(test)]
mod tests {
    use earmark_manifest::crypto::Algorithm;

    use super::*;

    fn parse(pem: &str) -> Result<Encrypted, Unusable> {
        let (label, der) = trust::decode_pem(pem.as_bytes()).unwrap();
        assert_eq!(label, "ENCRYPTED PRIVATE KEY");
        Encrypted::parse(&der)
    }

    #[test]
    fn encrypted_key_opens_only_with_its_passphrase() {
        for algorithm in [Algorithm::Ed25519, Algorithm::P256] {
            let der = PrivateKey::generate_pkcs8(algorithm).unwrap();
            let public = PrivateKey::from_pkcs8(&der).unwrap().public().unwrap();
            let pem = encrypt(&der, b"correct horse").unwrap();
            let key = parse(&pem).unwrap();
            let opened = key.decrypt(b"correct horse").unwrap();
            assert_eq!(opened.public().unwrap(), public);
            for wrong in [&b""[..], b"correct horse ", b"battery staple"] {
                let error = key.decrypt(wrong).unwrap_err();
                assert!(error.cause.contains("passphrase is wrong"), "{error:?}");
            }
            // Salt and nonce are new each time.
            assert_ne!(encrypt(&der, b"correct horse").unwrap(), pem);
        }
    }

    #[test]
    fn scrypt_cost_above_memory_limit_is_refused() {
        let der = PrivateKey::generate_pkcs8(Algorithm::Ed25519).unwrap();
        let (_, der) = trust::decode_pem(encrypt(&der, b"x").unwrap().as_bytes()).unwrap();
        let mut key = EncryptedPrivateKeyInfoOwned::from_der(&der).unwrap();
        let EncryptionScheme::Pbes2(parameters) = &mut key.encryption_algorithm else {
            panic!("PBES2")
        };
        let Kdf::Scrypt(scrypt) = &mut parameters.kdf else {
            panic!("scrypt")
        };
        scrypt.cost_parameter = 1 << 20;
        assert!(Encrypted::parse(&key.to_der().unwrap()).is_ok());
        let EncryptionScheme::Pbes2(Parameters {
            kdf: Kdf::Scrypt(scrypt),
            ..
        }) = &mut key.encryption_algorithm
        else {
            panic!("scrypt")
        };
        scrypt.cost_parameter = 1 << 40;
        let error = Encrypted::parse(&key.to_der().unwrap()).unwrap_err();
        assert!(error.cause.contains("1 GiB"), "{error:?}");
    }
}
