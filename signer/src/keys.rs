//! Where signing keys come from.
//!
//! Private key material stays in this module and in [`PrivateKey`], neither of which shows it: not in
//! `Debug`, not in errors. It never comes as an argument, which every user of a host could read.

use std::{
    fmt,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::Context;
use earmark_manifest::{
    crypto::{PrivateKey, PublicKey},
    envelope::{Envelope, KeyId},
    escape::Escaped,
    trust,
};

use crate::{
    exit::{Exit, Exits, Failure, Next, Outcome},
    files,
    output::{self, quote},
};

/// A key file longer than this is none.
const KEY_FILE: usize = 64 * 1024;

/// Where a private key is: a path, or `env:NAME` for PEM in an environment variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A PEM file.
    File(PathBuf),
    /// PEM in this environment variable.
    Environment(String),
}

impl FromStr for KeySource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("env", name)) => {
                let good = !name.is_empty()
                    && name
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                if good {
                    Ok(Self::Environment(name.to_owned()))
                } else {
                    Err("expected env:NAME, with the name of an environment variable".to_owned())
                }
            }
            Some((scheme @ ("awskms" | "pkcs11"), _)) => Err(format!(
                "{scheme}: keys are not supported in this version: use a path or env:NAME \
                 (a file of that name is ./{scheme}:…)"
            )),
            _ if text.is_empty() => Err("expected a path or env:NAME".to_owned()),
            _ => Ok(Self::File(text.into())),
        }
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.write_str(&quote(path)),
            Self::Environment(name) => write!(f, "the environment variable '{name}'"),
        }
    }
}

/// A private key and its public half.
#[derive(Debug)]
pub struct SigningKey {
    /// The key.
    pub private: PrivateKey,
    /// Its public half.
    pub public: PublicKey,
}

impl SigningKey {
    /// The id of the key.
    pub fn id(&self) -> KeyId {
        KeyId::of(&self.public)
    }
}

impl KeySource {
    /// Reads the private key.
    pub fn load(&self) -> Outcome<SigningKey> {
        let pem = self.read()?;
        let private = private_from_pem(&pem).map_err(|Unusable { cause, next }| {
            Failure::new(
                Exit::Usage,
                format!("failed to use the key in {self}: {cause}"),
            )
            .next(next.replace("KEY", &self.as_argument()))
        })?;
        let public = private
            .public()
            .with_context(|| format!("failed to use the key in {self}"))
            .exits(Exit::Usage)?;
        Ok(SigningKey { private, public })
    }

    fn read(&self) -> Outcome<Vec<u8>> {
        match self {
            Self::File(path) => {
                warn_if_others_read(path);
                files::read(path, KEY_FILE, "private key")
            }
            Self::Environment(name) => std::env::var_os(name)
                .map(std::os::unix::ffi::OsStringExt::into_vec)
                .filter(|pem| !pem.is_empty())
                .with_context(|| format!("failed to read the private key: {self} is not set"))
                .exits(Exit::Undecided)
                .or_next(|| format!("export {name}=\"$(cat release.key)\"")),
        }
    }

    /// As one would name it to `openssl`.
    fn as_argument(&self) -> String {
        match self {
            Self::File(path) => quote(path),
            Self::Environment(_) => "KEY".to_owned(),
        }
    }
}

/// All keys, in order. The same key twice is one signature, and says so.
pub fn load_all(sources: &[KeySource]) -> Outcome<Vec<SigningKey>> {
    let mut keys: Vec<SigningKey> = Vec::new();
    for source in sources {
        let key = source.load()?;
        if keys.iter().any(|known| known.id() == key.id()) {
            return Err(
                Failure::new(Exit::Usage, format!("the key in {source} was given twice"))
                    .next("give each key once: a threshold counts distinct keys"),
            );
        }
        keys.push(key);
    }
    Ok(keys)
}

/// Reads a public key file.
pub fn read_public(path: &Path) -> Outcome<Vec<u8>> {
    files::read(path, KEY_FILE, "public key")
}

