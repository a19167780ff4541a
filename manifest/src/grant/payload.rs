//! A grant as the payload of its envelope, written in one way and read strictly.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Grant, GrantTime, GrantedLock, PREDICATE_TYPE};
use crate::{
    crypto,
    digest::{ManifestDigest, Sha256Digest},
    in_toto,
    json::{self, Field, JsonError},
    limits,
    name::{ImageName, Reason},
    statement::PayloadError,
};

impl Grant {
    /// The payload bytes. The same grant gives the same bytes.
    ///
    /// # Errors
    ///
    /// [`PayloadError::Long`] beyond `limits::PAYLOAD` bytes.
    pub fn to_payload(&self) -> Result<Vec<u8>, PayloadError> {
        let predicate = Predicate {
            id: self.id.to_string(),
            image: Image {
                name: &self.image,
                manifest: self.manifest.map(|manifest| manifest.to_string()),
            },
            locks: self.locks.iter().map(|lock| lock.name()).collect(),
            issued: self.time.issued(),
            expires: self.time.expires(),
            reason: self.reason.as_ref(),
        };
        let subjects = [(self.instance.as_str(), self.binding())];
        let payload = in_toto::write(&subjects, PREDICATE_TYPE, predicate)
            .map_err(|error| PayloadError::Json(error.to_string()))?;
        if payload.len() > limits::PAYLOAD {
            return Err(PayloadError::Long(payload.len()));
        }
        Ok(payload)
    }

    /// Parses payload bytes. On the agent these must be bytes whose signature was verified.
    ///
    /// # Errors
    ///
    /// If the payload is not the one spelling of a grant, version 1 (`docs/manifest-format.md`).
    pub fn parse(payload: &[u8]) -> Result<Self, JsonError> {
        let (subjects, mut predicate) = in_toto::parse(payload, PREDICATE_TYPE, ["the instance"])?;
        let [subject] = subjects;
        let instance = subject.name.parsed(str::parse)?;

        let mut image = predicate.take("image")?.object()?;
        let name = image.take("name")?.parsed(str::parse)?;
        let manifest = image.take("manifest")?.optional();
        image.finish()?;

        let issued = predicate.take("issued")?.number()?;
        let time = predicate
            .take("expires")?
            .checked(|expires| GrantTime::new(issued, expires))?;
        let reason = predicate.take("reason")?.optional();
        let grant = Self {
            id: predicate.take("id")?.parsed(str::parse)?,
            instance,
            image: name,
            manifest: manifest
                .map(|field| field.parsed(ManifestDigest::from_prefixed))
                .transpose()?,
            locks: locks(predicate.take("locks")?)?,
            time,
            reason: reason.map(|field| field.parsed(str::parse)).transpose()?,
        };
        predicate.finish()?;
        // An instance has no bytes, and in-toto demands a digest. This one binds the image, too, for those who
        // match subjects by digest alone.
        subject.sha256.constant(&grant.binding().hex())?;
        Ok(grant)
    }

    /// Returns the subject's digest: the SHA-256 of a line with the image and the instance.
    fn binding(&self) -> Sha256Digest {
        crypto::sha256(format!("{} {}\n", self.image, self.instance).as_bytes())
    }
}

/// In their order, each once: one spelling for each set.
fn locks(field: Field) -> Result<BTreeSet<GrantedLock>, JsonError> {
    let mut locks = BTreeSet::new();
    for field in field.array(GrantedLock::ALL.len())? {
        let lock = field.parsed(|text| {
            let lock = text.parse::<GrantedLock>();
            let lock = lock.map_err(|error| error.to_string())?;
            if locks.last().is_some_and(|last| *last >= lock) {
                return Err("expected locks in alphabetical order, without duplicates".to_owned());
            }
            Ok(lock)
        })?;
        locks.insert(lock);
    }
    // It would open nothing, and still taint the host for its whole life.
    if locks.is_empty() {
        return Err(json::missing("predicate.locks", "a lock"));
    }
    Ok(locks)
}

#[derive(Serialize)]
struct Predicate<'a> {
    id: String,
    image: Image<'a>,
    locks: Vec<&'static str>,
    issued: u64,
    expires: u64,
    reason: Option<&'a Reason>,
}

#[derive(Serialize)]
struct Image<'a> {
    name: &'a ImageName,
    manifest: Option<String>,
}
