//! Status of the fleet, from which every way to show it is made.

use std::{collections::BTreeMap, str::FromStr};

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::{
    Fleet,
    channels::ShownChannel,
    group::{Dimension, Group, group},
    join::{Against, Host, Joined},
    source::{Found, Named},
    state::{Counts, State},
};
use crate::{exit::Exit, io::output};

/// A fleet at one time.
#[derive(Debug, Serialize)]
pub struct Status {
    kind: &'static str,
    /// In seconds since 1970.
    pub time: u64,
    /// In seconds.
    pub silent_after: u64,
    pub channels: Vec<ShownChannel>,
    /// True, if there is an inventory: without one no host is missed.
    pub inventory: bool,
    /// True, if reports count by what EC2 signed, and not by their own word.
    pub identity_checked: bool,
    pub reports: Reports,
    pub states: Counts,
    pub group_by: Vec<Dimension>,
    pub groups: Vec<Group>,
    /// By image, and then by version.
    #[serde(skip)]
    pub images: BTreeMap<Box<str>, Image>,
    /// Each once, the worst first.
    pub hosts: Vec<Host>,
}

/// Counts of the reports, by what became of them.
#[derive(Debug, Serialize)]
pub struct Reports {
    /// Names that there were.
    pub names: u64,
    /// Hosts that sent reports once, and that are none of the fleet any more as far as is known.
    pub gone: u64,
    pub unusable: Named,
    pub unread: Named,
}

/// Hosts of one image; of those that are of none of the channels' images together.
#[derive(Debug, Default)]
pub struct Image {
    pub states: Counts,
    /// Hosts by what they run; releases that the channel does not know are one.
    pub versions: BTreeMap<Option<Box<str>>, u64>,
    /// Of the hosts that are heard of and run the release that they should: all, and those that are violated.
    pub on_latest: u64,
    pub violated_on_latest: u64,
}

/// Condition that ends a command with exit status 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailOn {
    State(State),
    /// Reports that do not count.
    Unusable,
}

impl Status {
    pub(super) fn new(joined: Joined, found: Found, against: &Against<'_>, fleet: &Fleet) -> Self {
        let Joined { hosts, gone } = joined;
        let mut states = Counts::default();
        let mut images: BTreeMap<Box<str>, Image> = BTreeMap::new();
        for channel in against.documents.shown() {
            images.insert(channel.image.into(), Image::default());
        }
        for host in &hosts {
            states.add(host.state);
            // Names of images are the host's word: there are as many as channels, and one more.
            let known = host
                .image
                .as_deref()
                .filter(|image| against.documents.has(image));
            images
                .entry(known.unwrap_or_default().into())
                .or_default()
                .add(host);
        }
        Self {
            kind: "fleet",
            time: against.now,
            silent_after: against.silent_after,
            channels: against.documents.shown(),
            inventory: against.inventory.is_some(),
            identity_checked: fleet.certificates.is_some(),
            reports: Reports {
                names: found.names,
                gone: gone + found.old,
                unusable: found.unusable,
                unread: found.unread,
            },
            states,
            groups: group(&hosts, &fleet.group_by),
            group_by: fleet.group_by.clone(),
            images,
            hosts,
        }
    }

    /// Returns the number of hosts.
    pub fn total(&self) -> u64 {
        self.states.total()
    }

    /// Returns whether all reports could be read, and there is a host.
    pub fn is_whole(&self) -> bool {
        self.reports.unread.count() == 0 && self.total() > 0
    }

    /// The reason why this may not be the whole fleet, for people; none, if it is.
    pub fn doubt(&self) -> Option<String> {
        let unread = self.reports.unread.count();
        if unread > 0 {
            let unread = output::count(unread, "report", "reports");
            return Some(format!("{unread} could not be read: this is not all"));
        }
        let names = output::count(self.reports.names, "name", "names");
        (self.total() == 0).then(|| format!("nothing was seen: no host, in {names}"))
    }

    /// Returns whether every host is current, as far as anybody can know.
    pub fn is_current(&self) -> bool {
        self.is_whole() && self.states.of(State::Current) == self.total()
    }

    /// Returns the exit status. States to fail on count, whatever else could not be read; and a fleet that could not
    /// be read whole is never good.
    pub fn exit(&self, fail_on: &[FailOn]) -> Exit {
        let fails = fail_on.iter().any(|fail| match fail {
            FailOn::State(state) => self.states.of(*state) > 0,
            FailOn::Unusable => self.reports.unusable.count() > 0,
        });
        if fails {
            Exit::NotCurrent
        } else if self.is_whole() {
            Exit::Done
        } else {
            Exit::Undecided
        }
    }
}

impl Image {
    fn add(&mut self, host: &Host) {
        self.states.add(host.state);
        let version = host.version.clone().filter(|_| host.listed);
        *self.versions.entry(version).or_default() += 1;
        if host.latest && host.state != State::Silent {
            self.on_latest += 1;
            self.violated_on_latest += u64::from(host.state == State::Violated);
        }
    }
}

impl FromStr for FailOn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(State::Current) => Err("no host fails by being current".to_owned()),
            Ok(state) => Ok(Self::State(state)),
            Err(_) if text == "unusable" => Ok(Self::Unusable),
            Err(expected) => Err(format!("{expected}, unusable").replace("current, ", "")),
        }
    }
}

impl Serialize for Named {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut named = serializer.serialize_struct("Named", 2)?;
        named.serialize_field("count", &self.count())?;
        let first: BTreeMap<&str, &str> = self.first().collect();
        named.serialize_field("first", &first)?;
        named.end()
    }
}
