//! The values of the declared parameters, from the places that the declaration names.
//!
//! A value is data: it is read as the declared type, checked, and never run, expanded or looked into
//! again. What is wrong anywhere stops first boot before any step runs, and all of it is said at
//! once. No message has a value, which may be a secret, or was meant to be one.

mod document;
mod file;
mod foreign;
mod gathering;
mod problem;
#[cfg(test)]
mod tests;

pub use problem::{Problem, Problems};

use std::{collections::BTreeMap, fmt};

use earmark_manifest::{
    declaration::{Declaration, ValueSource},
    name::ParameterName,
};
use earmark_scan::{Root, ScanError};

use self::{file::Found, gathering::Gathering};
use crate::platform::imds::{self, Imds, ImdsError};

/// The value of each parameter that has one.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Values(BTreeMap<ParameterName, Value>);

/// A value that its parameter takes, as text.
#[derive(Clone, PartialEq, Eq)]
pub struct Value {
    text: String,
    is_secret: bool,
    /// `user-data`, `tags`, a path, `default`, or `an earlier boot`.
    source: String,
}

/// Reason why there are no values.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    /// The metadata service.
    #[error(transparent)]
    Imds(#[from] ImdsError),
    /// A file is there and cannot be read.
    #[error("{0}, and values.from names it")]
    Source(#[from] ScanError),
    /// Values come from the metadata service, and the caller has none.
    #[error("values.from names the metadata service, which is not asked here")]
    NoImds,
    /// The values that were given are not as declared.
    #[error(transparent)]
    Problems(#[from] Problems),
}

const USER_DATA: &str = "user-data";
const TAGS_OFF: &str = "tags (of which there are none, or InstanceMetadataTags is not enabled)";
const KEPT: &str = "an earlier boot";

/// Gathers the values of all parameters, from all places: a document that is wrong is wrong also
/// where another one comes before it.
///
/// An image without parameters asks nobody, so that its boot waits for no network.
pub async fn gather(
    root: &Root,
    declaration: &Declaration,
    imds: Option<&Imds>,
) -> Result<Values, GatherError> {
    if declaration.parameters.is_empty() {
        return Ok(Values::default());
    }
    let is_service =
        |source: &ValueSource| matches!(source, ValueSource::UserData | ValueSource::Tags);
    // Where the hardware tells no id (not Nitro) there is nothing to hold the service to.
    if let (Some(imds), Some(id)) = (imds, imds::instance_id_from_dmi(root))
        && declaration.values.from.iter().any(is_service)
    {
        imds.speaks_for(&id).await?;
    }
    let mut gathering = Gathering::new(&declaration.parameters);
    for source in &declaration.values.from {
        match source {
            ValueSource::UserData => {
                let imds = imds.ok_or(GatherError::NoImds)?;
                // 404 counts as an empty document, so that what is required is told as missing, by name.
                let bytes = imds.user_data().await?.unwrap_or_default();
                gathering.looked_at(USER_DATA);
                // User-data alone is shared with cloud-init: what would be code for it is never half a document for us.
                match foreign::recognise(USER_DATA, &bytes) {
                    Some(problem) => gathering.cannot_be_read(vec![problem]),
                    None => gathering.document(USER_DATA, &bytes),
                }
            }
            ValueSource::Tags => {
                let imds = imds.ok_or(GatherError::NoImds)?;
                match imds.tags().await? {
                    Some(tags) => gathering.tags(&tags),
                    None => gathering.looked_at(TAGS_OFF),
                }
            }
            ValueSource::File(path) => {
                let name = path.to_string();
                gathering.looked_at(&name);
                match file::read(root, path)? {
                    Found::Nothing => {}
                    Found::Unfit(problem) => gathering.cannot_be_read(vec![problem]),
                    Found::Content(bytes) => gathering.document(&name, &bytes),
                }
            }
        }
    }
    Ok(gathering.finish()?)
}

impl Values {
    /// The value of a parameter, if it has one.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(&name.parse().ok()?)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&ParameterName, &Value)> {
        self.0.iter()
    }
}

impl FromIterator<(ParameterName, Value)> for Values {
    fn from_iter<I: IntoIterator<Item = (ParameterName, Value)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl Value {
    /// One that an earlier boot gathered, and that is no secret: no secret is kept.
    pub fn kept(text: String) -> Self {
        Self {
            text,
            is_secret: false,
            source: KEPT.to_owned(),
        }
    }

    /// The value itself, which must not be shown if it is secret.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns whether it must stay out of logs, status, argv and other steps' environment.
    pub fn is_secret(&self) -> bool {
        self.is_secret
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: &dyn fmt::Debug = if self.is_secret {
            &"secret"
        } else {
            &self.text
        };
        write!(f, "{text:?} from {}", self.source)
    }
}
