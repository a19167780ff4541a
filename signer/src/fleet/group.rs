//! Hosts counted by what they have in common.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::Serialize;

use super::{join::Host, state::Counts};

/// Property that hosts are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dimension {
    Image,
    Version,
    Region,
    Asg,
}

/// Hosts that have all of it in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Values that they have in common, in the order in which they were asked for; none where one is not known.
    pub of: Vec<Option<Box<str>>>,
    pub hosts: u64,
    pub states: Counts,
}

impl Dimension {
    const ALL: [Self; 4] = [Self::Image, Self::Version, Self::Region, Self::Asg];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Version => "version",
            Self::Region => "region",
            Self::Asg => "asg",
        }
    }

    fn of(self, host: &Host) -> Option<&str> {
        match self {
            Self::Image => host.image.as_deref(),
            Self::Version => host.version.as_deref(),
            Self::Region => host.region.as_deref(),
            Self::Asg => host.asg.as_deref(),
        }
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Dimension {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL
            .into_iter()
            .find(|dimension| dimension.name() == text);
        found.ok_or_else(|| "expected image, version, region or asg".to_owned())
    }
}

/// Groups them, the largest first.
pub fn group(hosts: &[Host], by: &[Dimension]) -> Vec<Group> {
    let mut groups: BTreeMap<Vec<Option<&str>>, Counts> = BTreeMap::new();
    let mut key = Vec::new();
    for host in hosts {
        key.clear();
        key.extend(by.iter().map(|dimension| dimension.of(host)));
        if let Some(counts) = groups.get_mut(&key) {
            counts.add(host.state);
        } else {
            let mut counts = Counts::default();
            counts.add(host.state);
            groups.insert(key.clone(), counts);
        }
    }
    let mut groups: Vec<Group> = groups
        .into_iter()
        .map(|(of, states)| Group {
            of: of.into_iter().map(|part| part.map(Box::from)).collect(),
            hosts: states.total(),
            states,
        })
        .collect();
    // Stable: groups of one size stay in the order of their names.
    groups.sort_by_key(|group| std::cmp::Reverse(group.hosts));
    groups
}
