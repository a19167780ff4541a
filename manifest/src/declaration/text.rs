//! Values that TOML has as strings: absolute paths, modes, intervals.

use std::{fmt, num::NonZeroU64, str::FromStr, time::Duration};

use serde::Deserialize;

use crate::path::ImagePath;

/// An absolute path without wildcards.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct AbsolutePath(pub(super) ImagePath);

impl TryFrom<String> for AbsolutePath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // Some of these paths become class rules, where a wildcard would free all that it matches.
        if text.contains(['*', '?']) {
            return Err("expected one path, without '*' and '?'".to_owned());
        }
        match ImagePath::from_absolute(text.as_bytes()) {
            Ok(path) if !path.is_root() => Ok(Self(path)),
            Ok(_) => Err("expected an absolute path other than the root itself".to_owned()),
            Err(error) => Err(format!(
                "{error}: expected an absolute path such as /etc/web/config.toml"
            )),
        }
    }
}

/// Permission bits as text, `"0640"`. A number would be read as decimal, and be another mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct OctalMode(pub u32);

impl TryFrom<String> for OctalMode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // `from_str_radix` would also take a sign, `+640`.
        let digits = text.len() == 4 && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
        match u32::from_str_radix(&text, 8) {
            // With a set-id bit, content that a host makes from values would run with the rights of the file's owner.
            Ok(mode) if digits && mode & 0o7000 == 0 => Ok(Self(mode)),
            _ => Err(
                "expected four octal digits without set-id or sticky bits, such as \"0640\""
                    .to_owned(),
            ),
        }
    }
}

impl fmt::Display for OctalMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

/// A length of time as text: a whole number and one of s, m, h, d.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Interval(Duration);

impl Interval {
    /// Of this many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// As a duration.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl TryFrom<String> for Interval {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        const EXPECTED: &str =
            "expected a length of time such as \"30s\", \"5m\", \"2h\" or \"1d\", a year at most";
        const YEAR: u64 = 366 * 86_400;
        let parse = || {
            let unit = match text.chars().next_back()? {
                's' => 1,
                'm' => 60,
                'h' => 3_600,
                'd' => 86_400,
                _ => return None,
            };
            let digits = text.get(..text.len().checked_sub(1)?)?;
            let number: u64 = digits
                .bytes()
                .all(|byte| byte.is_ascii_digit())
                .then(|| digits.parse().ok())??;
            number
                .checked_mul(unit)
                // Zero would be a timeout that is over before its command starts, and an interval without a pause.
                .filter(|seconds| (1..=YEAR).contains(seconds))
        };
        parse()
            .map(Self::from_secs)
            .ok_or_else(|| EXPECTED.to_owned())
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (number, unit) = [(86_400, 'd'), (3_600, 'h'), (60, 'm')]
            .into_iter()
            .find(|(size, _)| seconds.is_multiple_of(*size))
            .map_or((seconds, 's'), |(size, unit)| (seconds / size, unit));
        write!(f, "{number}{unit}")
    }
}

/// Bytes a second as text: a whole number and one of KiB, MiB, GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct ByteRate(NonZeroU64);

impl ByteRate {
    /// Below this a verification of a common image takes more than a day.
    const LEAST: u64 = 64 * KIB;
    /// No disk is faster: more is a slip of the pen.
    const MOST: u64 = 64 * GIB;

    /// In bytes a second.
    pub const fn per_second(self) -> NonZeroU64 {
        self.0
    }
}

impl FromStr for ByteRate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected bytes a second such as \"512KiB\", \"20MiB\" or \"1GiB\", 64KiB at least and 64GiB at most";
        let (digits, unit) = [("KiB", KIB), ("MiB", MIB), ("GiB", GIB)]
            .into_iter()
            .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, unit)))
            .ok_or(EXPECTED)?;
        // The standard parser also takes a sign.
        let number: u64 = Some(digits)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .ok_or(EXPECTED)?;
        number
            .checked_mul(unit)
            .filter(|rate| (Self::LEAST..=Self::MOST).contains(rate))
            .and_then(NonZeroU64::new)
            .map(Self)
            .ok_or(EXPECTED)
    }
}

impl TryFrom<String> for ByteRate {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for ByteRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.0.get();
        let (number, unit) = [(GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")]
            .into_iter()
            .find(|(size, _)| rate.is_multiple_of(*size))
            .map_or((rate, "B"), |(size, unit)| (rate / size, unit));
        write!(f, "{number}{unit}")
    }
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_rate_requires_unit_and_bounds_and_round_trips() {
        for text in ["64KiB", "20MiB", "1GiB", "1025KiB", "64GiB"] {
            assert_eq!(text.parse::<ByteRate>().unwrap().to_string(), text);
        }
        assert_eq!(
            "2MiB".parse::<ByteRate>().unwrap().per_second().get(),
            2_097_152
        );
        for text in [
            "",
            "MiB",
            "20",
            "20MB",
            "20 MiB",
            "+20MiB",
            "-1MiB",
            "1.5MiB",
            "0MiB",
            "63KiB",
            "65GiB",
            "99999999999999999999GiB",
            "20mib",
            "٣MiB",
        ] {
            assert!(text.parse::<ByteRate>().is_err(), "{text}");
        }
    }
}
