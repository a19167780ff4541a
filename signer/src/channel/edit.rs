//! One step of a channel: from a document to the next one. Nothing here reads a clock or writes.

use earmark_manifest::{
    channel::{AmiId, Channel, ChannelTime, Promotion, Release, Releases},
    declaration::Interval,
    digest::ManifestDigest,
    name::{ChannelName, ImageName, ImageVersion, Reason, Region},
};

use super::unknown;
use crate::exit::{Exit, Exits, Failure, Next, Outcome};

/// Time of a step, and how long the document is valid from then.
#[derive(Debug, Clone, Copy)]
pub struct When {
    /// In seconds since 1970.
    pub now: u64,
    /// Validity of the document, from `now` on.
    pub lasts: Interval,
}

/// Release that is to be promoted.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Name of its image.
    pub image: ImageName,
    /// Version of the image.
    pub version: ImageVersion,
    /// Its epoch.
    pub epoch: u64,
    /// Digest of its manifest.
    pub manifest: ManifestDigest,
    /// AMIs that it can be launched from, with their regions.
    pub amis: Vec<(Region, AmiId)>,
}

/// The first document of a channel.
pub fn init(image: ImageName, name: ChannelName, when: When) -> Outcome<Channel> {
    Ok(Channel {
        image,
        name,
        counter: 1,
        time: time(when.now, when)?,
        releases: Releases::none(),
    })
}

/// Makes a release the one to run. The one that is already gets what is new: AMIs, a floor, and time.
pub fn promote(
    channel: &Channel,
    candidate: Candidate,
    minimum_epoch: Option<u64>,
    when: When,
) -> Outcome<Channel> {
    let Candidate {
        image,
        version,
        epoch,
        manifest,
        amis,
    } = candidate;
    if image != channel.image {
        let other = format!(
            "the release is of image '{image}', and the channel is for image '{}'",
            channel.image
        );
        return Err(Failure::new(Exit::Usage, other));
    }
    let floor = channel.releases.minimum_epoch();
    let raised = minimum_epoch.unwrap_or(floor);
    if raised < floor {
        let lower = format!("the minimum epoch is {floor}, and cannot be lowered");
        return Err(Failure::new(Exit::Usage, lower));
    }
    if epoch < raised {
        return Err(below(&version, epoch, raised));
    }
    let known = channel.releases.version(&version).cloned();
    let same = channel.releases.with_manifest(&manifest);
    if let Some(other) = same.filter(|other| other.version != version) {
        let twice = format!(
            "the channel has this manifest already, as release {}",
            other.version
        );
        return Err(Failure::new(Exit::Usage, twice));
    }
    let mut release = match known {
        None => Release {
            version,
            epoch,
            manifest,
            amis: std::collections::BTreeMap::new(),
            promoted: Promotion {
                counter: 0,
                time: 0,
            },
            revoked: None,
        },
        Some(known) if known.manifest != manifest => {
            let other = format!(
                "the channel has another image as release {version}: {}",
                known.manifest
            );
            return Err(
                Failure::new(Exit::Usage, other).next("give the different image another version")
            );
        }
        Some(known) => usable(known)?,
    };
    for (region, ami) in amis {
        match release.amis.get(&region) {
            Some(known) if *known != ami => {
                let other = format!(
                    "release {} is {known} in {region}, not {ami}",
                    release.version
                );
                return Err(Failure::new(Exit::Usage, other)
                    .next("an AMI that differs is another release: give it another version"));
            }
            _ => release.amis.insert(region, ami),
        };
    }
    next(channel, raised, when, |releases, promotion| {
        let latest = releases.last().map(|latest| latest.manifest);
        releases.retain(|other| other.manifest != release.manifest);
        if latest != Some(release.manifest) {
            release.promoted = promotion;
        }
        releases.push(release);
    })
}

/// Makes an older release the one to run again, by a new document.
pub fn rollback(channel: &Channel, to: &ImageVersion, when: When) -> Outcome<Channel> {
    let release = usable(find(channel, to)?.clone())?;
    let floor = channel.releases.minimum_epoch();
    if release.epoch < floor {
        return Err(below(to, release.epoch, floor));
    }
    let latest = channel.releases.latest();
    if latest.is_some_and(|latest| latest.version == *to) {
        let already = format!("release {to} is already the one to run");
        return Err(Failure::new(Exit::Usage, already));
    }
    next(channel, floor, when, |releases, promoted| {
        releases.retain(|other| other.version != *to);
        releases.push(Release {
            promoted,
            ..release
        });
    })
}

