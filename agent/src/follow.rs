//! The stage `follow`: where this host stands by the channel that its image names.
//!
//! Data flows one way: what was fetched -> signature -> this image, this channel -> not older than what was
//! seen -> kept -> where this host stands -> told. Protects against a document that nobody with the purpose
//! `channel` signed, of another image or channel, or older than one that was seen, also before a reboot. Does not
//! protect against somebody who keeps newer documents away: that is told, with the age of what is known. Nothing
//! in here fails a boot.

mod judge;
mod kept;

use std::{process::ExitCode, time::UNIX_EPOCH};

use anyhow::{Context, Result};
use earmark_manifest::{
    declaration::ChannelUrl, limits, name::ChannelName, path::ImagePath,
    verify::VerifiedDeclaration,
};
use earmark_scan::{Root, seal};

pub use self::judge::Following;
use self::{
    judge::{Brought, Host},
    kept::Store,
};
use crate::{cli::FollowArgs, exit::Exit, host, policy::Policy, record, state::StateDirectory};

/// Where what was fetched lies.
const FETCHED: &str = "/run/earmark-fetch/channel.json";

/// Looks once at what was fetched, keeps what is believed, and tells where this host stands.
pub fn run(args: &FollowArgs) -> Result<ExitCode> {
    let root = Root::open(&args.root)?;
    let policy = Policy::of(&root);
    let Some(declared) = policy.declared() else {
        eprintln!("earmark-agent: no channel is followed: {}", policy.reason());
        return Ok(Exit::Undecided.into());
    };
    let Some(url) = &declared.declaration().channel else {
        eprintln!("earmark-agent: no channel is followed: the image names none");
        return Ok(Exit::Done.into());
    };
    // Two at once would each keep a document that the other has not seen.
    let turn = StateDirectory::open_private(&root)?;
    turn.wait_long();
    let following = look(&root, declared, url)?;
    record::keep_channel(&root, following.clone())?;
    tell(&following);
    Ok(Exit::Done.into())
}

fn look(root: &Root, declared: &VerifiedDeclaration, url: &ChannelUrl) -> Result<Following> {
    let trust = seal::read_trust(root)?;
    let image = &declared.statement().image;
    let name = name(url);
    let host = Host {
        trust: &trust,
        image: &image.name,
        channel: name.as_ref(),
        manifest: declared.digest(),
        epoch: image.epoch,
        time: host::time().context("the clock of this host is before 1970")?,
    };
    let store = Store::read(root)?;
    for damaged in &store.damaged {
        eprintln!("earmark-agent: {damaged}: the other copy is what is followed");
    }
    let before = store.kept.clone();
    let (kept, problem) = judge::take(brought(root)?, before.clone(), &host);
    if let Some(kept) = kept.as_ref().filter(|kept| before.as_ref() != Some(kept)) {
        store.write(root, kept)?;
    }
    Ok(judge::stand(kept.as_ref(), problem, &host))
}

/// What was fetched in this boot, and when.
fn brought(root: &Root) -> Result<Option<Brought>> {
    let path = ImagePath::from_absolute(FETCHED.as_bytes())?;
    let Some(bytes) = root.read_opt(&path, limits::CHANNEL)? else {
        return Ok(None);
    };
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

/// Which channel a URL is of: `stable` for `.../stable.json`. A URL that does not say may be of any.
fn name(url: &ChannelUrl) -> Option<ChannelName> {
    let path = url.as_str().split(['?', '#']).next()?;
    path.rsplit('/').next()?.strip_suffix(".json")?.parse().ok()
}

/// A line for the journal.
fn tell(following: &Following) {
    if let Some(problem) = &following.problem {
        eprintln!("earmark-agent: channel: {problem}");
    }
    println!("channel: {following}");
}
