//! A channel document as the payload of its envelope, written in one way and read strictly.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{AmiId, Channel, ChannelTime, PREDICATE_TYPE, Promotion, Release, Releases};
use crate::{
    crypto,
    digest::{ManifestDigest, Sha256Digest},
    in_toto,
    json::{self, Field, JsonError},
    limits,
    name::{ChannelName, ImageName, ImageVersion, Reason, Region},
    statement::PayloadError,
};

impl Channel {
    /// The payload bytes. The same document gives the same bytes.
    ///
    /// # Errors
    ///
    /// [`PayloadError::LongChannel`] beyond `limits::CHANNEL_PAYLOAD` bytes.
    pub fn to_payload(&self) -> Result<Vec<u8>, PayloadError> {
        let predicate = Predicate {
            image: &self.image,
            channel: &self.name,
            counter: self.counter,
            issued: self.time.issued(),
            expires: self.time.expires(),
            latest: self.releases.latest().map(|release| &release.version),
            minimum_epoch: self.releases.minimum_epoch(),
            releases: self.releases.all().iter().map(written).collect(),
        };
        let name = self.subject();
        let subjects = [(name.as_str(), self.binding())];
        let payload = in_toto::write(&subjects, PREDICATE_TYPE, predicate)
            .map_err(|error| PayloadError::Json(error.to_string()))?;
        if payload.len() > limits::CHANNEL_PAYLOAD {
            return Err(PayloadError::LongChannel(payload.len()));
        }
        Ok(payload)
    }

    /// Parses payload bytes. On a host these must be bytes whose signature was verified.
    ///
    /// # Errors
    ///
    /// If the payload is not the one spelling of a channel document, version 1 (`docs/manifest-format.md`).
    pub fn parse(payload: &[u8]) -> Result<Self, JsonError> {
        let (subjects, mut predicate) = in_toto::parse(payload, PREDICATE_TYPE, ["the channel"])?;
        let [subject] = subjects;

        let issued = predicate.take("issued")?.number()?;
        let counter = predicate.take("counter")?;
        // 0 stands for "none known" in a floor.
        let counter = counter.checked(|counter| match counter {
            0 => Err("invalid counter 0: expected 1 or more"),
            counter => Ok(counter),
        })?;
        let releases = predicate.take("releases")?;
        let releases = releases.array(limits::RELEASES)?.into_iter();
        let releases = releases
            .map(|release| parsed(release, counter, issued))
            .collect::<Result<_, _>>()?;
        let channel = Self {
            image: predicate.take("image")?.parsed(str::parse)?,
            name: predicate.take("channel")?.parsed(str::parse)?,
            counter,
            time: predicate
                .take("expires")?
                .checked(|expires| ChannelTime::new(issued, expires))?,
            releases: predicate
                .take("minimum_epoch")?
                .checked(|epoch| Releases::new(releases, epoch))?,
        };
        let latest = channel.releases.latest();
        // `latest` repeats the last of `releases`: unchecked, two readers could go by one each.
        match (predicate.take("latest")?.optional(), latest) {
            (Some(named), Some(latest)) => named.constant(latest.version.as_str())?,
            (None, None) => {}
            _ => return Err(json::missing("predicate.releases", "predicate.latest")),
        }
        predicate.finish()?;
        // in-toto matches subjects by digest alone: a generic verifier must find the same channel as this one.
        subject.name.constant(&channel.subject())?;
        subject.sha256.constant(&channel.binding().hex())?;
        Ok(channel)
    }

    fn subject(&self) -> String {
        format!("{}/{}", self.image, self.name)
    }

    /// Returns the subject's digest: the SHA-256 of a line with the image and the channel.
    fn binding(&self) -> Sha256Digest {
        crypto::sha256(format!("{} {}\n", self.image, self.name).as_bytes())
    }
}

fn parsed(release: Field, counter: u64, issued: u64) -> Result<Release, JsonError> {
    let mut release = release.object()?;
    let mut promoted = release.take("promoted")?.object()?;
    let promotion = Promotion {
        counter: promoted.take("counter")?.checked(|found| match found {
            0 => Err("invalid counter 0: expected 1 or more".to_owned()),
            // A promotion from the future would be ahead of each later one, and nothing could follow it.
            found if found > counter => Err(format!("the document's counter is {counter}")),
            found => Ok(found),
        })?,
        time: promoted.take("time")?.checked(|found| {
            // Hosts tell from this time since when they are behind: it cannot be after the document itself.
            if found > issued {
                return Err("the document is older");
            }
            Ok(found)
        })?,
    };
    promoted.finish()?;
    let parsed = Release {
        version: release.take("version")?.parsed(str::parse)?,
        epoch: release.take("epoch")?.number()?,
        manifest: release
            .take("manifest")?
            .parsed(ManifestDigest::from_prefixed)?,
        amis: amis(release.take("amis")?)?,
        promoted: promotion,
        revoked: release
            .take("revoked")?
            .optional()
            .map(|reason| reason.parsed(str::parse))
            .transpose()?,
    };
    release.finish()?;
    Ok(parsed)
}

fn amis(field: Field) -> Result<BTreeMap<Region, AmiId>, JsonError> {
    let mut amis = BTreeMap::new();
    for (region, ami) in field.object()?.fields(limits::REGIONS)? {
        // Nothing is replaced here: `json` refused duplicate keys.
        amis.insert(region, ami.parsed(str::parse)?);
    }
    Ok(amis)
}

fn written(release: &Release) -> WrittenRelease<'_> {
    WrittenRelease {
        version: &release.version,
        epoch: release.epoch,
        manifest: release.manifest.to_string(),
        amis: &release.amis,
        promoted: WrittenPromotion {
            counter: release.promoted.counter,
            time: release.promoted.time,
        },
        revoked: release.revoked.as_ref(),
    }
}

#[derive(Serialize)]
struct Predicate<'a> {
    image: &'a ImageName,
    channel: &'a ChannelName,
    counter: u64,
    issued: u64,
    expires: u64,
    latest: Option<&'a ImageVersion>,
    minimum_epoch: u64,
    releases: Vec<WrittenRelease<'a>>,
}

#[derive(Serialize)]
struct WrittenRelease<'a> {
    version: &'a ImageVersion,
    epoch: u64,
    manifest: String,
    amis: &'a BTreeMap<Region, AmiId>,
    promoted: WrittenPromotion,
    revoked: Option<&'a Reason>,
}

#[derive(Serialize)]
struct WrittenPromotion {
    counter: u64,
    time: u64,
}