/// Says that no host should run a release any more.
pub fn revoke(
    channel: &Channel,
    version: &ImageVersion,
    reason: &Reason,
    when: When,
) -> Outcome<Channel> {
    let release = find(channel, version)?;
    if let Some(reason) = &release.revoked {
        let already = format!("release {version} is already revoked: {reason}");
        return Err(Failure::new(Exit::Usage, already));
    }
    next(
        channel,
        channel.releases.minimum_epoch(),
        when,
        |releases, _| {
            for release in releases {
                if release.version == *version {
                    release.revoked = Some(reason.clone());
                }
            }
        },
    )
}

/// The next document, with other releases.
fn next(
    channel: &Channel,
    minimum_epoch: u64,
    when: When,
    change: impl FnOnce(&mut Vec<Release>, Promotion),
) -> Outcome<Channel> {
    let counter = channel.counter.checked_add(1);
    let counter =
        counter.ok_or_else(|| Failure::new(Exit::Usage, "the counter has reached its maximum"))?;
    // The clocks of two machines differ; the document's time must not go back because of it.
    let now = when.now.max(channel.time.issued());
    let mut releases = channel.releases.all().to_vec();
    change(&mut releases, Promotion { counter, time: now });
    Ok(Channel {
        image: channel.image.clone(),
        name: channel.name.clone(),
        counter,
        time: time(now, when)?,
        releases: Releases::new(releases, minimum_epoch)
            .exits(Exit::Usage)
            .or_next(|| "start another channel: earmark channel init".to_owned())?,
    })
}

fn time(now: u64, when: When) -> Outcome<ChannelTime> {
    let expires = now.saturating_add(when.lasts.duration().as_secs());
    ChannelTime::new(now, expires)
        .map_err(|error| Failure::new(Exit::Usage, format!("--expires {}: {error}", when.lasts)))
}

fn find<'a>(channel: &'a Channel, version: &ImageVersion) -> Outcome<&'a Release> {
    let releases = &channel.releases;
    releases.version(version).ok_or_else(|| {
        let known = releases.all().iter().rev();
        unknown(
            version,
            known.take(8).map(|release| release.version.to_string()),
        )
    })
}

/// Refuses a revoked release. A revocation is final: hosts may have acted on it.
fn usable(release: Release) -> Outcome<Release> {
    match &release.revoked {
        None => Ok(release),
        Some(reason) => {
            let revoked = format!("release {} was revoked: {reason}", release.version);
            Err(Failure::new(Exit::Usage, revoked)
                .next("bake it again under another version, and promote that"))
        }
    }
}

