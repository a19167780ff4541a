//! Judgement of a channel document by a host. Pure: no clock, no file.

use std::fmt;

use earmark_manifest::{
    channel::{Standing, VerifiedChannel, verify_channel},
    digest::ManifestDigest,
    name::{ChannelName, ImageName},
    trust::Trust,
};

use super::kept::Kept;
use crate::{
    host::utc,
    status::model::{ChannelState, ChannelStatus},
};

/// Age in seconds beyond which a fetched document is stale: three times of fetching, and some delay.
const SILENCE: u64 = 20 * 60;
/// By how much the clocks of a host and of a signer may differ.
const AHEAD: u64 = 3_600;

/// Values of this host that a document is checked against.
#[derive(Debug)]
pub struct Host<'a> {
    pub trust: &'a Trust,
    pub image: &'a ImageName,
    /// Name of the channel, if the URL says.
    pub channel: Option<&'a ChannelName>,
    pub manifest: ManifestDigest,
    pub epoch: u64,
    /// The lowest counter of a document that the image believes.
    pub floor: u64,
    /// In seconds since 1970.
    pub time: u64,
}

/// By how much a counter may go up at once, from the floor or the document that is followed. A channel that changes
/// each five minutes takes nine years for it; a counter near the end of its range would otherwise keep every later
/// document away for ever.
pub const STEP: u64 = 1_000_000;

/// Document that was fetched, as it was found.
#[derive(Debug)]
pub struct Brought {
    pub bytes: Vec<u8>,
    /// Time at which it was fetched, in seconds since 1970.
    pub time: u64,
}

/// Holds what was brought against what is kept: the document to follow from now on, and why not the one that was
/// brought, if so.
pub fn take(
    brought: Option<Brought>,
    kept: Option<Kept>,
    host: &Host<'_>,
) -> (Option<Kept>, Option<String>) {
    // What was kept is believed no more than what comes: it lay on a disk.
    let (known, lost) = match kept {
        None => (None, None),
        Some(kept) => match believed(kept.document.as_bytes(), host) {
            Ok(verified) => (Some((kept, verified)), None),
            Err(why) => (None, Some(format!("the stored document is refused: {why}"))),
        },
    };
    let Some(brought) = brought else {
        return (known.map(|(kept, _)| kept), lost);
    };
    let new = believed(&brought.bytes, host).and_then(|new| match &known {
        // Of one counter only the same bytes: with two documents of it, hosts would go back and forth.
        Some((_, known)) => new
            .after(known.seen())
            .map_err(|refusal| refusal.to_string()),
        // A host without state knows no counter. The floor is all that keeps old documents from it.
        None => Ok(new),
    });
    let from = known
        .as_ref()
        .map_or(0, |(_, known)| known.channel().counter);
    let new = new.and_then(|new| refuse_jump(new, from.max(host.floor)));
    match (new, known) {
        (Err(why), known) => (known.map(|(kept, _)| kept), Some(why)),
        (Ok(_), known) => {
            let known = known.map(|(kept, _)| kept);
            let fetched = known.as_ref().map_or(0, |kept| kept.fetched);
            // Whoever fetches may date a file ahead, or had a clock that was: it would be stale news until then.
            let fetched = fetched.max(brought.time.min(host.time));
            let pending = known.and_then(|kept| kept.pending);
            // It was parsed, and so is text.
            let document = String::from_utf8_lossy(&brought.bytes).into_owned();
            let kept = Kept {
                document,
                fetched,
                pending,
            };
            (Some(kept), lost)
        }
    }
}

fn believed(document: &[u8], host: &Host<'_>) -> Result<VerifiedChannel, String> {
    let verified = verify_channel(document, host.trust)
        .and_then(|verified| verified.of_image(host.image))
        .and_then(|verified| match host.channel {
            Some(name) => verified.named(name),
            None => Ok(verified),
        });
    let verified = verified.map_err(|refusal| refusal.to_string())?;
    let (found, floor) = (verified.channel().counter, host.floor);
    if found < floor {
        return Err(format!(
            "rollback refused: counter {found} is lower than {floor}, the floor of this image; next: publish \
             the newest document of the channel"
        ));
    }
    Ok(verified)
}

