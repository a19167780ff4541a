//! The releases of a channel, in the order in which they became the one to run.

use super::Release;
use crate::{digest::ManifestDigest, limits, name::ImageVersion};

/// The releases of a channel, oldest promotion first, and the floor that they stand on.
///
/// The last one is the one that hosts should run. A release that is rolled back to moves to the end, with
/// the counter of the document that says so: what a host is behind by is how many stand after its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Releases {
    releases: Vec<Release>,
    minimum_epoch: u64,
}

/// Releases that no channel has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReleasesError {
    /// More than [`limits::RELEASES`].
    #[error("{0} releases: expected at most {most}", most = limits::RELEASES)]
    Many(usize),
    /// More than [`limits::REGIONS`].
    #[error("release {0} has AMIs in too many regions: expected at most {most}", most = limits::REGIONS)]
    Regions(ImageVersion),
    /// One version, or one manifest, twice.
    #[error("duplicate release {0}")]
    Twice(ImageVersion),
    /// Not in the order of their promotions.
    #[error("release {0} was not promoted later than the release before it")]
    Order(ImageVersion),
    /// Nothing below the floor can be the one to run.
    #[error(
        "release {version} is the latest, and its epoch {epoch} is below the minimum {minimum}"
    )]
    Floor {
        /// The latest.
        version: ImageVersion,
        /// Its epoch.
        epoch: u64,
        /// The floor.
        minimum: u64,
    },
}

impl Releases {
    /// Of a new channel.
    pub const fn none() -> Self {
        Self {
            releases: Vec::new(),
            minimum_epoch: 0,
        }
    }

    /// In the order of their promotions.
    ///
    /// # Errors
    ///
    /// [`ReleasesError`] for more releases or regions than [`limits`] has, a duplicate, another order than that of
    /// the promotions, or a latest release below `minimum_epoch`.
    pub fn new(releases: Vec<Release>, minimum_epoch: u64) -> Result<Self, ReleasesError> {
        if releases.len() > limits::RELEASES {
            return Err(ReleasesError::Many(releases.len()));
        }
        let mut versions = std::collections::BTreeSet::new();
        let mut manifests = std::collections::BTreeSet::new();
        let mut before: Option<&Release> = None;
        for release in &releases {
            // One manifest under two versions would give a host two standings.
            if !versions.insert(&release.version) || !manifests.insert(release.manifest) {
                return Err(ReleasesError::Twice(release.version.clone()));
            }
            if release.amis.len() > limits::REGIONS {
                return Err(ReleasesError::Regions(release.version.clone()));
            }
            // Times may be equal, as of two promotions in one second: the counters give the order.
            let is_later = before.is_none_or(|before| {
                before.promoted.counter < release.promoted.counter
                    && before.promoted.time <= release.promoted.time
            });
            if !is_later {
                return Err(ReleasesError::Order(release.version.clone()));
            }
            before = Some(release);
        }
        match before {
            // Else hosts would be revoked by the very release that they should run.
            Some(latest) if latest.epoch < minimum_epoch => Err(ReleasesError::Floor {
                version: latest.version.clone(),
                epoch: latest.epoch,
                minimum: minimum_epoch,
            }),
            _ => Ok(Self {
                releases,
                minimum_epoch,
            }),
        }
    }

    /// All of them, oldest promotion first.
    pub fn all(&self) -> &[Release] {
        &self.releases
    }

    /// The one that hosts should run, if there is any. It may have been revoked since.
    pub fn latest(&self) -> Option<&Release> {
        self.releases.last()
    }

    /// The lowest epoch that may run.
    pub const fn minimum_epoch(&self) -> u64 {
        self.minimum_epoch
    }

    /// The release with this manifest.
    pub fn with_manifest(&self, manifest: &ManifestDigest) -> Option<&Release> {
        self.releases
            .iter()
            .find(|release| release.manifest == *manifest)
    }

    /// The release of this version.
    pub fn version(&self, version: &ImageVersion) -> Option<&Release> {
        self.releases
            .iter()
            .find(|release| release.version == *version)
    }

    /// Those that were promoted after it.
    pub fn after<'a>(&'a self, release: &'a Release) -> impl Iterator<Item = &'a Release> {
        let counter = release.promoted.counter;
        self.releases
            .iter()
            .filter(move |other| other.promoted.counter > counter)
    }
}
