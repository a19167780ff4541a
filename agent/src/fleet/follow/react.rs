//! Reaction of a host to its standing in the channel, and its time. Pure: no clock, no file.
//!
//! A document that is wrong must not take a fleet down at once, and hosts do not ask each other. So each host
//! waits for a time of its own, which follows from its name and is spread evenly: of all that learn of something
//! together, no more than the declared share acts in an hour. A document that takes it back meanwhile is in time
//! for the rest of them. Does not protect against clocks that all jump ahead together.

use crate::status::model::{ChannelState, PendingReaction};
use earmark_manifest::{
    crypto,
    declaration::{Channel, Reaction},
    digest::ManifestDigest,
};

/// Host that decides, and the time.
#[derive(Debug)]
pub struct Moment<'a> {
    /// Name of this host, which decides when its turn is.
    pub host: &'a str,
    pub manifest: ManifestDigest,
    /// A number by chance.
    pub chance: u64,
    /// In seconds since 1970.
    pub time: u64,
}

/// Returns the declared reaction to `Behind` or `Revoked`; any other state is only reported.
pub const fn reaction(channel: &Channel, state: ChannelState) -> &Reaction {
    match state {
        ChannelState::Behind => &channel.on_behind,
        ChannelState::Revoked => &channel.on_revoked,
        // What is over, or not news any more, moves nobody.
        ChannelState::Current
        | ChannelState::Unlisted
        | ChannelState::Expired
        | ChannelState::Unreachable => &Reaction::Report,
    }
}

/// Returns the reaction that is pending from now on. One that was decided before stays, as long as its reason does.
pub fn decide(
    before: Option<PendingReaction>,
    state: ChannelState,
    channel: &Channel,
    moment: &Moment<'_>,
) -> Option<PendingReaction> {
    let reaction = reaction(channel, state);
    if *reaction == Reaction::Report {
        return None;
    }
    let action = reaction.to_string();
    let percent = channel.share.percent();
    // One more: it is a divisor, and the declaration may say 0.
    let jitter = channel.jitter.duration().as_secs().saturating_add(1);
    // A turn later than any that could have been decided would put the reaction off for ever: the record
    // of it lies on the disk, unsigned.
    let latest = moment
        .time
        .saturating_add(window(percent))
        .saturating_add(jitter);
    let is_kept = |it: &PendingReaction| {
        let is_same = it.state == state && it.action == action;
        // What was done stays done, also for a clock that went back: a host must not halt at each start.
        is_same && (it.done.is_some() || it.at <= latest)
    };
    if let Some(before) = before.filter(is_kept) {
        return Some(before);
    }
    let turn = turn(moment, state, percent);
    let wait = turn.saturating_add(moment.chance % jitter);
    Some(PendingReaction {
        state,
        action,
        at: moment.time.saturating_add(wait),
        done: None,
    })
}

impl PendingReaction {
    /// Returns whether it is to be done now.
    pub const fn is_due(&self, time: u64) -> bool {
        self.done.is_none() && self.at <= time
    }
}

/// The hours that all hosts take together, in seconds.
fn window(percent: u64) -> u64 {
    // The declaration admits 1 to 100; a division by 0 would abort the program.
    3_600_u64.saturating_mul(100) / percent.max(1)
}

/// Returns this host's turn, in seconds from the beginning of the hours that all hosts take together.
fn turn(moment: &Moment<'_>, state: ChannelState, percent: u64) -> u64 {
    let window = window(percent);
    // Another release, another order: it is not always the same hosts that go first.
    let text = format!("{} {} {}", moment.host, moment.manifest, state.name());
    let digest = crypto::sha256(text.as_bytes());
    let number = digest.as_bytes().iter().take(8);
    let number = number.fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    number % window.max(1)
}

#[cfg(test)]
mod tests;
