//! The in-toto Statement v1 that every payload is: what it is of, of which kind it is, and what it says.

use serde::Serialize;

use crate::{
    digest::Sha256Digest,
    json::{self, Field, JsonError, Object},
};

/// The `_type` of an in-toto Statement v1.
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

#[derive(Serialize)]
struct Document<'a, P> {
    #[serde(rename = "_type")]
    r#type: &'static str,
    subject: Vec<SubjectDocument<'a>>,
    #[serde(rename = "predicateType")]
    predicate_type: &'static str,
    predicate: P,
}

#[derive(Serialize)]
struct SubjectDocument<'a> {
    name: &'a str,
    digest: DigestSet,
}

#[derive(Serialize)]
struct DigestSet {
    sha256: String,
}

/// The bytes of a statement. The same parts give the same bytes.
pub(crate) fn write<'a, P: Serialize>(
    subjects: &[(&'a str, Sha256Digest)],
    predicate_type: &'static str,
    predicate: P,
) -> Result<Vec<u8>, serde_json::Error> {
    let subject = |(name, digest): &(&'a str, Sha256Digest)| SubjectDocument {
        name,
        digest: DigestSet {
            sha256: digest.hex(),
        },
    };
    serde_json::to_vec(&Document {
        r#type: STATEMENT_TYPE,
        subject: subjects.iter().map(subject).collect(),
        predicate_type,
        predicate,
    })
}

/// Subject of a statement; its fields are not checked yet.
pub(crate) struct Subject {
    pub(crate) name: Field,
    pub(crate) sha256: Field,
}

/// Parses bytes as a statement of this kind with exactly these subjects, called so in errors.
pub(crate) fn parse<const N: usize>(
    payload: &[u8],
    predicate_type: &str,
    subjects: [&str; N],
) -> Result<([Subject; N], Object), JsonError> {
    let mut document = json::parse(payload)?.object()?;
    document.take("_type")?.constant(STATEMENT_TYPE)?;
    // Purposes alone do not keep kinds apart: a key may have several, and then signs manifests and grants.
    document.take("predicateType")?.constant(predicate_type)?;
    // No further subjects: a generic in-toto verifier accepts an artifact that is any one of them.
    let mut fields = document.take("subject")?.array(N)?.into_iter();
    let predicate = document.take("predicate")?.object()?;
    document.finish()?;
    let mut found = Vec::with_capacity(N);
    for called in subjects {
        let subject = fields
            .next()
            .ok_or_else(|| json::missing("subject", called))?;
        let mut subject = subject.object()?;
        let name = subject.take("name")?;
        let mut digests = subject.take("digest")?.object()?;
        let sha256 = digests.take("sha256")?;
        // SHA-256 alone: of two digests in a set, one reader could check the first and another the second.
        digests.finish()?;
        subject.finish()?;
        found.push(Subject { name, sha256 });
    }
    let found = found
        .try_into()
        .map_err(|_| json::missing("subject", "a subject"))?;
    Ok((found, predicate))
}
