//! Keys that stay in a device, by PKCS#11. The module of its maker is loaded into this process:
//! docs/adr/0010-signing-keys.md.

mod der;
mod uri;

use std::fmt;

use anyhow::Context;
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    mechanism::{
        Mechanism,
        eddsa::{EddsaParams, EddsaSignatureScheme},
    },
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};
use earmark_manifest::crypto::{self, Algorithm, PublicKey};

pub use self::uri::Uri;
use super::{Passphrase, passphrase};
use crate::{
    exit::{Exit, Exits, Failure, Next, Outcome},
    io::output,
};

/// A private key in a device, with a session in which its PIN was given.
pub struct Key {
    session: Session,
    handle: ObjectHandle,
    algorithm: Algorithm,
    uri: Uri,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm, self.uri)
    }
}

impl Key {
    /// Finds the one key that the URI means, and its public half.
    pub fn open(uri: &Uri, pin: &Passphrase<'_>) -> Outcome<(Self, PublicKey)> {
        let module = load(uri)?;
        let (slot, token) = find_token(&module, uri)?;
        let session = module
            .open_ro_session(slot)
            .with_context(|| format!("failed to use the token '{}'", output::plain(&token)))
            .exits(Exit::Undecided)?;
        log_in(&session, uri, &token, pin)?;
        let handle = one(
            &session,
            uri,
            ObjectClass::PRIVATE_KEY,
            uri.id.as_deref(),
            "private key",
        )?;
        let found = attributes(
            &session,
            uri,
            handle,
            &[AttributeType::Id, AttributeType::KeyType],
        )?;
        let algorithm = found.iter().find_map(algorithm).ok_or_else(|| {
            Failure::new(
                Exit::Usage,
                format!("{uri} is neither an Ed25519 nor a P-256 key"),
            )
        })?;
        let id = found.iter().find_map(|attribute| {
            let Attribute::Id(id) = attribute else {
                return None;
            };
            (!id.is_empty()).then_some(id.as_slice())
        });
        let public = one(&session, uri, ObjectClass::PUBLIC_KEY, id, "public key").or_next(|| {
            "store the public key beside the private one, with the same id: it is what signatures are \
             checked with"
                .to_owned()
        })?;
        let public = attributes(&session, uri, public, &[AttributeType::EcPoint])?
            .iter()
            .find_map(|attribute| {
                let Attribute::EcPoint(point) = attribute else {
                    return None;
                };
                Some(der::public(algorithm, point))
            })
            .context("its public key has no point")
            .and_then(|key| Ok(key?))
            .with_context(|| format!("failed to use {uri}"))
            .exits(Exit::Usage)?;
        let key = Self {
            session,
            handle,
            algorithm,
            uri: uri.clone(),
        };
        Ok((key, public))
    }

    /// The device's signature, in the encoding of the envelope. Nobody has checked it yet.
    pub fn sign(&self, message: &[u8]) -> Outcome<Vec<u8>> {
        let signed = match self.algorithm {
            Algorithm::Ed25519 => {
                let pure = EddsaParams::new(EddsaSignatureScheme::Pure);
                self.session
                    .sign(&Mechanism::Eddsa(pure), self.handle, message)
            }
            // Not every device hashes for ECDSA, and every one takes a digest.
            Algorithm::P256 => {
                let digest = crypto::sha256(message);
                self.session
                    .sign(&Mechanism::Ecdsa, self.handle, digest.as_bytes())
            }
        };
        let signature = signed
            .with_context(|| format!("failed to sign with {}", self.uri))
            .exits(Exit::Undecided)?;
        match self.algorithm {
            Algorithm::Ed25519 => Ok(signature),
            Algorithm::P256 => der::ecdsa(&signature)
                .with_context(|| format!("failed to use the signature of {}", self.uri))
                .exits(Exit::Undecided),
        }
    }
}

fn load(uri: &Uri) -> Outcome<Pkcs11> {
    let loading = || format!("failed to load the module {}", output::quote(&uri.module));
    let module = Pkcs11::new(&uri.module)
        .with_context(loading)
        .exits(Exit::Undecided)?;
    // It stays loaded until the process ends: threads that it started would lose their code.
    std::mem::forget(module.clone());
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        // By the key before, of the same module.
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(module),
        Err(error) => Err(error).with_context(loading).exits(Exit::Undecided),
    }
}

