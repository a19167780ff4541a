//! Reports, channels and the inventory, joined: each host once, in one state.

use std::{cmp::Reverse, collections::HashSet};

use serde::Serialize;

use super::{
    channels::{Documents, Placed, Places},
    inventory::{Instance, Inventory},
    report::{Seen, duration, worse},
    state::{Judged, State},
};

/// A host.
#[derive(Debug, Clone, Serialize)]
pub struct Host {
    /// Its instance, or the boot that it is, if it cannot tell which instance it is.
    pub id: Box<str>,
    /// Name that its owner gave it.
    pub name: Option<Box<str>>,
    pub state: State,
    pub reason: Option<Box<str>>,
    pub image: Option<Box<str>>,
    pub version: Option<Box<str>>,
    pub region: Option<Box<str>>,
    pub asg: Option<Box<str>>,
    /// Time of its last report, in seconds since 1970; none, if it never sent one.
    pub reported: Option<u64>,
    /// Time at which its boot began, in seconds since 1970, if known.
    pub booted: Option<u64>,
    /// By how many releases it is behind, and since when; whatever its state is.
    pub behind: Option<u64>,
    pub behind_since: Option<u64>,
    /// True, if the host follows an older document of the channel than the published one: newer ones are kept away
    /// from it, or it refuses them.
    pub channel_behind: bool,
    /// Flags: whether the channel lists what it runs, and whether that is what hosts should run.
    #[serde(skip)]
    pub listed: bool,
    #[serde(skip)]
    pub latest: bool,
}

/// All that came of it.
#[derive(Debug, Default)]
pub struct Joined {
    pub hosts: Vec<Host>,
    /// Hosts that sent reports once, and that there may be no more.
    pub gone: u64,
}

/// Data that hosts are compared with.
#[derive(Debug)]
pub struct Against<'a> {
    pub documents: &'a Documents,
    pub inventory: Option<&'a Inventory>,
    pub now: u64,
    /// In seconds.
    pub silent_after: u64,
}

/// Seconds that two boots of one instance must overlap to be two hosts: the clock of a boot may have been set
/// while it ran, and then it began a little before or after it says.
const OVERLAP: u64 = 60;

/// Joins them. What it costs grows with the reports by their sorting alone.
pub fn join(mut reports: Vec<Seen>, against: &Against<'_>) -> Joined {
    // A boot that is told twice, by two places of reports, is told by the newer one.
    reports.sort_unstable_by(|a, b| {
        let of = |seen: &'_ Seen| Reverse(seen.time);
        (&a.instance, &a.boot, of(a)).cmp(&(&b.instance, &b.boot, of(b)))
    });
    reports
        .dedup_by(|older, newer| (&older.instance, &older.boot) == (&newer.instance, &newer.boot));

    let mut releases = Places::new(against.documents);
    let mut joined = Joined::default();
    let mut heard = HashSet::new();
    // Who cannot tell its instance is a host by its boot.
    for boots in reports.chunk_by(|a, b| a.instance.is_some() && a.instance == b.instance) {
        let Some(newest) = boots.iter().max_by_key(|seen| (seen.time, &seen.boot)) else {
            continue;
        };
        let known = newest.instance.as_deref().map(|id| {
            let known = against.inventory.map(|inventory| inventory.get(id));
            (id, known)
        });
        let is_fresh = newest.is_fresh(against.now, against.silent_after);
        let instance = match known {
            Some((id, Some(Some(instance)))) if instance.running => {
                heard.insert(id);
                Some(instance)
            }
            // The inventory says that it has ended, or is about to.
            Some((_, Some(Some(_)))) => {
                joined.gone += 1;
                continue;
            }
            _ if !is_fresh => {
                joined.gone += 1;
                continue;
            }
            _ => None,
        };
        let expected = instance.is_some() || against.inventory.is_none();
        let host = one(
            boots,
            newest,
            instance,
            expected,
            is_fresh,
            &mut releases,
            against,
        );
        joined.hosts.push(host);
    }
    let running = against
        .inventory
        .iter()
        .flat_map(|inventory| inventory.running());
    let unheard = running.filter(|(id, _)| !heard.contains(id));
    let unheard: Vec<Host> = unheard
        .map(|(id, instance)| never(id, instance, against))
        .collect();
    joined.hosts.extend(unheard);
    joined
        .hosts
        .sort_unstable_by(|a, b| (a.state, &a.id).cmp(&(b.state, &b.id)));
    joined
}

