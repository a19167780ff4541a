//! EC2's instance metadata service: what this instance is, and the values that it was given.
//!
//! IMDSv2 alone: no request is made without a session token, through a proxy or along a redirect.
//! Whatever answers is taken for hostile: each body has a bound, each request a timeout, and all of
//! it together one deadline. Nothing that it sends is ever run, and no error quotes it.
//!
//! Does not protect against something that answers in EC2's place and knows this instance's id: the
//! service has no certificate. Values are no more to be trusted than the network of the instance.

mod error;
mod identity;
mod request;
#[cfg(test)]
pub mod server;
mod session;
#[cfg(test)]
mod tests;

pub use error::ImdsError;
pub use identity::{IdentityDocument, InstanceId, RoleCredentials, instance_id_from_dmi};

use std::{collections::BTreeMap, time::Duration};

use self::session::Session;

/// The addresses that EC2 gives the service, in the order in which they are tried. Literals: no name
/// is ever looked up.
const ENDPOINTS: [&str; 2] = ["http://169.254.169.254", "http://[fd00:ec2::254]"];

/// EC2 takes at most 16 KiB of user-data. What is larger than this is nobody's by mistake.
const USER_DATA_BOUND: usize = 64 * 1024;
/// An instance has at most 50 tags, whose keys have at most 128 characters.
const TAG_KEYS_BOUND: usize = 32 * 1024;
const MOST_TAGS: usize = 50;
/// A value has at most 256 characters.
const TAG_VALUE_BOUND: usize = 1024;
const DOCUMENT_BOUND: usize = 16 * 1024;
const SIGNATURE_BOUND: usize = 4 * 1024;
const ID_BOUND: usize = 64;

/// Only tags of this prefix are ours; the others are not even read.
const TAG_PREFIX: &str = "earmark:";

const USER_DATA: &str = "user-data";
const TAGS: &str = "meta-data/tags/instance";
const ID: &str = "meta-data/instance-id";
const ROLE: &str = "meta-data/iam/security-credentials/";
const ROLE_BOUND: usize = 16 * 1024;
const DOCUMENT: &str = "dynamic/instance-identity/document";
const SIGNATURE: &str = "dynamic/instance-identity/rsa2048";

/// The service.
#[derive(Debug)]
pub struct Imds {
    session: Session,
}

impl Imds {
    /// At its own addresses. All that is asked through this ends `deadline` from now.
    pub fn new(deadline: Duration) -> Result<Self, ImdsError> {
        Self::at(ENDPOINTS.map(str::to_owned).to_vec(), deadline)
    }

    /// At others, such as `http://127.0.0.1:5601`.
    pub fn at(endpoints: Vec<String>, deadline: Duration) -> Result<Self, ImdsError> {
        Session::new(endpoints, deadline).map(|session| Self { session })
    }

    /// Refuses a service that speaks for another instance than this one, before anything is taken
    /// from it. It is against mistakes (a proxy, a tunnel, an emulator that somebody left running),
    /// since who lies on purpose can say the right id.
    pub async fn speaks_for(&self, this: &InstanceId) -> Result<(), ImdsError> {
        let id = self.session.get(ID, ID_BOUND).await?;
        let id = id.ok_or_else(|| not_there(ID))?;
        let id: InstanceId = text(id, ID, "an instance id")?
            .trim_end()
            .parse()
            .map_err(|_| malformed(ID, "an instance id"))?;
        if id == *this {
            Ok(())
        } else {
            Err(ImdsError::OtherInstance {
                expected: this.clone(),
                found: id,
            })
        }
    }

    /// The instance's user-data, if it has any.
    pub async fn user_data(&self) -> Result<Option<Vec<u8>>, ImdsError> {
        self.session.get(USER_DATA, USER_DATA_BOUND).await
    }

    /// The instance's tags that begin with `earmark:`, without it. Nothing, if the metadata service
    /// does not show tags, which it does only where `InstanceMetadataTags` is enabled.
    pub async fn tags(&self) -> Result<Option<BTreeMap<String, String>>, ImdsError> {
        let Some(keys) = self.session.get(TAGS, TAG_KEYS_BOUND).await? else {
            return Ok(None);
        };
        let keys = text(keys, TAGS, "tag keys in UTF-8")?;
        let ours: Vec<&str> = keys
            .lines()
            .filter(|key| key.starts_with(TAG_PREFIX))
            .collect();
        // Each is a request: a service that names thousands would use up the deadline of all.
        if ours.len() > MOST_TAGS {
            return Err(malformed(TAGS, "at most 50 tags"));
        }
        let mut tags = BTreeMap::new();
        for key in ours {
            // The key becomes part of a path; EC2 shows no tag with another character here.
            if !key.bytes().all(is_tag_byte) {
                return Err(malformed(TAGS, "tag keys of letters, digits and +-=.,_:@"));
            }
            let path = format!("{TAGS}/{key}");
            // A tag that was taken away meanwhile is one that is not there.
            if let Some(value) = self.session.get(&path, TAG_VALUE_BOUND).await? {
                let name = key.strip_prefix(TAG_PREFIX).unwrap_or_default();
                tags.insert(name.to_owned(), text(value, &path, "a value in UTF-8")?);
            }
        }
        Ok(Some(tags))
    }

    /// Credentials of the instance's role, if it has one.
    pub async fn role(&self) -> Result<Option<RoleCredentials>, ImdsError> {
        let Some(name) = self.session.get(ROLE, ROLE_BOUND).await? else {
            return Ok(None);
        };
        let name = text(name, ROLE, "the name of a role")?;
        let name = name.trim();
        // It becomes part of a path.
        let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
        if name.is_empty() || name.len() > 128 || !name.bytes().all(of_name) {
            return Err(malformed(ROLE, "the name of one role"));
        }
        let path = format!("{ROLE}{name}");
        let found = self.session.get(&path, ROLE_BOUND).await?;
        let found = found.ok_or_else(|| not_there(&path))?;
        // Not the parser's words: they quote what they met, which may be the secret key.
        serde_json::from_slice(&found)
            .map(Some)
            .map_err(|_| malformed(&path, "the credentials of a role, in JSON"))
    }

    /// Gets the instance identity document, with its signature.
    pub async fn identity(&self) -> Result<IdentityDocument, ImdsError> {
        let document = self.session.get(DOCUMENT, DOCUMENT_BOUND).await?;
        let document = document.ok_or_else(|| not_there(DOCUMENT))?;
        let document = text(document, DOCUMENT, "JSON in UTF-8")?;
        // The agent verifies no RSA signature: who reads the report does.
        let signature = self.session.get(SIGNATURE, SIGNATURE_BOUND).await?;
        let signature = signature
            .map(|bytes| text(bytes, SIGNATURE, "a signature in base64"))
            .transpose()?;
        IdentityDocument::parse(document, signature)
            .map_err(|expected| malformed(DOCUMENT, expected))
    }
}

const fn is_tag_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'+' | b'-' | b'=' | b'.' | b',' | b'_' | b':' | b'@')
}

fn text(bytes: Vec<u8>, path: &str, expected: &'static str) -> Result<String, ImdsError> {
    String::from_utf8(bytes).map_err(|_| malformed(path, expected))
}

fn not_there(path: &str) -> ImdsError {
    ImdsError::NotThere {
        path: path.to_owned(),
    }
}

fn malformed(path: &str, expected: &'static str) -> ImdsError {
    ImdsError::Malformed {
        path: path.to_owned(),
        expected,
    }
}
