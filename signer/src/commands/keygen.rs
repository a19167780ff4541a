//! `earmark keygen`.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use earmark_manifest::{
    crypto::{Algorithm, PrivateKey},
    envelope::KeyId,
    trust,
};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{
    exit::{Exit, Exits, Failure, Outcome},
    io::{
        files,
        output::{self, quote},
    },
    keys::{self, PassphraseArgs},
};

/// Make a signing key
///
/// Writes the private key, readable by its owner alone, and the public key
/// beside it, both as PEM that OpenSSL reads. Nothing is ever overwritten.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The file of the private key. The public key goes to the same name with
    /// `.key` replaced by `.pub`
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Ed25519, or ECDSA P-256 where a rule or a KMS asks for it
    #[arg(long, value_name = "ALGORITHM", default_value = "ed25519", value_parser = algorithms())]
    algorithm: Algorithm,
    /// Encrypt the private key with a passphrase
    #[arg(long)]
    encrypt: bool,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
EXAMPLES:
  earmark keygen --out release.key
  earmark keygen --out second.key --algorithm p256
  earmark keygen --out release.key --encrypt      asks for a passphrase
  openssl pkey -in release.key -pubout    prints the same public key";

#[derive(Serialize)]
struct Made {
    key_id: String,
    algorithm: &'static str,
    private: PathBuf,
    public: PathBuf,
}

impl Args {
    pub fn run(&self) -> Outcome {
        let public_path = public_path(&self.out);
        // Asked first, so that no private key is left behind whose public half could not be written.
        if public_path.symlink_metadata().is_ok() {
            return Err(exists(&public_path));
        }
        let making = "failed to make a key";
        let der = PrivateKey::generate_pkcs8(self.algorithm).map(Zeroizing::new);
        let der = der.context(making)?;
        let public = PrivateKey::from_pkcs8(&der)
            .and_then(|key| key.public())
            .context("failed to read back the key")?;
        let pem = if self.encrypt {
            let passphrase = self.passphrase.new_passphrase()?;
            keys::encrypt(&der, &passphrase).context(making)?
        } else if self.passphrase.is_given() {
            let useless = "a passphrase is only for an encrypted key: --encrypt";
            return Err(Failure::new(Exit::Usage, useless).next("give --encrypt, too"));
        } else {
            trust::encode_pem("PRIVATE KEY", &der)
        };
        write(&self.out, 0o600, &Zeroizing::new(pem)).map_err(|failure| {
            if self.out.symlink_metadata().is_err() {
                return failure;
            }
            // A run that was killed between the two left a whole private key.
            let (private, public) = (quote(&self.out), quote(&public_path));
            failure.or(format!(
                "earmark public --key {private} --out {public} writes its other half"
            ))
        })?;
        write(&public_path, 0o644, &trust::public_pem(&public))?;
        let made = Made {
            key_id: KeyId::of(&public).to_string(),
            algorithm: self.algorithm.name(),
            private: self.out.clone(),
            public: public_path,
        };
        output::result(self.json, &made)
    }
}

/// The parser of an algorithm's name, one of those that the format has.
fn algorithms() -> impl TypedValueParser<Value = Algorithm> {
    PossibleValuesParser::new(Algorithm::all().map(Algorithm::name)).try_map(|name| {
        let found = Algorithm::all().find(|algorithm| algorithm.name() == name);
        found.ok_or("unknown algorithm")
    })
}

/// `release.key` becomes `release.pub`, anything else gets `.pub` appended.
fn public_path(private: &Path) -> PathBuf {
    if private
        .extension()
        .is_some_and(|extension| extension == "key")
    {
        return private.with_extension("pub");
    }
    let mut path = private.as_os_str().to_owned();
    path.push(".pub");
    path.into()
}

/// Writes a key file that is not there yet.
pub fn write(path: &Path, mode: u32, pem: &str) -> Outcome<()> {
    match files::create_new(path, mode, pem.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(exists(path)),
        written => {
            let exit = written
                .as_ref()
                .err()
                .map_or(Exit::Internal, files::unwritable);
            written
                .with_context(|| format!("failed to write {}", quote(path)))
                .exits(exit)
        }
    }
}

fn exists(path: &Path) -> Failure {
    let message = format!("failed to write {}: it exists", quote(path));
    Failure::new(Exit::Usage, message).next("choose another --out: keys are never overwritten")
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} key {}", self.algorithm, self.key_id)?;
        writeln!(f, "  private  {}", quote(&self.private))?;
        writeln!(f, "  public   {}", quote(&self.public))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_key_path_derives_from_private_key_path() {
        for (private, public) in [
            ("release.key", "release.pub"),
            ("a/b.key", "a/b.pub"),
            ("a.key/b", "a.key/b.pub"),
            ("key", "key.pub"),
            ("x.pem", "x.pem.pub"),
        ] {
            assert_eq!(public_path(Path::new(private)), Path::new(public));
        }
    }
}
