//! A grant as the payload of its envelope, written in one way and read strictly.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Grant, GrantTime, GrantedLock, PREDICATE_TYPE};
use crate::{
    crypto,
    digest::{ManifestDigest, Sha256Digest},
    json::{self, Field, JsonError},
    limits,
    name::{ImageName, Reason},
    statement::{PayloadError, STATEMENT_TYPE},
};

impl Grant {
    /// The payload bytes. The same grant gives the same bytes.
    pub fn to_payload(&self) -> Result<Vec<u8>, PayloadError> {
        let document = Document {
            r#type: STATEMENT_TYPE,
            subject: [Subject {
                name: self.instance.as_str(),
                digest: DigestSet {
                    sha256: self.binding().hex(),
                },
            }],
            predicate_type: PREDICATE_TYPE,
            predicate: Predicate {
                id: self.id.to_string(),
                image: Image {
                    name: &self.image,
                    manifest: self.manifest.map(|manifest| manifest.to_string()),
                },
                locks: self.locks.iter().map(|lock| lock.name()).collect(),
                issued: self.time.issued(),
                expires: self.time.expires(),
                reason: self.reason.as_ref(),
            },
        };
        let payload =
            serde_json::to_vec(&document).map_err(|error| PayloadError::Json(error.to_string()))?;
        if payload.len() > limits::PAYLOAD {
            return Err(PayloadError::Long(payload.len()));
        }
        Ok(payload)
    }

    /// Parses payload bytes. On the agent these must be bytes whose signature was verified.
    pub fn parse(payload: &[u8]) -> Result<Self, JsonError> {
        let mut document = json::parse(payload)?.object()?;
        document.take("_type")?.constant(STATEMENT_TYPE)?;
        document.take("predicateType")?.constant(PREDICATE_TYPE)?;
        let subjects = document.take("subject")?.array(1)?;
        let mut predicate = document.take("predicate")?.object()?;
        document.finish()?;

        let subject = subjects.into_iter().next();
        let mut subject = subject
            .ok_or_else(|| json::missing("subject", "the instance"))?
            .object()?;
        let instance = subject.take("name")?.parsed(str::parse)?;
        let mut digests = subject.take("digest")?.object()?;
        let binding = digests.take("sha256")?;
        digests.finish()?;
        subject.finish()?;

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
        binding.constant(&grant.binding().hex())?;
        Ok(grant)
    }

    /// What the subject's digest is of: a line with the image and the instance.
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
                return Err("locks are named in alphabetical order, each once".to_owned());
            }
            Ok(lock)
        })?;
        locks.insert(lock);
    }
    if locks.is_empty() {
        return Err(json::missing("predicate.locks", "a lock"));
    }
    Ok(locks)
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "_type")]
    r#type: &'static str,
    subject: [Subject<'a>; 1],
    #[serde(rename = "predicateType")]
    predicate_type: &'static str,
    predicate: Predicate<'a>,
}

#[derive(Serialize)]
struct Subject<'a> {
    name: &'a str,
    digest: DigestSet,
}

#[derive(Serialize)]
struct DigestSet {
    sha256: String,
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
