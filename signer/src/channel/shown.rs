//! A channel, as it is shown: what hosts should run, and what a step changes.

use std::fmt;

use earmark_manifest::{
    channel::{Channel, Release},
    digest::Sha256Digest,
};
use serde::Serialize;

use super::Location;
use crate::io::output;

/// A channel in words.
#[derive(Debug, Serialize)]
pub struct Shown {
    kind: &'static str,
    at: String,
    image: String,
    channel: String,
    counter: u64,
    issued: u64,
    expires: u64,
    expired: bool,
    latest: Option<String>,
    minimum_epoch: u64,
    releases: Vec<ShownRelease>,
    signatures: Signatures,
}

/// A release in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct ShownRelease {
    version: String,
    epoch: u64,
    manifest: String,
    amis: std::collections::BTreeMap<String, String>,
    promoted: u64,
    revoked: Option<String>,
}

/// State of the signatures, as far as they were checked.
#[derive(Debug, Serialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum Signatures {
    /// There is nothing to check them with; these are the keys that they claim.
    Unverified { claimed: Vec<String> },
    /// These keys, which are trusted, signed.
    Trusted { keys: Vec<String> },
}

/// Change that a step makes to a channel.
#[derive(Debug, Serialize)]
pub struct Change {
    done: &'static str,
    dry_run: bool,
    /// Before it; none, if there was no channel.
    before: Option<Brief>,
    after: Shown,
    #[serde(skip)]
    changed: Vec<String>,
    digest: String,
}

/// Summary of the document before the step.
#[derive(Debug, Serialize)]
struct Brief {
    counter: u64,
    latest: Option<String>,
    minimum_epoch: u64,
    expires: u64,
}

impl Shown {
    /// At a time, for what has expired.
    pub fn of(channel: &Channel, at: &Location, signatures: Signatures, now: u64) -> Self {
        let expires = channel.time.expires();
        Self {
            kind: "channel",
            at: at.name(),
            image: channel.image.to_string(),
            channel: channel.name.to_string(),
            counter: channel.counter,
            issued: channel.time.issued(),
            expires,
            expired: expires <= now,
            latest: latest(channel),
            minimum_epoch: channel.releases.minimum_epoch(),
            releases: channel.releases.all().iter().map(shown).collect(),
            signatures,
        }
    }
}

impl Change {
    /// `done` is such as "promoted".
    pub fn new(
        done: &'static str,
        before: Option<&Channel>,
        after: (&Channel, Shown),
        digest: &Sha256Digest,
        dry_run: bool,
    ) -> Self {
        let (channel, after) = after;
        Self {
            done,
            dry_run,
            changed: changed(before, channel),
            before: before.map(|before| Brief {
                counter: before.counter,
                latest: latest(before),
                minimum_epoch: before.releases.minimum_epoch(),
                expires: before.time.expires(),
            }),
            after,
            digest: digest.to_string(),
        }
    }
}

fn latest(channel: &Channel) -> Option<String> {
    let latest = channel.releases.latest();
    latest.map(|latest| latest.version.to_string())
}

fn shown(release: &Release) -> ShownRelease {
    let amis = release.amis.iter();
    ShownRelease {
        version: release.version.to_string(),
        epoch: release.epoch,
        manifest: release.manifest.to_string(),
        amis: amis
            .map(|(region, ami)| (region.to_string(), ami.to_string()))
            .collect(),
        promoted: release.promoted.time,
        revoked: release.revoked.as_ref().map(ToString::to_string),
    }
}

/// A line for each thing that is not as it was.
fn changed(before: Option<&Channel>, after: &Channel) -> Vec<String> {
    let none = "none".to_owned();
    let arrow = |what: &str, old: String, new: String| {
        (old != new).then(|| format!("{what:<11}{old} -> {new}"))
    };
    let counter = before.map_or(0, |before| before.counter);
    let epoch = before.map_or(0, |before| before.releases.minimum_epoch());
    let was = before.and_then(latest).unwrap_or_else(|| none.clone());
    let mut lines: Vec<String> = [
        arrow("counter", counter.to_string(), after.counter.to_string()),
        arrow("latest", was, latest(after).unwrap_or(none)),
        arrow(
            "min. epoch",
            epoch.to_string(),
            after.releases.minimum_epoch().to_string(),
        ),
        before.and_then(|before| {
            let old = output::utc(before.time.expires());
            arrow("expires", old, output::utc(after.time.expires()))
        }),
    ]
    .into_iter()
    .flatten()
    .collect();
    for release in after.releases.all() {
        let known = before.and_then(|before| before.releases.version(&release.version));
        let new = shown(release);
        match known.map(shown) {
            None => lines.push(format!("new        {new}")),
            Some(old) if old.revoked != new.revoked => {
                lines.push(format!("revoked    {new}"));
            }
            Some(old) if old != new => lines.push(format!("changed    {new}")),
            Some(_) => {}
        }
    }
    lines
}

impl fmt::Display for ShownRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (epoch {}, {})",
            self.version, self.epoch, self.manifest
        )?;
        for (region, ami) in &self.amis {
            write!(f, " {region}={ami}")?;
        }
        match &self.revoked {
            Some(reason) => write!(f, " REVOKED: {reason}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "channel {} of {}, counter {}",
            self.channel, self.image, self.counter
        )?;
        writeln!(f, "  at         {}", output::plain(&self.at))?;
        if let Signatures::Unverified { .. } = &self.signatures {
            let how = "anybody can have written it; earmark channel verify";
            writeln!(f, "  NOT VERIFIED  {how}")?;
        }
        let latest = self.latest.as_deref().unwrap_or("none yet");
        writeln!(f, "  latest     {latest}")?;
        writeln!(f, "  min. epoch {}", self.minimum_epoch)?;
        writeln!(f, "  issued     {}", output::utc(self.issued))?;
        let over = if self.expired { "  EXPIRED" } else { "" };
        writeln!(f, "  expires    {}{over}", output::utc(self.expires))?;
        match &self.signatures {
            Signatures::Unverified { claimed } => {
                for key in claimed {
                    writeln!(f, "  claims key {key} (not checked)")?;
                }
            }
            Signatures::Trusted { keys } => {
                for key in keys {
                    writeln!(f, "  signed by  {key}")?;
                }
            }
        }
        for release in self.releases.iter().rev() {
            writeln!(f, "  release    {release}")?;
            writeln!(f, "             since {}", output::utc(release.promoted))?;
        }
        Ok(())
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shown {
            channel, image, at, ..
        } = &self.after;
        writeln!(f, "{} channel {channel} of {image}", self.done)?;
        writeln!(f, "  at         {}", output::plain(at))?;
        for line in &self.changed {
            writeln!(f, "  {line}")?;
        }
        if self.dry_run {
            writeln!(f, "  (a dry run: nothing was signed or written)")?;
        }
        Ok(())
    }
}
