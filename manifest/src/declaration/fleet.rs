//! `[report]` and `[channel]`: where a host reports to, what it follows, and what it does about it.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

use super::{
    Interval,
    place::{Location, check_s3},
};
use crate::name::{Region, UnitName};

/// `[report]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Sinks for reports; each gets every report.
    pub to: Vec<Sink>,
    /// Interval between reports.
    #[serde(default = "default_every")]
    pub every: Interval,
}

/// A place that takes reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sink(Location);

/// `[channel]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// URL at which the channel is published.
    pub url: Location,
    /// Reaction of a host that is behind.
    pub on_behind: Reaction,
    /// Reaction of a host whose release is revoked.
    pub on_revoked: Reaction,
    /// The most of a fleet that does it in an hour.
    pub share: Share,
    /// Each host waits for up to this longer, by chance.
    pub jitter: Interval,
    /// The lowest counter of a document that a host takes; 0 if none was known to the owner.
    pub at_least: u64,
}

/// Reaction of a host to its standing in the channel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Reaction {
    /// It says so.
    #[default]
    Report,
    /// It powers off.
    Halt,
    /// It starts a unit of the image, which drains it, or has it replaced.
    Start(UnitName),
}

/// A part of a fleet, in percent: 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "u64")]
pub struct Share(u64);

/// Sinks in one declaration.
const MOST_SINKS: usize = 8;

impl Sink {
    /// Returns the sink's location.
    pub const fn location(&self) -> &Location {
        &self.0
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl Share {
    /// In percent.
    pub const fn percent(self) -> u64 {
        self.0
    }
}

impl Default for Share {
    /// A tenth: whoever watches has hours to take a bad document back.
    fn default() -> Self {
        Self(10)
    }
}

impl TryFrom<u64> for Share {
    type Error = &'static str;

    fn try_from(percent: u64) -> Result<Self, Self::Error> {
        match percent {
            // With 0 percent a declared reaction never happens; who wants that says `report`.
            1..=100 => Ok(Self(percent)),
            _ => Err("expected a share of the fleet in percent, 1 to 100"),
        }
    }
}

impl fmt::Display for Reaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Report => f.write_str("report"),
            Self::Halt => f.write_str("halt"),
            Self::Start(unit) => write!(f, "start {unit}"),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChannelDocument {
    url: Location,
    endpoint: Option<String>,
    region: Option<Region>,
    #[serde(default)]
    on_behind: Reaction,
    #[serde(default)]
    on_revoked: Reaction,
    #[serde(default)]
    share: Share,
    #[serde(default = "default_jitter")]
    jitter: Interval,
    #[serde(default)]
    at_least: u64,
}

impl ChannelDocument {
    pub(super) fn check(self) -> Result<Channel, &'static str> {
        Ok(Channel {
            url: check_s3(self.url, self.endpoint, self.region)?,
            on_behind: self.on_behind,
            on_revoked: self.on_revoked,
            share: self.share,
            jitter: self.jitter,
            at_least: self.at_least,
        })
    }
}

/// Checks what types cannot express: the number of sinks, and that each is there once.
pub(super) fn check_report(report: &Report) -> Result<(), String> {
    if report.to.is_empty() || report.to.len() > MOST_SINKS {
        return Err(format!("to: expected 1 to {MOST_SINKS} places for reports"));
    }
    let mut sinks = report.to.iter();
    while let Some(sink) = sinks.next() {
        if sinks.as_slice().contains(sink) {
            return Err(format!("to: duplicate place '{}'", sink.as_str()));
        }
    }
    Ok(())
}

impl<'de> Deserialize<'de> for Sink {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let location = deserializer.deserialize_any(SinkVisitor)?;
        Ok(Self(location.into_directory()))
    }
}

/// `"s3://bucket/prefix/"` or `{ url = "s3://bucket/prefix/", endpoint = "https://…", region = "…" }`.
struct SinkVisitor;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SinkTable {
    url: Location,
    endpoint: Option<String>,
    region: Option<Region>,
}

impl<'de> de::Visitor<'de> for SinkVisitor {
    type Value = Location;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a URL such as \"s3://reports/web/\", or { url = \"s3://…\", endpoint = \"https://…\" }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Location, E> {
        Location::try_from(text.to_owned()).map_err(E::custom)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Location, A::Error> {
        let table = SinkTable::deserialize(de::value::MapAccessDeserializer::new(map))?;
        check_s3(table.url, table.endpoint, table.region).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Reaction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReactionVisitor)
    }
}

/// `"report"`, `"halt"` or `{ start = "drain.service" }`.
struct ReactionVisitor;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReactionTable {
    start: UnitName,
}

impl<'de> de::Visitor<'de> for ReactionVisitor {
    type Value = Reaction;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"report\", \"halt\" or { start = \"drain.service\" }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Reaction, E> {
        match text {
            "report" => Ok(Reaction::Report),
            "halt" => Ok(Reaction::Halt),
            _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Reaction, A::Error> {
        let table = ReactionTable::deserialize(de::value::MapAccessDeserializer::new(map))?;
        if table.start.as_str().ends_with(".service") {
            Ok(Reaction::Start(table.start))
        } else {
            Err(de::Error::custom(
                "start: expected a service, such as drain.service",
            ))
        }
    }
}

fn default_every() -> Interval {
    Interval::from_secs(300)
}

fn default_jitter() -> Interval {
    Interval::from_secs(300)
}
