//! `[report]` and `[channel]`: where a host reports to, and what it follows.

use serde::Deserialize;

use super::Interval;

/// `[report]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Where to; each gets every report.
    pub to: Vec<Sink>,
    /// How often.
    #[serde(default = "default_every")]
    pub every: Interval,
}

/// A place that takes reports: a URL `file://`, `https://` or `s3://`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Sink(String);

/// The URL of a channel document: `file://`, `https://` or `s3://`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ChannelUrl(String);

impl Sink {
    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ChannelUrl {
    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Sink {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        check_url(text).map(Self)
    }
}

impl TryFrom<String> for ChannelUrl {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        check_url(text).map(Self)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChannelDocument {
    pub(super) url: ChannelUrl,
}

/// Plain HTTP is refused: a report and a channel would be anybody's to read, hold back or delay.
fn check_url(text: String) -> Result<String, &'static str> {
    let rest = ["file:///", "https://", "s3://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    let good = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        && text.len() <= 2048
        && !text.contains('@')
        && text.bytes().all(|byte| matches!(byte, 0x21..=0x7e));
    if good {
        Ok(text)
    } else {
        Err("expected a file:///, https:// or s3:// URL without credentials in it")
    }
}

fn default_every() -> Interval {
    Interval::from_secs(300)
}
