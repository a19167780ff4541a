//! The texts in a grant: each has one spelling, and is checked where it is made.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{GrantId, GrantTextError, GrantedLock, InstanceName, UngrantableLock};
use crate::{
    crypto::{self, KeyError},
    digest::encode_hex,
    escape::Escaped,
};

/// Names of the locks that can be granted, for messages.
pub(super) const LOCKS: &str = "accounts, filesystems, imds, packages, remote_access or schedules";

impl FromStr for GrantedLock {
    type Err = UngrantableLock;

    fn from_str(text: &str) -> Result<Self, UngrantableLock> {
        match text {
            // Not as unknown: they are locks, and the operator in a hurry should not look for a typo.
            "kernel" => Err(UngrantableLock::Kernel),
            "cloud_init" => Err(UngrantableLock::CloudInit),
            _ => Self::ALL
                .into_iter()
                .find(|lock| lock.name() == text)
                .ok_or_else(|| UngrantableLock::Unknown(Escaped(text.as_bytes()).to_string())),
        }
    }
}

impl fmt::Display for GrantedLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl GrantId {
    /// A new one, by chance.
    ///
    /// # Errors
    ///
    /// [`KeyError::Random`] if the system has no random source.
    pub fn random() -> Result<Self, KeyError> {
        crypto::random().map(Self)
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&encode_hex(&self.0))
    }
}

impl fmt::Debug for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "grant {self}")
    }
}

impl FromStr for GrantId {
    type Err = GrantTextError;

    fn from_str(text: &str) -> Result<Self, GrantTextError> {
        let mut bytes = [0; 16];
        // `from_str_radix` alone also takes `+f` and `FF`: an id would have several spellings.
        let is_id = is_hex(text, 32)
            && bytes
                .iter_mut()
                .zip(text.as_bytes().chunks(2))
                .all(|(byte, digits)| {
                    let digits = std::str::from_utf8(digits).unwrap_or_default();
                    u8::from_str_radix(digits, 16).is_ok_and(|value| {
                        *byte = value;
                        true
                    })
                });
        if is_id {
            Ok(Self(bytes))
        } else {
            Err(refused(text, "the id of a grant, 32 lower-case hex digits"))
        }
    }
}

impl InstanceName {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InstanceName {
    type Err = GrantTextError;

    fn from_str(text: &str) -> Result<Self, GrantTextError> {
        let is_ec2 = text
            .strip_prefix("i-")
            .is_some_and(|digits| (8..=17).contains(&digits.len()) && is_hex(digits, digits.len()));
        let mut parts = text.split('-');
        let is_uuid = [8, 4, 4, 4, 12]
            .into_iter()
            .all(|length| parts.next().is_some_and(|part| is_hex(part, length)))
            && parts.next().is_none();
        if is_ec2 || is_uuid || is_hex(text, 32) {
            Ok(Self(text.to_owned()))
        } else {
            Err(refused(
                text,
                "an instance: expected i-0123456789abcdef0, or a machine's UUID or machine id in lower case",
            ))
        }
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// `length` lower-case hex digits.
fn is_hex(text: &str, length: usize) -> bool {
    let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == length && text.bytes().all(digit)
}

fn refused(text: &str, expected: &'static str) -> GrantTextError {
    GrantTextError {
        found: Escaped(text.as_bytes()).to_string(),
        expected,
    }
}

macro_rules! as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?
                    .parse()
                    .map_err(de::Error::custom)
            }
        }
    };
}

as_text!(GrantId);
as_text!(GrantedLock);
as_text!(InstanceName);