/// The keys that an envelope's signatures name. Anybody can write a key id: it is shown escaped, and
/// as a claim.
pub fn claimed_ids(envelope: &Envelope) -> Vec<String> {
    let ids = envelope.claimed_keyids();
    ids.map(|id| Escaped(id.unwrap_or("-").as_bytes()).to_string())
        .collect()
}

fn warn_if_others_read(path: &Path) {
    // What cannot be asked is said when the file is read.
    let Ok(metadata) = std::fs::metadata(path) else {
        return;
    };
    if metadata.is_file() && metadata.permissions().mode() & 0o077 != 0 {
        output::note(&format!(
            "warning: others can use the private key {}: chmod 600 it",
            quote(path)
        ));
    }
}

/// Why a PEM text is no private key that this program uses, without any of its bytes.
#[derive(Debug, PartialEq, Eq)]
struct Unusable {
    cause: String,
    /// `KEY` stands for where it is.
    next: &'static str,
}

fn private_from_pem(pem: &[u8]) -> Result<PrivateKey, Unusable> {
    if let Some((label, der)) = trust::decode_pem(pem)
        && label == "PRIVATE KEY"
    {
        return PrivateKey::from_pkcs8(&der).map_err(|error| Unusable {
            cause: error.to_string(),
            next: NEW_KEY,
        });
    }
    let text = String::from_utf8_lossy(pem);
    let has = |label: &str| text.contains(&format!("-----BEGIN {label}-----"));
    let (cause, next) = if has("ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        ("it is encrypted", "openssl pkey -in KEY -out decrypted.key")
    } else if has("EC PRIVATE KEY") || has("EC PARAMETERS") {
        (
            "it is a SEC1 key ('EC PRIVATE KEY'), and PKCS#8 is read",
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

const NEW_KEY: &str = "earmark keygen --out release.key, or: openssl genpkey -algorithm ed25519";

#[cfg(test)]
mod tests {
    use earmark_manifest::crypto::Algorithm;

    use super::*;

    #[test]
    fn sources_are_paths_or_variables() {
        let parse = |text: &str| text.parse::<KeySource>();
        assert_eq!(parse("a/b.key"), Ok(KeySource::File("a/b.key".into())));
        assert_eq!(parse("./env:X"), Ok(KeySource::File("./env:X".into())));
        assert_eq!(
            parse("env:RELEASE_KEY"),
            Ok(KeySource::Environment("RELEASE_KEY".to_owned()))
        );
        for bad in ["", "env:", "env:A=B"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        for scheme in ["awskms:alias/release", "pkcs11:token=x"] {
            let error = parse(scheme).unwrap_err();
            assert!(error.contains("not supported in this version"), "{error}");
        }
    }

    #[test]
    fn keys_of_other_kinds_are_refused_with_the_command_that_converts_them() {
        let block = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
        for (pem, cause, next) in [
            (block("EC PRIVATE KEY"), "SEC1", "openssl pkcs8 -topk8"),
            (
                block("EC PARAMETERS") + &block("EC PRIVATE KEY"),
                "SEC1",
                "openssl pkcs8 -topk8",
            ),
            (block("ENCRYPTED PRIVATE KEY"), "encrypted", "openssl pkey"),
            (block("PUBLIC KEY"), "public", "private half"),
            (block("RSA PRIVATE KEY"), "Ed25519 or P-256", "keygen"),
            (block("PRIVATE KEY"), "not an Ed25519 or P-256", "keygen"),
            ("garbage".to_owned(), "not a PEM block", "keygen"),
        ] {
            let error = private_from_pem(pem.as_bytes()).unwrap_err();
            assert!(error.cause.contains(cause), "{error:?}");
            assert!(error.next.contains(next), "{error:?}");
            assert!(!format!("{error:?}").contains("AAAA"));
        }
        let der = PrivateKey::generate_pkcs8(Algorithm::P256).unwrap();
        let pem = trust::encode_pem("PRIVATE KEY", &der);
        assert!(private_from_pem(pem.as_bytes()).is_ok());
    }
}
