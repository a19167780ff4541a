//! The stage `follow`: where this host stands by the channel that its image names.
//!
//! Data flows one way: what was fetched -> signature -> this image, this channel -> not older than what was
//! seen -> kept -> where this host stands -> told, and what the image declares for it is done. Protects against a document that nobody with the purpose
//! `channel` signed, of another image or channel, or older than one that was seen, also before a reboot. Does not
//! protect against somebody who keeps newer documents away: that is told, with the age of what is known. Nothing
//! in here fails a boot.

mod judge;
mod kept;
mod react;

use std::{process::ExitCode, time::UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use earmark_manifest::{
    crypto,
    declaration::{Channel, Location, Platform, Reaction},
    limits,
    name::ChannelName,
    path::ImagePath,
    verify::VerifiedDeclaration,
};
use earmark_scan::{Root, seal};

use self::{
    judge::{Brought, Host},
    kept::{Kept, Store},
    react::Moment,
};
use crate::{
    boot::policy::Policy,
    cli::FollowArgs,
    exec::live,
    exit::Exit,
    host::{self, state::StateDirectory},
    platform,
    status::{
        model::{ChannelState, ChannelStatus},
        record,
    },
};

/// Path of the channel document that was fetched.
const FETCHED: &str = "/run/earmark-fetch/channel.json";

/// Looks once at what was fetched, keeps what is believed, and tells where this host stands.
pub fn run(args: &FollowArgs) -> Result<ExitCode> {
    let root = Root::open(&args.root)?;
    let policy = Policy::of(&root);
    let Some(declared) = policy.declared() else {
        complain!("earmark-agent: no channel is followed: {}", policy.reason());
        return Ok(Exit::Undecided.into());
    };
    let Some(channel) = &declared.declaration().channel else {
        complain!("earmark-agent: no channel is followed: the image names none");
        return Ok(Exit::Done.into());
    };
    // Two at once would each keep a document that the other has not seen.
    let turn = StateDirectory::open_private(&root)?;
    turn.wait_long();
    let before = record::read(&root)?.and_then(|status| status.channel);
    let following = look(&root, declared, channel)?;
    record::keep_channel(&root, following.clone())?;
    tell(&following, before.as_ref());
    Ok(Exit::Done.into())
}

fn look(root: &Root, declared: &VerifiedDeclaration, channel: &Channel) -> Result<ChannelStatus> {
    let trust = seal::read_trust(root)?;
    let image = &declared.statement().image;
    let name = name(&channel.url);
    let host = Host {
        trust: &trust,
        image: &image.name,
        channel: name.as_ref(),
        manifest: declared.digest(),
        epoch: image.epoch,
        floor: floor(root, channel)?,
        // By a clock at 1970 no document would ever be expired.
        time: host::time().context("the clock of this host was never set")?,
    };
    let store = Store::read(root)?;
    for damaged in &store.damaged {
        complain!("earmark-agent: {damaged}: using the other copy");
    }
    let before = store.kept.clone();
    let (mut kept, mut problem) = judge::take(brought(root)?, before.clone(), &host);
    let state = judge::stand(kept.as_ref(), None, &host).state;
    let due = kept
        .as_mut()
        .is_some_and(|kept| is_due(root, kept, state, channel, &host));
    if let Some(kept) = kept.as_ref().filter(|kept| before.as_ref() != Some(kept)) {
        store.write(root, kept)?;
    }
    if due && let Err(error) = act(root, react::reaction(channel, state)) {
        problem = Some(format!("{error:#}"));
        // It is tried again at the next look.
        if let Some(kept) = &mut kept {
            kept.pending.iter_mut().for_each(|it| it.done = None);
            // Read anew: the write before this one used up its turn, and the copy with the higher turn counts.
            Store::read(root)?.write(root, kept)?;
        }
    }
    Ok(judge::stand(kept.as_ref(), problem, &host))
}

/// The lowest counter that is believed: that of the floor, which outlives a state that was deleted, or of the declaration.
fn floor(root: &Root, channel: &Channel) -> Result<u64> {
    Ok(seal::read_floor(root)?.channel.max(channel.at_least))
}

/// Decides what is to be done and when. If that is now, it counts as done from here on: it is on the disk before
/// it happens, since what halts a host must not halt it at each start.
fn is_due(
    root: &Root,
    kept: &mut Kept,
    state: ChannelState,
    channel: &Channel,
    host: &Host<'_>,
) -> bool {
    let moment = Moment {
        host: &this_host(root),
        manifest: host.manifest,
        // Without randomness there is no jitter; the turn that follows from the host's name still spreads the fleet.
        chance: crypto::random().map(u64::from_ne_bytes).unwrap_or_default(),
        time: host.time,
    };
    kept.pending = react::decide(kept.pending.take(), state, channel, &moment);
    let due = kept.pending.as_mut().filter(|it| it.is_due(host.time));
    due.is_some_and(|pending| {
        pending.done = Some(host.time);
        true
    })
}

/// Does what is declared: starts a unit of the image, which says itself what it may.
fn act(root: &Root, reaction: &Reaction) -> Result<()> {
    let done = match reaction {
        Reaction::Report => Ok(()),
        Reaction::Start(unit) => live::start_unit(root, unit),
        Reaction::Halt => {
            let words = [
                "start",
                // Not waited for: the shutdown stops this very unit.
                "--no-block",
                // As `systemctl poweroff` does: a unit started meanwhile could else replace the shutdown's jobs.
                "--job-mode=replace-irreversibly",
                "poweroff.target",
            ];
            live::systemctl(root, &words.map(str::to_owned))
        }
    };
    done.map_err(|problem| anyhow!("failed to {reaction}: {problem}"))
}

/// Returns a name that distinguishes this host from others: its instance, else the boot id, which lasts
/// only as long as this boot.
fn this_host(root: &Root) -> String {
    // By root's word: whoever could choose it would choose when this host acts.
    let of = |platform| platform::instance_name(root, platform);
    let named = of(Platform::Ec2).or_else(|| of(Platform::File));
    let named = named.map(|name| name.to_string());
    named.or_else(host::boot_id).unwrap_or_default()
}

/// Reads the document that was fetched in this boot, and its modification time; `None` if there is none.
fn brought(root: &Root) -> Result<Option<Brought>> {
    let path = ImagePath::from_absolute(FETCHED.as_bytes())?;
    let Some(bytes) = root.read_opt(&path, limits::CHANNEL)? else {
        return Ok(None);
    };
    // The age of the news is the file's: where nothing comes, earmark-fetch leaves the old one as it is.
    let (file, _) = root.open_regular(&path)?;
    let time = file
        .metadata()
        .and_then(|metadata| metadata.modified())
        .with_context(|| format!("failed to look at '{path}'"))?;
    let time = time
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    Ok(Some(Brought { bytes, time }))
}

/// Returns the channel's name from a URL: `stable` for `.../stable.json`. A URL without one may be of any channel.
fn name(url: &Location) -> Option<ChannelName> {
    let document = url.as_str().rsplit('/').next()?;
    document.strip_suffix(".json")?.parse().ok()
}

/// A line for the journal, if it says something that was not said before.
fn tell(following: &ChannelStatus, before: Option<&ChannelStatus>) {
    if let Some(problem) = &following.problem
        && before.is_none_or(|before| before.problem.as_ref() != Some(problem))
    {
        complain!("earmark-agent: channel: {problem}");
    }
    if before.is_none_or(|before| before.to_string() != following.to_string()) {
        tell!("channel: {following}");
    }
}

#[cfg(test)]
mod tests;
