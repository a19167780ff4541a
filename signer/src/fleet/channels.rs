//! Position of releases in the documents that the fleet's owner trusts: never by what a host says of itself.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::Arc,
};

use earmark_manifest::{
    channel::{Channel, Release, Standing},
    trust::Trust,
};
use serde::Serialize;

use super::{
    report::{Running, duration},
    state::{Judged, State},
};
use crate::{
    channel::{self, Location},
    commands::shared,
    exit::{Exit, Failure, Outcome},
    io::output,
};

/// A document that was verified, and what was seen of it before.
#[derive(Debug)]
struct Followed {
    at: Location,
    trust: Trust,
    seen: Option<earmark_manifest::channel::Seen>,
}

/// The channels of the fleet, as they are named on the command line.
#[derive(Debug)]
pub struct Channels(Vec<Followed>);

/// Documents of the channels, as they were read.
#[derive(Debug)]
pub struct Documents {
    by_image: BTreeMap<Box<str>, Channel>,
    /// Image and version of each AMI.
    by_ami: HashMap<String, (Box<str>, Box<str>)>,
    now: u64,
}

/// A channel, as it is shown beside the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownChannel {
    pub image: String,
    pub channel: String,
    pub counter: u64,
    pub latest: Option<String>,
    pub expires: u64,
    pub expired: bool,
}

/// Position in its channel of what a host runs.
#[derive(Debug, Clone)]
pub struct Placed {
    /// The state, and why.
    pub judged: Judged,
    /// By how many releases it is behind, and since when.
    pub behind: Option<(u64, u64)>,
    /// The version: the channel's word where it knows the release, or the host's.
    pub version: Box<str>,
    /// True, if the channel lists the release.
    pub listed: bool,
    /// True, if the release is the one to run.
    pub latest: bool,
    /// The counter of the channel's document, and when it was issued.
    pub document: Option<(u64, u64)>,
}

impl Channels {
    /// One trust file for all of them, or one for each.
    pub fn new(at: &[Location], trust: &[PathBuf]) -> Outcome<Self> {
        if trust.is_empty() {
            let why = "refused: no trust file was given, and without one the channel could be \
                       anybody's";
            return Err(Failure::new(Exit::Usage, why)
                .next("give --trust FILE, with keys for the purpose 'channel'"));
        }
        if trust.len() != 1 && trust.len() != at.len() {
            let why = "give one --trust for all channels, or one for each, in their order";
            return Err(Failure::new(Exit::Usage, why));
        }
        let followed = at.iter().enumerate().map(|(index, at)| {
            let path = trust.get(index).or(trust.first());
            let (trust, _) = shared::read_trust(path.map_or("".as_ref(), PathBuf::as_path))?;
            Ok(Followed {
                at: at.clone(),
                trust,
                seen: None,
            })
        });
        followed.collect::<Outcome<_>>().map(Self)
    }

    /// Reads and verifies each. None may be older than it was the last time.
    pub fn read(&mut self, now: u64) -> Outcome<Documents> {
        let mut by_image = BTreeMap::new();
        for followed in &mut self.0 {
            let Followed { at, trust, seen } = followed;
            let verified = channel::verified(&at.need()?, at, trust)?;
            let verified = match at.channel() {
                Some(name) => verified.named(&name),
                None => Ok(verified),
            };
            let verified = verified.and_then(|verified| match *seen {
                Some(seen) => verified.after(seen),
                None => Ok(verified),
            });
            let verified = verified.map_err(|refusal| channel::refused(at, &refusal))?;
            *seen = Some(verified.seen());
            let channel = verified.channel().clone();
            let image: Box<str> = channel.image.as_str().into();
            if by_image.insert(image, channel).is_some() {
                let why = format!("duplicate channel of one image: {at} is the second");
                return Err(Failure::new(Exit::Usage, why)
                    .next("ask for hosts that follow another channel in a command of their own"));
            }
        }
        Ok(Documents::new(by_image, now))
    }
}

impl Documents {
    #[cfg(test)]
    pub fn of(channel: Channel, now: u64) -> Self {
        let image = channel.image.as_str().into();
        Self::new([(image, channel)].into(), now)
    }

    fn new(by_image: BTreeMap<Box<str>, Channel>, now: u64) -> Self {
        let mut by_ami = HashMap::new();
        for (image, channel) in &by_image {
            for release in channel.releases.all() {
                for ami in release.amis.values() {
                    let version = release.version.as_str().into();
                    by_ami.insert(ami.to_string(), (image.clone(), version));
                }
            }
        }
        Self {
            by_image,
            by_ami,
            now,
        }
    }

    /// For those who read what comes of them.
    pub fn shown(&self) -> Vec<ShownChannel> {
        let channels = self.by_image.values().map(|channel| ShownChannel {
            image: channel.image.to_string(),
            channel: channel.name.to_string(),
            counter: channel.counter,
            latest: latest(channel).map(|release| release.version.to_string()),
            expires: channel.time.expires(),
            expired: channel.time.expires() <= self.now,
        });
        channels.collect()
    }

    /// Returns whether there is a channel of that image.
    pub fn has(&self, image: &str) -> bool {
        self.by_image.contains_key(image)
    }

    /// The image and the version that an AMI is, for a host that says nothing.
    pub fn by_ami(&self, ami: &str) -> Option<&(Box<str>, Box<str>)> {
        self.by_ami.get(ami)
    }

    fn place(&self, running: &Running) -> Placed {
        let mut placed = Placed {
            judged: (State::Unknown, None),
            behind: None,
            version: running.version.clone(),
            listed: false,
            latest: false,
            document: None,
        };
        let Some(channel) = self.by_image.get(&running.image) else {
            let why = format!("no --channel is for image {}", running.image);
            placed.judged.1 = Some(why.into());
            return placed;
        };
        placed.document = Some((channel.counter, channel.time.issued()));
        let release = channel.releases.with_manifest(&running.manifest);
        if let Some(release) = release {
            placed.version = release.version.as_str().into();
            placed.listed = true;
            placed.latest = latest(channel) == Some(release);
        }
        // The epoch of a release that is listed is the channel's word, not the host's.
        let epoch = release.map_or(running.epoch, |release| release.epoch);
        placed.judged = match channel.standing(&running.manifest, epoch) {
            Standing::Current => (State::Current, None),
            Standing::Behind { releases, since } => {
                let releases = releases as u64;
                placed.behind = Some((releases, since));
                let count = output::count(releases, "release", "releases");
                let age = duration(self.now.saturating_sub(since));
                (State::Behind, Some(format!("{count}, {age}").into()))
            }
            Standing::Revoked { reason } => (State::Revoked, Some(reason.into())),
            Standing::Unlisted => {
                let why = format!("no release has its manifest {}", running.manifest);
                (State::Unlisted, Some(why.into()))
            }
        };
        placed
    }
}

fn latest(channel: &Channel) -> Option<&Release> {
    channel.releases.latest()
}

/// Places each release once, however many hosts run it.
#[derive(Debug)]
pub struct Places<'a> {
    documents: &'a Documents,
    known: HashMap<Arc<Running>, Arc<Placed>>,
}

impl<'a> Places<'a> {
    pub fn new(documents: &'a Documents) -> Self {
        Self {
            documents,
            known: HashMap::new(),
        }
    }

    pub fn of(&mut self, running: &Arc<Running>) -> Arc<Placed> {
        if let Some(placed) = self.known.get(running) {
            return Arc::clone(placed);
        }
        let placed = Arc::new(self.documents.place(running));
        self.known.insert(Arc::clone(running), Arc::clone(&placed));
        placed
    }
}
