//! References to private keys.

use std::{fmt, path::PathBuf, str::FromStr};

use zeroize::Zeroizing;

use super::{KEY_FILE, Passphrase, SigningKey, kms, pem, pkcs11, secret};
use crate::{
    exit::{Exit, Failure, Outcome},
    io::{files, output::quote},
};

/// Location of a private key: a path, `env:NAME` for PEM in an environment variable, `pkcs11:` for one
/// that stays in a device, or `awskms:` for one that stays in a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A PEM file.
    File(PathBuf),
    /// PEM in this environment variable.
    Environment(String),
    /// In a device.
    Pkcs11(pkcs11::Uri),
    /// In AWS KMS.
    Kms(kms::Reference),
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
            Some(("pkcs11", uri)) => pkcs11::Uri::parse(uri)
                .map(Self::Pkcs11)
                .map_err(|error| format!("{error} (a file of that name is ./pkcs11:…)")),
            Some(("awskms", key)) => kms::Reference::parse(key)
                .map(Self::Kms)
                .map_err(|error| format!("{error} (a file of that name is ./awskms:…)")),
            _ if text.is_empty() => {
                Err("expected a path, env:NAME, pkcs11:URI or awskms:KEY".to_owned())
            }
            _ => Ok(Self::File(text.into())),
        }
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.write_str(&quote(path)),
            Self::Environment(name) => write!(f, "the environment variable '{name}'"),
            Self::Pkcs11(uri) => uri.fmt(f),
            Self::Kms(reference) => reference.fmt(f),
        }
    }
}

impl KeySource {
    /// The key, ready to sign.
    pub fn load(&self, passphrase: &Passphrase<'_>) -> Outcome<SigningKey> {
        match self {
            Self::File(path) => {
                let file = secret::open(path, "private key")?;
                let pem = files::read_open(file, path, KEY_FILE, "private key")?;
                let pem = Zeroizing::new(pem);
                self.local(&pem, &quote(path), passphrase)
            }
            Self::Environment(name) => {
                let pem = std::env::var_os(name)
                    .map(|pem| Zeroizing::new(std::os::unix::ffi::OsStringExt::into_vec(pem)))
                    .filter(|pem| !pem.is_empty())
                    .ok_or_else(|| {
                        let unset = format!("failed to read the private key: {self} is not set");
                        Failure::new(Exit::Undecided, unset)
                            .next(format!("export {name}=\"$(cat release.key)\""))
                    })?;
                self.local(&pem, "KEY", passphrase)
            }
            Self::Pkcs11(uri) => SigningKey::pkcs11(uri, passphrase),
            Self::Kms(reference) => SigningKey::kms(reference),
        }
    }

    /// The key that a PEM text has. `argument` is as one would name it to `openssl`.
    fn local(
        &self,
        pem: &[u8],
        argument: &str,
        passphrase: &Passphrase<'_>,
    ) -> Outcome<SigningKey> {
        let unusable = |pem::Unusable { cause, next }| {
            let unusable = format!("failed to use the key in {self}: {cause}");
            Failure::new(Exit::Usage, unusable).next(next.replace("KEY", argument))
        };
        let private = match pem::parse(pem).map_err(unusable)? {
            pem::Pem::Plain(private) => private,
            pem::Pem::Encrypted(encrypted) => {
                let passphrase = passphrase.get(&format!("Passphrase of {self}"))?;
                encrypted.decrypt(&passphrase).map_err(unusable)?
            }
        };
        SigningKey::local(private)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_source_parses_file_env_pkcs11_and_kms() {
        let parse = |text: &str| text.parse::<KeySource>();
        assert_eq!(parse("a/b.key"), Ok(KeySource::File("a/b.key".into())));
        assert_eq!(parse("./env:X"), Ok(KeySource::File("./env:X".into())));
        assert_eq!(
            parse("env:RELEASE_KEY"),
            Ok(KeySource::Environment("RELEASE_KEY".to_owned()))
        );
        let token = "pkcs11:object=x?module-path=/m.so";
        assert!(matches!(parse(token), Ok(KeySource::Pkcs11(_))));
        for bad in [
            "",
            "env:",
            "env:A=B",
            "pkcs11:",
            "pkcs11:object=x",
            "awskms:",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let service = parse("awskms:alias/release");
        assert!(matches!(service, Ok(KeySource::Kms(_))));
    }
}
