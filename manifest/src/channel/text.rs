//! The texts of a channel that are names of nothing else.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

use crate::escape::Escaped;

/// The id of an AMI: `ami-` and 8 or 17 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AmiId(String);

/// Text that is not the id of an AMI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not an AMI id: expected ami-0123456789abcdef0")]
pub struct AmiIdError(String);

impl FromStr for AmiId {
    type Err = AmiIdError;

    fn from_str(text: &str) -> Result<Self, AmiIdError> {
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        // EC2 gave out ids of 8 digits until 2018, and what is as old keeps its id.
        let is_id = text
            .strip_prefix("ami-")
            .is_some_and(|digits| matches!(digits.len(), 8 | 17) && digits.bytes().all(digit));
        if is_id {
            Ok(Self(text.to_owned()))
        } else {
            Err(AmiIdError(Escaped(text.as_bytes()).to_string()))
        }
    }
}

impl fmt::Display for AmiId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for AmiId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