fn refuse_jump(new: VerifiedChannel, from: u64) -> Result<VerifiedChannel, String> {
    let found = new.channel().counter;
    if found.saturating_sub(from) > STEP {
        return Err(format!(
            "counter {found} refused: it is more than {STEP} higher than {from}, the last one known; next: publish \
             a document with the right counter, or bake an image with [channel] at_least"
        ));
    }
    Ok(new)
}

/// Returns the host's standing by the document that is kept.
pub fn stand(kept: Option<&Kept>, problem: Option<String>, host: &Host<'_>) -> ChannelStatus {
    let followed = kept.and_then(|kept| {
        let verified = believed(kept.document.as_bytes(), host).ok()?;
        Some((kept.fetched, verified))
    });
    let Some((fetched, verified)) = followed else {
        return ChannelStatus {
            state: ChannelState::Unreachable,
            behind: None,
            since: None,
            reason: None,
            latest: None,
            counter: None,
            expires: None,
            fetched: None,
            problem,
            pending: None,
        };
    };
    let channel = verified.channel();
    let standing = channel.standing(&host.manifest, host.epoch);
    let expires = channel.time.expires();
    let state = match &standing {
        // Before any question of age: who keeps newer documents away must not lift a revocation by it.
        Standing::Revoked { .. } => ChannelState::Revoked,
        _ if expires <= host.time => ChannelState::Expired,
        _ if host.time.saturating_sub(fetched) > SILENCE => ChannelState::Unreachable,
        // When it was fetched is the host's own note: a time to come would stay news for ever.
        _ if fetched.saturating_sub(host.time) > AHEAD => ChannelState::Unreachable,
        Standing::Current => ChannelState::Current,
        Standing::Behind { .. } => ChannelState::Behind,
        Standing::Unlisted => ChannelState::Unlisted,
    };
    let (behind, since, reason) = match standing {
        Standing::Behind { releases, since } => (Some(releases), Some(since), None),
        Standing::Revoked { reason } => (None, None, Some(reason)),
        Standing::Current | Standing::Unlisted => (None, None, None),
    };
    // A revoked release is none to run, and least of all where it is what this host runs.
    let latest = channel.releases.latest();
    let latest = latest.filter(|latest| latest.revoked.is_none());
    // It is followed all the same: a clock that is wrong must not keep a revocation away.
    let problem = problem.or_else(|| {
        let ahead = channel.time.issued().saturating_sub(host.time);
        let says =
            || "it was issued in the future: the clock of this host, or its signer's, is wrong";
        (ahead > AHEAD).then(|| says().to_owned())
    });
    ChannelStatus {
        state,
        behind,
        since,
        reason,
        latest: latest.map(|latest| latest.version.to_string()),
        counter: Some(channel.counter),
        expires: Some(expires),
        fetched: Some(fetched),
        problem,
        pending: kept.and_then(|kept| kept.pending.clone()),
    }
}

impl fmt::Display for ChannelStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.state {
            ChannelState::Current => f.write_str("current")?,
            ChannelState::Behind => write!(f, "behind by {}", self.behind.unwrap_or_default())?,
            ChannelState::Revoked => {
                write!(f, "REVOKED: {}", self.reason.as_deref().unwrap_or("-"))?;
            }
            ChannelState::Unlisted => {
                f.write_str("unlisted: this release is not in the channel")?;
            }
            ChannelState::Expired => {
                f.write_str("expired: the last known document of the channel has expired")?;
            }
            ChannelState::Unreachable => match self.fetched {
                Some(time) => write!(f, "unreachable: last seen {}", utc(time))?,
                None => f.write_str("unreachable: no document was ever accepted")?,
            },
        }
        if let Some(pending) = &self.pending {
            match pending.done {
                Some(time) => write!(f, "; {}: done {}", pending.action, utc(time))?,
                None => write!(f, "; {}: at {}", pending.action, utc(pending.at))?,
            }
        }
        match &self.latest {
            Some(latest) if self.state != ChannelState::Current => {
                write!(f, "; hosts should run {latest}")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
