//! Release channels: a signed, moving pointer to the release that hosts should run.
//!
//! Protects against a document that nobody with the purpose `channel` signed, that is of another image or
//! channel, or that is older than one that was seen before. Whether it is expired only who has a clock can
//! say, and what was seen before only who keeps it: this crate has neither. Does not protect against
//! somebody who keeps a newer document away from a host: it expires, and says so.

mod payload;
mod releases;
mod standing;
mod text;

use crate::{
    crypto,
    digest::{ManifestDigest, Sha256Digest},
    envelope::{Envelope, EnvelopeError, KeyId},
    json::JsonError,
    name::{ChannelName, ImageName, ImageVersion, Reason, Region},
    trust::{Purpose, Trust},
    verify,
};

pub use self::{
    releases::{Releases, ReleasesError},
    standing::Standing,
    text::{AmiId, AmiIdError},
};

/// The `predicateType` of a channel document.
pub const PREDICATE_TYPE: &str = "urn:earmark:channel:v1";

/// Signed content of a channel document: the releases of an image, and which of them hosts should run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Image that the channel is of.
    pub image: ImageName,
    /// Name of the channel, within that image.
    pub name: ChannelName,
    /// Goes up with each document of this channel, and never back. From 1.
    pub counter: u64,
    /// From when to when it is good.
    pub time: ChannelTime,
    /// Releases of the image, and the minimum epoch.
    pub releases: Releases,
}

/// Validity period of a document, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelTime {
    issued: u64,
    expires: u64,
}

/// A time that no channel document has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a channel document is good for 1 second to {} days", crate::limits::CHANNEL_SECONDS / 86_400)]
pub struct ChannelTimeError;

/// A release of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// As its owner counts them.
    pub version: ImageVersion,
    /// Its security epoch.
    pub epoch: u64,
    /// Digest of the release's manifest.
    pub manifest: ManifestDigest,
    /// AMIs from which the release can be launched, by region. May be empty: not every image is an AMI.
    pub amis: std::collections::BTreeMap<Region, AmiId>,
    /// Promotion that last made it the release to run.
    pub promoted: Promotion,
    /// Reason why no host should run it any more; absent if it is not revoked.
    pub revoked: Option<Reason>,
}

/// Promotion: the moment from which hosts should run a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promotion {
    /// Counter of the channel document that promoted it.
    pub counter: u64,
    /// In seconds since 1970.
    pub time: u64,
}

/// A channel document that enough trusted keys signed. It says nothing yet of whether there is a newer one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedChannel {
    channel: Channel,
    digest: Sha256Digest,
    signers: Vec<KeyId>,
}

/// A document that was seen before: no other with its counter is believed, and none with a lower one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its counter.
    pub counter: u64,
    /// Of its payload.
    pub digest: Sha256Digest,
}