/// The one token that is meant. Two that are alike are not guessed between.
fn find_token(module: &Pkcs11, uri: &Uri) -> Outcome<(Slot, String)> {
    let asking = || format!("failed to list the tokens for {uri}");
    let slots = module
        .get_slots_with_token()
        .with_context(asking)
        .exits(Exit::Undecided)?;
    let (mut meant, mut others) = (Vec::new(), Vec::new());
    for slot in slots {
        let info = module
            .get_token_info(slot)
            .with_context(asking)
            .exits(Exit::Undecided)?;
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        // A slot without a token that was set up has one without a name.
        if info.token_initialized()
            && is(&uri.token, info.label())
            && is(&uri.serial, info.serial_number())
        {
            meant.push((slot, info.label().to_owned()));
        } else if info.token_initialized() {
            others.push(format!("'{}'", output::plain(info.label())));
        }
    }
    match (meant.pop(), meant.len()) {
        (Some(token), 0) => Ok(token),
        (Some(_), more) => {
            let many = format!("{uri} matches {} tokens", more + 1);
            Err(Failure::new(Exit::Usage, many).next("name one with token= and serial="))
        }
        (None, _) => {
            let none = format!("no token matches {uri}");
            let there = match others.as_slice() {
                [] => "no token was found; is the device plugged in?".to_owned(),
                others => format!("tokens found: {}", others.join(", ")),
            };
            Err(Failure::new(Exit::Undecided, none).next(there))
        }
    }
}

fn log_in(session: &Session, uri: &Uri, token: &str, pin: &Passphrase<'_>) -> Outcome<()> {
    let token = output::plain(token);
    let pin = match &uri.pin_source {
        Some(file) => passphrase::from_file(file)?,
        None => pin.get(&format!("PIN of the token '{token}'"))?,
    };
    let text =
        std::str::from_utf8(&pin).map_err(|_| Failure::new(Exit::Usage, "the PIN is not UTF-8"))?;
    // This copy is overwritten, too.
    let pin = AuthPin::from(text);
    match session.login(UserType::User, Some(&pin)) {
        // By the key before, of the same token.
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinLenRange, _)) => {
            let wrong = format!("the PIN of the token '{token}' is wrong");
            Err(Failure::new(Exit::Usage, wrong)
                .next("check the PIN first: a token locks itself after a few wrong PINs"))
        }
        Err(Error::Pkcs11(RvError::PinLocked, _)) => {
            let locked = format!("the token '{token}' is locked: the PIN was wrong too often");
            Err(Failure::new(Exit::Undecided, locked).next("its security officer can unlock it"))
        }
        Err(error) => Err(error)
            .with_context(|| format!("failed to log in to the token '{token}'"))
            .exits(Exit::Undecided),
    }
}

/// The one object of this class that is meant.
fn one(
    session: &Session,
    uri: &Uri,
    class: ObjectClass,
    id: Option<&[u8]>,
    what: &str,
) -> Outcome<ObjectHandle> {
    let mut template = vec![Attribute::Class(class)];
    template.extend(id.map(|id| Attribute::Id(id.to_vec())));
    // The label is the private key's; its public half is the one with the same id.
    if class == ObjectClass::PRIVATE_KEY || id.is_none() {
        let label = uri.object.as_ref();
        template.extend(label.map(|label| Attribute::Label(label.clone().into_bytes())));
    }
    let found = session
        .find_objects(&template)
        .with_context(|| format!("failed to look for {uri}"))
        .exits(Exit::Undecided)?;
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(Failure::new(
            Exit::Undecided,
            format!("the token has no {what} for {uri}"),
        )
        .next("list them: pkcs11-tool --module MODULE --login --list-objects")),
        more => Err(Failure::new(
            Exit::Usage,
            format!("{uri} matches {} objects of the kind {what}", more.len()),
        )
        .next("name one with object= and id=")),
    }
}

fn attributes(
    session: &Session,
    uri: &Uri,
    object: ObjectHandle,
    types: &[AttributeType],
) -> Outcome<Vec<Attribute>> {
    session
        .get_attributes(object, types)
        .with_context(|| format!("failed to read {uri}"))
        .exits(Exit::Undecided)
}

fn algorithm(attribute: &Attribute) -> Option<Algorithm> {
    let Attribute::KeyType(kind) = attribute else {
        return None;
    };
    match *kind {
        KeyType::EC => Some(Algorithm::P256),
        KeyType::EC_EDWARDS => Some(Algorithm::Ed25519),
        _ => None,
    }
}
