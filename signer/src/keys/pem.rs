//! Private keys in PEM, plain or encrypted, and what to do with one of another kind.

use earmark_manifest::{crypto::PrivateKey, trust};
use zeroize::Zeroizing;

use super::encrypted::Encrypted;

/// A private key as its PEM block has it.
#[derive(Debug)]
pub enum Pem {
    /// Ready to be used.
    Plain(PrivateKey),
    /// Not without its passphrase.
    Encrypted(Encrypted),
}

/// Reason why a PEM text is no private key that this program uses, without any of its bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Unusable {
    /// Description of what it is instead.
    pub cause: String,
    /// `KEY` stands for where it is.
    pub next: &'static str,
}

const NEW_KEY: &str = "earmark keygen --out release.key, or: openssl genpkey -algorithm ed25519";

/// Converts whatever OpenSSL reads into what is read here.
pub const CONVERT: &str = "openssl pkcs8 -topk8 -scrypt -in KEY -out encrypted.key";

/// Parses a PEM text that should be a private key.
pub fn parse(pem: &[u8]) -> Result<Pem, Unusable> {
    let decoded = trust::decode_pem(pem).map(|(label, der)| (label, Zeroizing::new(der)));
    if let Some((label, der)) = &decoded {
        match label.as_str() {
            "PRIVATE KEY" => return plain(der).map(Pem::Plain),
            "ENCRYPTED PRIVATE KEY" => return Encrypted::parse(der).map(Pem::Encrypted),
            _ => {}
        }
    }
    // It may be a private key of another kind: a copy of it would be one too many.
    let has_text = |text: &str| {
        pem.windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    let has = |label: &str| has_text(&format!("-----BEGIN {label}-----"));
    let (cause, next) = if has_text("Proc-Type: 4,ENCRYPTED") {
        (
            "it is encrypted in OpenSSL's format before PKCS#8, with one round of MD5",
            CONVERT,
        )
    } else if has("ENCRYPTED PRIVATE KEY") || has("PRIVATE KEY") {
        ("its PEM block is damaged", NEW_KEY)
    } else if has("EC PRIVATE KEY") || has("EC PARAMETERS") {
        (
            "it is a SEC1 key ('EC PRIVATE KEY'): expected PKCS#8",
            "openssl pkcs8 -topk8 -nocrypt -in KEY -out pkcs8.key",
        )
    } else if has("PUBLIC KEY") {
        ("it is a public key", "give the private half to --key")
    } else if has("RSA PRIVATE KEY") || has("OPENSSH PRIVATE KEY") {
        ("it is not an Ed25519 or P-256 key in PKCS#8", NEW_KEY)
    } else {
        ("it is not a PEM block 'PRIVATE KEY'", NEW_KEY)
    };
    Err(Unusable {
        cause: cause.to_owned(),
        next,
    })
}

/// The key of a PKCS#8 document.
pub fn plain(der: &[u8]) -> Result<PrivateKey, Unusable> {
    PrivateKey::from_pkcs8(der).map_err(|error| Unusable {
        cause: error.to_string(),
        next: NEW_KEY,
    })
}

#[cfg(test)]
mod tests {
    use earmark_manifest::crypto::Algorithm;

    use super::*;

    #[test]
    fn unsupported_key_pem_is_refused_with_next_step() {
        let block = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
        let old = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n";
        for (pem, cause, next) in [
            (block("EC PRIVATE KEY"), "SEC1", "openssl pkcs8 -topk8"),
            (
                block("EC PARAMETERS") + &block("EC PRIVATE KEY"),
                "SEC1",
                "openssl pkcs8 -topk8",
            ),
            (old.to_owned(), "before PKCS#8", "openssl pkcs8 -topk8"),
            (block("ENCRYPTED PRIVATE KEY"), "encrypt", "openssl pkcs8"),
            (block("PUBLIC KEY"), "public", "private half"),
            (block("RSA PRIVATE KEY"), "Ed25519 or P-256", "keygen"),
            (block("PRIVATE KEY"), "not an Ed25519 or P-256", "keygen"),
            (
                "-----BEGIN PRIVATE KEY-----\nAA".to_owned(),
                "damaged",
                "keygen",
            ),
            ("garbage".to_owned(), "not a PEM block", "keygen"),
        ] {
            let error = parse(pem.as_bytes()).unwrap_err();
            assert!(error.cause.contains(cause), "{error:?}");
            assert!(error.next.contains(next), "{error:?}");
            assert!(!format!("{error:?}").contains("AAAA"));
        }
        let der = PrivateKey::generate_pkcs8(Algorithm::P256).unwrap();
        let pem = trust::encode_pem("PRIVATE KEY", &der);
        assert!(parse(pem.as_bytes()).is_ok());
    }
}
