//! Extract of a report: enough to place its host, in a few hundred bytes, whatever was in it.

use std::{collections::HashSet, sync::Arc};

use earmark_manifest::{
    digest::ManifestDigest,
    report::{Report, Verdict},
};

use super::{
    identity::Certificates,
    state::{Judged, State},
};
use crate::io::output;

/// Seconds that another host's clock may be ahead of this host's.
const AHEAD: u64 = 300;
/// Characters that are shown of a text of others, at most.
const TEXT: usize = 200;

/// A report that counts.
#[derive(Debug)]
pub struct Seen {
    /// Instance that sent it, if it can tell.
    pub instance: Option<Box<str>>,
    /// Of which boot.
    pub boot: Box<str>,
    /// Time of the report, in seconds since 1970.
    pub time: u64,
    /// Time at which the boot began, in seconds since 1970, if known.
    pub booted: Option<u64>,
    /// Release that it runs, if known.
    pub running: Option<Arc<Running>>,
    /// Region that it is in, if known.
    pub region: Option<Arc<str>>,
    /// The counter of the channel document that it follows.
    pub counter: Option<u64>,
    /// Worst state by its own word, and the reason; its position in the channel is apart. None, if nothing is wrong.
    pub own: Option<(State, Box<str>)>,
}

/// Release that a host says it runs. Many run the same, and share it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Running {
    pub image: Box<str>,
    pub version: Box<str>,
    pub epoch: u64,
    pub manifest: ManifestDigest,
}

/// Takes reports, one after another.
#[derive(Debug)]
pub struct Taker<'a> {
    now: u64,
    certificates: Option<&'a Certificates>,
    running: HashSet<Arc<Running>>,
    regions: HashSet<Arc<str>>,
}

impl<'a> Taker<'a> {
    /// At this time. With certificates only reports count whose identity one of them proves.
    pub fn new(now: u64, certificates: Option<&'a Certificates>) -> Self {
        Self {
            now,
            certificates,
            running: HashSet::new(),
            regions: HashSet::new(),
        }
    }

    /// Extracts the report of that name. An error says why it does not count, and is safe to show.
    pub fn take(&mut self, name: &str, bytes: &[u8]) -> Result<Seen, String> {
        let report =
            Report::parse(bytes).map_err(|error| shown(&error.to_string()).into_string())?;
        if report.name() != name {
            return Err("its name does not match its content".to_owned());
        }
        if report.time > self.now + AHEAD {
            let ahead = duration(report.time - self.now);
            return Err(format!("its time is {ahead} in the future"));
        }
        let mut region = report.ec2.as_ref().and_then(|ec2| ec2.region.clone());
        if let Some(certificates) = self.certificates {
            // What the report says beside the document, anybody could have written.
            region = certificates
                .check(&report)
                .map_err(|error| error.to_string())?;
        }
        let running = match (&report.image, &report.manifest) {
            (Some(image), Some(manifest)) => {
                let manifest = ManifestDigest::from_prefixed(manifest);
                let manifest = manifest.map_err(|error| format!("manifest: {error}"))?;
                Some(share(
                    &mut self.running,
                    Running {
                        image: image.name.as_str().into(),
                        version: image.version.as_str().into(),
                        epoch: image.epoch,
                        manifest,
                    },
                ))
            }
            _ => None,
        };
        let region = region.map(|region| {
            let region: Arc<str> = shown(&region).into();
            share_text(&mut self.regions, region)
        });
        Ok(Seen {
            counter: report.channel.as_ref().and_then(|channel| channel.counter),
            own: own(&report),
            instance: report
                .instance
                .as_ref()
                .map(|instance| instance.as_str().into()),
            boot: report.boot_id.as_str().into(),
            time: report.time,
            booted: report.booted,
            running,
            region,
        })
    }
}

impl Seen {
    /// Returns whether it was sent in the last `silent_after` seconds.
    pub fn is_fresh(&self, now: u64, silent_after: u64) -> bool {
        self.time.saturating_add(silent_after) >= now
    }
}

/// Returns the worst that is wrong with a host by its own word, and the reason.
fn own(report: &Report) -> Option<(State, Box<str>)> {
    let reason = |otherwise: &str| {
        let reason = report.reason.as_deref().filter(|reason| !reason.is_empty());
        shown(reason.unwrap_or(otherwise))
    };
    match report.verdict {
        Verdict::Violated => {
            let found = output::count(report.violations, "violation", "violations");
            return Some((State::Violated, reason(&found)));
        }
        // What could not be decided is never good.
        Verdict::Undecided => {
            let why = format!("undecided: {}", reason("no reason was reported"));
            return Some((State::Violated, why.into()));
        }
        Verdict::Verified | Verdict::Partial => {}
    }
    if let Some(other) = &report.cloned_from {
        let from = format!("its disk is that of {}", shown(other));
        return Some((State::Cloned, from.into()));
    }
    if let Some(taint) = report.taints.last() {
        let locks = taint.locks.join(", ");
        let mut why = match taint.kind.as_str() {
            "grant" => format!("a grant opened {locks}"),
            kind => format!("{kind} {locks}"),
        };
        let more = report.taints_more + report.taints.len() as u64 - 1;
        if more > 0 {
            why.push_str(&format!(", and {more} more"));
        }
        return Some((State::Tainted, shown(&why)));
    }
    if report.taints_more > 0 {
        let grants = output::count(report.taints_more, "taint", "taints");
        return Some((State::Tainted, grants.into()));
    }
    // A lock that its image denies, and that is not known to be shut by root's doing: whoever can open a socket must
    // not taint a host. What a grant opens is nobody's to excuse.
    let is_shut = |how: &str| matches!(how, "enforced" | "not-applicable");
    let is_told = |lock: &str, how: &str| {
        matches!(how, "unknown" | "not-enforced") && report.locks_told.contains(lock)
    };
    let mut locks = report.locks.iter();
    if let Some((lock, how)) = locks.find(|(lock, how)| !is_shut(how) && !is_told(lock, how)) {
        let why = format!("the lock {lock} is {how}");
        return Some((State::Tainted, shown(&why)));
    }
    if report.first_boot.as_deref() == Some("failed") {
        return Some((State::Unknown, "its first boot failed".into()));
    }
    None
}

/// The worse of two, which comes first.
pub fn worse(one: Judged, other: Judged) -> Judged {
    if other.0 < one.0 { other } else { one }
}

/// Text of others, safe to show and not at length.
pub fn shown(text: &str) -> Box<str> {
    let short: String = text.chars().take(TEXT).collect();
    let mut safe = output::plain(&short);
    if short.len() < text.len() {
        safe.push('…');
    }
    safe.into()
}

/// A length of time, in its largest unit.
pub fn duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn share(all: &mut HashSet<Arc<Running>>, one: Running) -> Arc<Running> {
    if let Some(known) = all.get(&one) {
        return Arc::clone(known);
    }
    let one = Arc::new(one);
    all.insert(Arc::clone(&one));
    one
}

fn share_text(all: &mut HashSet<Arc<str>>, one: Arc<str>) -> Arc<str> {
    if let Some(known) = all.get(&one) {
        return Arc::clone(known);
    }
    all.insert(Arc::clone(&one));
    one
}

#[cfg(test)]
mod tests;
