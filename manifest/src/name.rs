//! Names and versions of images and steps, each checked when it is made.

use std::fmt;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $max:literal, $expected:literal, $first:expr, $rest:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Deserialize)]
        // A derived reader would take any string, past the pattern.
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let (first, rest): (fn(u8) -> bool, fn(u8) -> bool) = ($first, $rest);
                let mut bytes = text.bytes();
                let good = text.len() <= $max && bytes.next().is_some_and(first) && bytes.all(rest);
                if good {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(NameError { found: crate::escape::Escaped(text.as_bytes()).to_string(), expected: $expected })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

name!(
    /// The name of an image: `[a-z0-9][a-z0-9._-]{0,63}`.
    ImageName, 64, "[a-z0-9][a-z0-9._-]{0,63}",
    |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit(),
    |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte)
);

name!(
    /// The version of an image, as its owner counts them: `[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}`.
    /// Earmark never orders versions; a channel does, by its counter.
    ImageVersion, 64, "[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}",
    |byte| byte.is_ascii_alphanumeric(),
    |byte| byte.is_ascii_alphanumeric() || b"._+~-".contains(&byte)
);

name!(
    /// The name of a first-boot step: `[a-z0-9][a-z0-9-]{0,63}`.
    StepName, 64, "[a-z0-9][a-z0-9-]{0,63}",
    |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit(),
    |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
);

name!(
    /// The name of a parameter, which templates use as an identifier: `[a-z][a-z0-9_]{0,63}`.
    ParameterName, 64, "[a-z][a-z0-9_]{0,63}",
    |byte| byte.is_ascii_lowercase(),
    |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'
);

name!(
    /// The name of a user or group: `[a-z_][a-z0-9_-]{0,31}`, or a number.
    AccountName, 32, "[a-z0-9_][a-z0-9_-]{0,31}",
    |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_',
    |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte)
);

name!(
    /// The name of a systemd unit with its suffix, such as `web.service`.
    UnitName, 255, "a unit name with its suffix, such as web.service",
    // No dash first: a command that is called without `--` would take the name for an option.
    |byte| byte.is_ascii_alphanumeric() || byte == b'_',
    // No `*`, `?` or `[`: `systemctl start` expands them to loaded units. The backslash is systemd's own escape.
    |byte| byte.is_ascii_alphanumeric() || b"_.@:\\-".contains(&byte)
);

name!(
    /// The name of a channel: `[a-z0-9][a-z0-9-]{0,63}`.
    ChannelName, 64, "[a-z0-9][a-z0-9-]{0,63}",
    |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit(),
    |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
);

name!(
    /// A region of EC2, such as `eu-central-1`: `[a-z][a-z0-9-]{0,31}`.
    Region, 32, "[a-z][a-z0-9-]{0,31}, such as eu-central-1",
    |byte| byte.is_ascii_lowercase(),
    |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
);

name!(
    /// Reason for opening a lock or revoking a release, in a line: 1 to 256 printable ASCII characters.
    Reason, 256, "1 to 256 printable ASCII characters",
    // Told on the console and in the journal, where a line break would forge a line.
    |byte| matches!(byte, 0x20..=0x7e),
    |byte| matches!(byte, 0x20..=0x7e)
);

/// Text that is not a name of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{found}' does not match {expected}")]
pub struct NameError {
    found: String,
    expected: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_validated_against_their_pattern() {
        for good in ["web", "0", "a.b_c-d", &"a".repeat(64)] {
            assert!(good.parse::<ImageName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "Web",
            "-web",
            "web/..",
            "w\u{e9}b",
            "a b",
            &"a".repeat(65),
        ] {
            assert!(bad.parse::<ImageName>().is_err(), "{bad}");
        }
        assert!("2026.11.22+g1a2b3c~rc1".parse::<ImageVersion>().is_ok());
        assert!(
            "\u{1b}[2J"
                .parse::<ImageVersion>()
                .unwrap_err()
                .to_string()
                .contains("\\x1b")
        );
        assert!("web.service".parse::<UnitName>().is_ok());
        assert!("../x.service".parse::<UnitName>().is_err());
    }
}
