//! How a private key is referred to.

use std::{fmt, path::PathBuf, str::FromStr};

use zeroize::Zeroizing;

use super::{KEY_FILE, Passphrase, SigningKey, passphrase, pem};
use crate::{
    exit::{Exit, Failure, Outcome},
    files,
    output::quote,
};

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

impl KeySource {
    /// The key, ready to sign.
    pub fn load(&self, passphrase: &Passphrase<'_>) -> Outcome<SigningKey> {
        let pem = self.read()?;
        let unusable = |pem::Unusable { cause, next }| {
            Failure::new(
                Exit::Usage,
                format!("failed to use the key in {self}: {cause}"),
            )
            .next(next.replace("KEY", &self.as_argument()))
        };
        let private = match pem::parse(&pem).map_err(unusable)? {
            pem::Pem::Plain(private) => private,
            pem::Pem::Encrypted(encrypted) => {
                let passphrase = passphrase.get(&format!("Passphrase of {self}"))?;
                encrypted.decrypt(&passphrase).map_err(unusable)?
            }
        };
        SigningKey::local(private)
    }

    fn read(&self) -> Outcome<Zeroizing<Vec<u8>>> {
        match self {
            Self::File(path) => {
                passphrase::warn_if_others_read(path, "private key");
                files::read(path, KEY_FILE, "private key").map(Zeroizing::new)
            }
            Self::Environment(name) => std::env::var_os(name)
                .map(|pem| Zeroizing::new(std::os::unix::ffi::OsStringExt::into_vec(pem)))
                .filter(|pem| !pem.is_empty())
                .ok_or_else(|| {
                    let unset = format!("failed to read the private key: {self} is not set");
                    Failure::new(Exit::Undecided, unset)
                        .next(format!("export {name}=\"$(cat release.key)\""))
                }),
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

#[cfg(test)]
mod tests {
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
}
