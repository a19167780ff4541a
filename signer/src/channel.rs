//! Release channels as `earmark channel` keeps them: read, changed by one step, signed, written.
//!
//! Data flows one way: a document is read from where it is kept, verified, changed by one of `edit`'s
//! steps, signed, and written only if what was read is still what is there.

pub mod edit;
mod packer;
mod shown;
mod store;

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use earmark_manifest::{
    channel::{Channel, ChannelRefusal, VerifiedChannel, verify_channel},
    name::ImageVersion,
    trust::{Purpose, Trust, TrustedKey, public_pem},
};

pub use self::{
    packer::Artifacts,
    shown::{Change, Shown, Signatures},
    store::{Found, Location, Written},
};
use crate::{
    exit::{Exit, Exits, Failure, Outcome},
    keys::SigningKey,
};

/// Seconds since 1970, by this host.
pub fn now() -> Outcome<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    Ok(now
        .context("the clock of this host is before 1970")?
        .as_secs())
}

/// Believes in the keys that are at hand: who changes a channel signs what was in it, too, and must not sign
/// for somebody who can write there and has no key.
pub fn trust_of(keys: &[SigningKey]) -> Outcome<Trust> {
    let keys = keys.iter().map(|key| {
        let pem = public_pem(key.public());
        TrustedKey::from_pem(pem.as_bytes(), [Purpose::Channel].into())
    });
    let keys = keys.collect::<Result<_, _>>();
    let keys = keys.context("failed to use a key").exits(Exit::Usage)?;
    Trust::new(None, 1, keys)
        .context("failed to use the keys")
        .exits(Exit::Usage)
}

/// The document that was found there, if the trust file believes it.
pub fn verified(found: &Found, location: &Location, trust: &Trust) -> Outcome<VerifiedChannel> {
    verify_channel(found.bytes(), trust).map_err(|refusal| refused(location, &refusal))
}

/// Builds the failure for a document that is there and is not believed.
pub fn refused(location: &Location, refusal: &ChannelRefusal) -> Failure {
    let failure = Failure::new(Exit::NotVerified, format!("refused {location}: {refusal}"));
    match refusal {
        ChannelRefusal::Signatures { .. } => failure.next(
            "if other keys may sign the channel, name them: --trust FILE, with the purpose \
             'channel'",
        ),
        ChannelRefusal::Older { .. } => {
            failure.next("an old document was put back; check the history of the store")
        }
        ChannelRefusal::Envelope(_)
        | ChannelRefusal::Statement(_)
        | ChannelRefusal::Image { .. }
        | ChannelRefusal::Name { .. }
        | ChannelRefusal::Other { .. }
        | _ => failure,
    }
}

/// Builds the failure for a document that would be written and is not believed.
pub fn refused_own(refusal: &ChannelRefusal) -> Failure {
    let refused = format!("what would be written is refused by the trust file: {refusal}");
    Failure::new(Exit::NotVerified, refused)
        .next("give as many --key at once as its threshold says, each with the purpose 'channel'")
}

/// Refuses a document that is older than one that is known of.
pub fn not_before(channel: &Channel, counter: Option<u64>, location: &Location) -> Outcome<()> {
    let found = channel.counter;
    match counter {
        Some(seen) if found < seen => {
            let older = ChannelRefusal::Older { found, seen };
            Err(refused(location, &older))
        }
        _ => Ok(()),
    }
}

/// A release that the channel does not have.
fn unknown(version: &ImageVersion, known: impl Iterator<Item = String>) -> Failure {
    let known: Vec<String> = known.collect();
    let next = match known.as_slice() {
        [] => "it has none yet: earmark channel promote".to_owned(),
        known => format!("it has {}", known.join(", ")),
    };
    Failure::new(Exit::Usage, format!("the channel has no release {version}")).next(next)
}