fn below(version: &ImageVersion, epoch: u64, floor: u64) -> Failure {
    let below =
        format!("release {version} has epoch {epoch}, and the channel's minimum is {floor}");
    Failure::new(Exit::Usage, below).next(format!(
        "bake it again with what raised the minimum, and epoch = {floor} in earmark.toml, and promote that"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;
    const START: u64 = 1_795_430_000;

    fn on(day: u64) -> When {
        When {
            now: START + day * DAY,
            lasts: Interval::from_secs(30 * DAY),
        }
    }

    fn candidate(version: &str, epoch: u64) -> Candidate {
        Candidate {
            image: "web".parse().unwrap(),
            version: version.parse().unwrap(),
            epoch,
            manifest: ManifestDigest::of_payload(version.as_bytes()),
            amis: vec![],
        }
    }

    fn promoted(versions: &[&str]) -> Channel {
        let mut channel = init("web".parse().unwrap(), "stable".parse().unwrap(), on(0)).unwrap();
        for (day, version) in (1..).zip(versions) {
            channel = promote(&channel, candidate(version, 3), None, on(day)).unwrap();
        }
        channel
    }

    fn versions(channel: &Channel) -> Vec<String> {
        let releases = channel.releases.all().iter();
        releases
            .map(|release| release.version.to_string())
            .collect()
    }

    #[track_caller]
    fn refused(outcome: Outcome<Channel>, says: &str) {
        let failure = outcome.unwrap_err();
        assert!(failure.to_string().contains(says), "{failure}");
        assert_eq!(failure.exit(), Exit::Usage);
    }

    #[test]
    fn promote_rollback_and_revoke_produce_parsable_channels() {
        let channel = promoted(&["1", "2"]);
        assert_eq!(
            (channel.counter, versions(&channel)),
            (3, vec!["1".into(), "2".into()])
        );
        let back = rollback(&channel, &"1".parse().unwrap(), on(3)).unwrap();
        assert_eq!(
            (back.counter, versions(&back)),
            (4, vec!["2".into(), "1".into()])
        );
        let reason = "it forgets its sessions".parse().unwrap();
        let revoked = revoke(&back, &"2".parse().unwrap(), &reason, on(4)).unwrap();
        assert_eq!(revoked.counter, 5);
        for channel in [channel, back, revoked] {
            let payload = channel.to_payload().unwrap();
            assert_eq!(Channel::parse(&payload), Ok(channel));
        }
    }

    #[test]
    fn rollback_requires_a_listed_unrevoked_release_above_the_epoch_floor() {
        let channel = promoted(&["1", "2"]);
        let to =
            |channel: &Channel, version: &str| rollback(channel, &version.parse().unwrap(), on(9));
        assert!(to(&channel, "1").is_ok());
        refused(to(&channel, "2"), "already");
        refused(to(&channel, "3"), "no release 3\n  next: it has 2, 1");
        let raised = promote(&channel, candidate("3", 4), Some(4), on(3)).unwrap();
        refused(to(&raised, "1"), "bake it again");
        let reason = "bad".parse().unwrap();
        let revoked = revoke(&channel, &"1".parse().unwrap(), &reason, on(3)).unwrap();
        refused(to(&revoked, "1"), "was revoked: bad");
        refused(
            revoke(&revoked, &"1".parse().unwrap(), &reason, on(4)),
            "is already revoked",
        );
        refused(
            promote(&revoked, candidate("1", 3), None, on(4)),
            "was revoked",
        );
    }

    #[test]
    fn epoch_floor_never_decreases_and_binds_the_promoted_release() {
        let channel = promoted(&["1"]);
        let raised = promote(&channel, candidate("2", 4), Some(4), on(2)).unwrap();
        assert_eq!(raised.releases.minimum_epoch(), 4);
        refused(
            promote(&raised, candidate("3", 4), Some(3), on(3)),
            "cannot be lowered",
        );
        refused(
            promote(&raised, candidate("3", 3), None, on(3)),
            "epoch 3, and",
        );
        refused(
            promote(&channel, candidate("2", 3), Some(4), on(2)),
            "epoch 3, and",
        );
    }

    #[test]
    fn promote_merges_regions_and_refuses_conflicting_images() {
        let channel = promoted(&["1"]);
        let ami = |region: &str, ami: &str| (region.parse().unwrap(), ami.parse().unwrap());
        let with = |version: &str, of: &str, amis| Candidate {
            manifest: ManifestDigest::of_payload(of.as_bytes()),
            amis,
            ..candidate(version, 3)
        };
        let first = with("2", "2", vec![ami("eu-west-1", "ami-01234567")]);
        let channel = promote(&channel, first, None, on(2)).unwrap();
        // The same again, in one region more: it does not become newer than it was.
        let more = with("2", "2", vec![ami("us-east-1", "ami-89abcdef")]);
        let again = promote(&channel, more, None, on(3)).unwrap();
        let latest = again.releases.latest().unwrap();
        assert_eq!((latest.amis.len(), latest.promoted.counter), (2, 3));
        assert_eq!((again.counter, again.time.issued()), (4, START + 3 * DAY));
        let other = with("2", "2", vec![ami("eu-west-1", "ami-89abcdef")]);
        refused(
            promote(&channel, other, None, on(3)),
            "is ami-01234567 in eu-west-1",
        );
        refused(
            promote(&channel, with("2", "x", vec![]), None, on(3)),
            "another image",
        );
        refused(
            promote(&channel, with("3", "2", vec![]), None, on(3)),
            "as release 2",
        );
        let db = Candidate {
            image: "db".parse().unwrap(),
            ..candidate("3", 3)
        };
        refused(promote(&channel, db, None, on(3)), "of image 'db'");
    }

    #[test]
    fn channel_issue_time_never_decreases_if_the_clock_is_behind() {
        let channel = promoted(&["1", "2"]);
        let late = promote(&channel, candidate("3", 3), None, on(0)).unwrap();
        assert_eq!(late.time.issued(), channel.time.issued());
        assert!(Channel::parse(&late.to_payload().unwrap()).is_ok());
    }
}
