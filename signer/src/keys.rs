//! Signing keys: where they come from, and what is signed with them.
//!
//! Private key material stays beneath this module and in [`PrivateKey`], none of which shows it: not in
//! `Debug`, not in errors. It never comes as an argument, which every user of a host could read; neither
//! does a passphrase. What held either is overwritten when it is dropped, as far as it is ours: `ring`'s
//! own copy of a key is not, nor is the environment.

mod encrypted;
mod kms;
mod passphrase;
mod pem;
mod pkcs11;
mod reference;
mod secret;

use std::path::Path;

use anyhow::Context;
use earmark_manifest::{
    crypto::{PrivateKey, PublicKey},
    envelope::{Envelope, KeyId},
    escape::Escaped,
};

use crate::{
    exit::{Exit, Exits, Failure, Outcome},
    io::files,
};

pub use self::{
    encrypted::encrypt,
    passphrase::{Passphrase, PassphraseArgs},
    reference::KeySource,
};

/// A key file longer than this is none.
const KEY_FILE: usize = 64 * 1024;

/// The keys to sign with, as `sign`, `seal` and `grant` take them.
#[derive(Debug, clap::Args)]
pub struct KeyArgs {
    /// A private key: a PEM file, encrypted or not; env:NAME for PEM in an
    /// environment variable; pkcs11:URI of one in a device; awskms:ID, alias or
    /// ARN of one in AWS KMS; once for each key
    #[arg(long = "key", value_name = "KEY", required = true)]
    keys: Vec<KeySource>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

impl KeyArgs {
    /// All keys, in order. The same key twice is one signature, and says so.
    pub fn load(&self) -> Outcome<Vec<SigningKey>> {
        let passphrase = self.passphrase.source();
        let mut keys: Vec<SigningKey> = Vec::new();
        for source in &self.keys {
            let key = source.load(&passphrase)?;
            if keys.iter().any(|known| known.id() == key.id()) {
                let twice = format!("the key in {source} was given twice");
                return Err(Failure::new(Exit::Usage, twice)
                    .next("give each key once: a threshold counts distinct keys"));
            }
            keys.push(key);
        }
        Ok(keys)
    }
}

/// A key to sign with, and its public half.
#[derive(Debug)]
pub struct SigningKey {
    signer: Signer,
    public: PublicKey,
}

/// Maker of a key's signatures.
#[derive(Debug)]
enum Signer {
    /// This program.
    Local(PrivateKey),
    /// A device.
    Pkcs11(pkcs11::Key),
    /// A service.
    Kms(kms::Key),
}

impl SigningKey {
    /// A key that is at hand.
    pub fn local(private: PrivateKey) -> Outcome<Self> {
        let public = private
            .public()
            .context("failed to make the public half")
            .exits(Exit::Usage)?;
        Ok(Self {
            signer: Signer::Local(private),
            public,
        })
    }

    /// A key that stays in a device.
    fn pkcs11(uri: &pkcs11::Uri, pin: &Passphrase<'_>) -> Outcome<Self> {
        let (key, public) = pkcs11::Key::open(uri, pin)?;
        Ok(Self {
            signer: Signer::Pkcs11(key),
            public,
        })
    }

    /// A key that stays in a service.
    fn kms(reference: &kms::Reference) -> Outcome<Self> {
        let (key, public) = kms::Key::open(reference)?;
        Ok(Self {
            signer: Signer::Kms(key),
            public,
        })
    }

    /// Its public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The id of the key.
    pub fn id(&self) -> KeyId {
        KeyId::of(&self.public)
    }

    fn sign(&self, message: &[u8]) -> Outcome<Vec<u8>> {
        let signing = || format!("failed to sign with the key {}", self.id());
        match &self.signer {
            Signer::Local(private) => Ok(private.sign(message).with_context(signing)?),
            Signer::Pkcs11(key) => key.sign(message),
            Signer::Kms(key) => key.sign(message),
        }
    }
}

/// Signs `payload` with all of `keys`, keeping the signatures of `earlier`, which is over that payload.
///
/// Whoever made a signature, it is verified with the public half before it gets into the envelope.
pub fn sign(earlier: Option<Envelope>, payload: Vec<u8>, keys: &[SigningKey]) -> Outcome<Envelope> {
    let message = Envelope::message(&payload);
    let mut envelope = earlier;
    let mut payload = Some(payload);
    for key in keys {
        let signature = key.sign(&message)?;
        match (&mut envelope, payload.take()) {
            (Some(envelope), _) => envelope.attach(&key.public, signature),
            (None, payload) => {
                Envelope::signed(payload.unwrap_or_default(), &key.public, signature)
                    .map(|signed| envelope = Some(signed))
            }
        }
        .with_context(|| format!("the signature that was made with the key {}", key.id()))?;
    }
    envelope.context("no key to sign with").exits(Exit::Usage)
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