/// Reason for which a channel document is refused. Each of these is a decision, never a doubt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelRefusal {
    /// See [`EnvelopeError`].
    #[error("{0}")]
    Envelope(#[from] EnvelopeError),
    /// Too few distinct trusted keys with the purpose `channel` signed.
    #[error("{signed} of {threshold} needed signatures by trusted keys with the purpose 'channel'")]
    Signatures {
        /// Distinct keys that did.
        signed: usize,
        /// Distinct keys that must sign.
        threshold: usize,
    },
    /// Signed, but not a channel that this version reads.
    #[error("payload: {0}")]
    Statement(#[from] JsonError),
    /// A good document, of another image.
    #[error("the document is for image '{found}', not for '{expected}'")]
    Image {
        /// The host's, or the trust file's.
        expected: ImageName,
        /// From the document.
        found: ImageName,
    },
    /// A good document, of another channel.
    #[error("the document is for channel '{found}', not for '{expected}'")]
    Name {
        /// The one that is followed.
        expected: ChannelName,
        /// From the document.
        found: ChannelName,
    },
    /// An older document than one that was seen before: replayed, or from a mirror that is behind.
    #[error("rollback refused: counter {found} is lower than {seen}, already accepted")]
    Older {
        /// From the document.
        found: u64,
        /// The highest so far.
        seen: u64,
    },
    /// Two documents with one counter: two writers, or two stories for different hosts.
    #[error("duplicate counter {counter}: another document with this counter was accepted before")]
    Other {
        /// Of both.
        counter: u64,
    },
}

/// Verifies a channel document against a trust file: the signatures first, over the bytes; then those
/// same bytes are parsed.
///
/// # Errors
///
/// [`ChannelRefusal`] for a document that is too long or not DSSE, has fewer signatures than the trust file's
/// threshold, does not parse, or is of another image than the trust file's.
pub fn verify_channel(envelope: &[u8], trust: &Trust) -> Result<VerifiedChannel, ChannelRefusal> {
    let envelope = Envelope::parse_channel(envelope)?;
    let signers = verify::signers(&envelope, trust, Purpose::Channel).map_err(|few| {
        ChannelRefusal::Signatures {
            signed: few.signed,
            threshold: few.threshold,
        }
    })?;
    let payload = envelope.unverified_payload();
    let verified = VerifiedChannel {
        channel: Channel::parse(payload)?,
        // Of the payload, not the envelope: who adds a signature makes no other document.
        digest: crypto::sha256(payload),
        signers,
    };
    match trust.image() {
        Some(image) => verified.of_image(image),
        // A trust file for several images: who follows the channel compares with the image of its own seal.
        None => Ok(verified),
    }
}

impl VerifiedChannel {
    /// The same, if it is of this image.
    ///
    /// # Errors
    ///
    /// [`ChannelRefusal::Image`] for another image's.
    pub fn of_image(self, image: &ImageName) -> Result<Self, ChannelRefusal> {
        if self.channel.image == *image {
            return Ok(self);
        }
        Err(ChannelRefusal::Image {
            expected: image.clone(),
            found: self.channel.image,
        })
    }

    /// The same, if it is this channel.
    ///
    /// # Errors
    ///
    /// [`ChannelRefusal::Name`] for another channel's.
    pub fn named(self, name: &ChannelName) -> Result<Self, ChannelRefusal> {
        if self.channel.name == *name {
            return Ok(self);
        }
        Err(ChannelRefusal::Name {
            expected: name.clone(),
            found: self.channel.name,
        })
    }

    /// The same, if it is the document that was seen, or one after it.
    ///
    /// # Errors
    ///
    /// [`ChannelRefusal::Older`] for a lower counter (a rollback), [`ChannelRefusal::Other`] for the same counter
    /// with other content.
    pub fn after(self, seen: Seen) -> Result<Self, ChannelRefusal> {
        let found = self.channel.counter;
        if found < seen.counter {
            let seen = seen.counter;
            return Err(ChannelRefusal::Older { found, seen });
        }
        // The same document again passes: it is fetched many times before it changes.
        if found == seen.counter && self.digest != seen.digest {
            return Err(ChannelRefusal::Other { counter: found });
        }
        Ok(self)
    }

    /// Returns the signed content.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Returns the counter and digest to keep, for checking the next document.
    pub fn seen(&self) -> Seen {
        Seen {
            counter: self.channel.counter,
            digest: self.digest,
        }
    }

    /// The trusted keys that signed.
    pub fn signers(&self) -> &[KeyId] {
        &self.signers
    }
}

impl ChannelTime {
    /// From `issued` to `expires`.
    ///
    /// # Errors
    ///
    /// Unless it lasts from 1 second to [`limits::CHANNEL_SECONDS`](crate::limits::CHANNEL_SECONDS).
    pub fn new(issued: u64, expires: u64) -> Result<Self, ChannelTimeError> {
        // A difference, since a sum could overflow: both numbers are as the document has them.
        match expires.checked_sub(issued) {
            Some(1..=crate::limits::CHANNEL_SECONDS) => Ok(Self { issued, expires }),
            _ => Err(ChannelTimeError),
        }
    }

    /// Returns the time at which the document was issued, in seconds since 1970.
    pub const fn issued(self) -> u64 {
        self.issued
    }

    /// Returns the time at which the document expires, in seconds since 1970.
    pub const fn expires(self) -> u64 {
        self.expires
    }
}

#[cfg(test)]
mod tests;
