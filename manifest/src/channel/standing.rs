//! Standing of a host in a channel, by the release that it runs.

use std::fmt;

use super::Channel;
use crate::digest::ManifestDigest;

/// Standing of a host, by a document that is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It runs what it should.
    Current,
    /// Other releases became the one to run after its own.
    Behind {
        /// Number of these releases.
        releases: usize,
        /// Time at which the first of them was promoted, in seconds since 1970.
        since: u64,
    },
    /// No host should run it any more.
    Revoked {
        /// Reason: the channel's, or an epoch below the minimum.
        reason: String,
    },
    /// The channel does not know it.
    Unlisted,
}

impl Channel {
    /// Returns the standing of a host that runs this manifest, of this epoch.
    ///
    /// A release is known by its manifest, which was verified, and never by its version, which another
    /// image may have, too.
    pub fn standing(&self, manifest: &ManifestDigest, epoch: u64) -> Standing {
        let releases = &self.releases;
        let minimum = releases.minimum_epoch();
        let release = releases.with_manifest(manifest);
        // Before the order: the latest release may be revoked, and then there is none to run.
        if let Some(reason) = release.and_then(|release| release.revoked.as_ref()) {
            return Standing::Revoked {
                reason: reason.to_string(),
            };
        }
        // By the epoch of the verified manifest, and before `Unlisted`: a bad release must not become merely unknown
        // once the channel drops it to save room.
        if epoch < minimum {
            return Standing::Revoked {
                reason: format!("its epoch {epoch} is below the minimum {minimum}"),
            };
        }
        let Some(release) = release else {
            return Standing::Unlisted;
        };
        let mut after = releases.after(release);
        match after.next() {
            None => Standing::Current,
            Some(first) => Standing::Behind {
                releases: 1 + after.count(),
                since: first.promoted.time,
            },
        }
    }
}

impl Standing {
    /// In a word, as reports have it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Behind { .. } => "behind",
            Self::Revoked { .. } => "revoked",
            Self::Unlisted => "unlisted",
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Behind { releases, .. } => write!(f, "behind {releases}"),
            Self::Revoked { reason } => write!(f, "revoked: {reason}"),
            Self::Current | Self::Unlisted => f.write_str(self.name()),
        }
    }
}