fn one(
    boots: &[Seen],
    newest: &Seen,
    instance: Option<&Instance>,
    expected: bool,
    is_fresh: bool,
    releases: &mut Places<'_>,
    against: &Against<'_>,
) -> Host {
    let placed = newest.running.as_ref().map(|running| releases.of(running));
    let mut judged = judge(newest, placed.as_deref());
    if let Some(why) = two_hosts(boots, against) {
        judged = worse(judged, (State::Cloned, Some(why)));
    }
    if !expected {
        let why = match &newest.instance {
            Some(_) => "it is not in the inventory",
            None => "it does not say which instance it is",
        };
        judged = worse((State::Unknown, Some(why.into())), judged);
    }
    if !is_fresh {
        let age = duration(against.now.saturating_sub(newest.time));
        let last = judged.0.name();
        judged = (
            State::Silent,
            Some(format!("no report for {age}; it was {last}").into()),
        );
    }
    let behind = placed.as_ref().and_then(|placed| placed.behind);
    let old = placed
        .as_ref()
        .and_then(|placed| old_document(newest, placed));
    if let Some(old) = &old {
        let before = judged.1.map(|why| format!("{why}; ")).unwrap_or_default();
        judged.1 = Some(format!("{before}{old}").into());
    }
    Host {
        id: match &newest.instance {
            Some(id) => id.clone(),
            None => format!("boot {}", newest.boot).into(),
        },
        name: instance.and_then(|instance| instance.name.clone()),
        state: judged.0,
        reason: judged.1,
        image: newest.running.as_ref().map(|running| running.image.clone()),
        version: placed.as_ref().map(|placed| placed.version.clone()),
        region: newest
            .region
            .as_deref()
            .map(Box::from)
            .or_else(|| instance.and_then(|instance| instance.region.clone())),
        asg: instance.and_then(|instance| instance.asg.clone()),
        reported: Some(newest.time),
        booted: newest.booted,
        behind: behind.map(|(releases, _)| releases),
        behind_since: behind.map(|(_, since)| since),
        listed: placed.as_ref().is_some_and(|placed| placed.listed),
        latest: placed.as_ref().is_some_and(|placed| placed.latest),
        channel_behind: old.is_some(),
    }
}

/// Seconds that a host may take to fetch a document that was published: it looks each five minutes, and reports
/// later.
const FETCHING: u64 = 20 * 60;

/// Describes the older document of its channel that a host follows, although it had the time to fetch the newest.
fn old_document(seen: &Seen, placed: &Placed) -> Option<String> {
    let (found, (published, issued)) = (seen.counter?, placed.document?);
    let is_old = found < published && issued.saturating_add(FETCHING) <= seen.time;
    is_old.then(|| {
        format!("it follows document {found} of the channel, and {published} is published")
    })
}

/// The worst of what a host says of itself and of where it stands.
fn judge(seen: &Seen, placed: Option<&Placed>) -> Judged {
    let stands = match placed {
        Some(placed) => placed.judged.clone(),
        None => (
            State::Unknown,
            Some("it does not say which image it runs".into()),
        ),
    };
    match &seen.own {
        Some((state, why)) => worse(stands, (*state, Some(why.clone()))),
        None => stands,
    }
}

/// Returns the reason, if two hosts send reports in the name of one instance: two boots, both of which go on.
fn two_hosts(boots: &[Seen], against: &Against<'_>) -> Option<Box<str>> {
    let mut fresh: Vec<&Seen> = boots
        .iter()
        .filter(|seen| seen.is_fresh(against.now, against.silent_after))
        .collect();
    // By when they began: an overlap there is, is one of a boot with the one that lasted longest before it.
    fresh.sort_unstable_by_key(|seen| seen.booted.unwrap_or(seen.time));
    let mut longest: Option<&Seen> = None;
    for seen in fresh {
        if let Some(before) = longest {
            let began = seen.booted.unwrap_or(seen.time);
            if began.saturating_add(OVERLAP) < before.time
                && began.saturating_add(OVERLAP) < seen.time
            {
                let (one, other) = (&before.boot, &seen.boot);
                return Some(format!("two hosts claim it: boots {one} and {other}").into());
            }
        }
        if longest.is_none_or(|before| before.time < seen.time) {
            longest = Some(seen);
        }
    }
    None
}

/// A host that the inventory has, and nothing else. One that was launched just now had no time to say anything.
fn never(id: &str, instance: &Instance, against: &Against<'_>) -> Host {
    let age = instance
        .launched
        .map(|launched| against.now.saturating_sub(launched));
    let (state, reason) = match age.filter(|age| *age < against.silent_after) {
        Some(age) => (
            State::Unknown,
            format!(
                "it was launched {} ago, and has not reported yet",
                duration(age)
            ),
        ),
        None => (State::Silent, "it never sent a report".to_owned()),
    };
    let release = instance
        .ami
        .as_deref()
        .and_then(|ami| against.documents.by_ami(ami));
    Host {
        id: id.into(),
        name: instance.name.clone(),
        state,
        reason: Some(reason.into()),
        image: release.map(|(image, _)| image.clone()),
        version: release.map(|(_, version)| version.clone()),
        region: instance.region.clone(),
        asg: instance.asg.clone(),
        reported: None,
        booted: None,
        behind: None,
        behind_since: None,
        listed: release.is_some(),
        latest: false,
        channel_behind: false,
    }
}

#[cfg(test)]
mod tests;
