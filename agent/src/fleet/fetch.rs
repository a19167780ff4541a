//! The stage `fetch`: brings the channel that the image names, and what is published for this very host
//! beside it. That is a break-glass grant.
//!
//! It speaks to the network, and so it is a process of its own, of a user of its own that may do nothing
//! else. It believes nothing of what it brings, and decides nothing: whoever takes it up checks the
//! signature, and what it is bound to. The worst that a hostile server, or whoever gets this process into his
//! hands, can do is to bring nothing.

use std::{fs, io, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, anyhow};
use earmark_manifest::{declaration::Location, envelope::Envelope, grant::InstanceName, limits};
use earmark_scan::Root;

use crate::{
    boot::policy::Policy,
    cli::FetchArgs,
    exit::Exit,
    platform::instance,
    status::record,
    transport::{Remote, Trouble},
};

/// Runtime directory of fetched documents. The service manager makes it; `earmark-follow` and `earmark-grants` read it.
const DIRECTORY: &str = "run/earmark-fetch";
const GRANT: &str = "grant.json";
const CHANNEL: &str = "channel.json";

/// Fetches once.
pub fn run(args: &FetchArgs) -> Result<ExitCode> {
    let root = Root::open(&args.root)?;
    let policy = Policy::of(&root);
    let Some(declaration) = policy.declaration() else {
        complain!("earmark-agent: nothing is fetched: {}", policy.reason());
        return Ok(Exit::Undecided.into());
    };
    let Some(channel) = &declaration.channel else {
        complain!("earmark-agent: nothing is fetched: the image names no channel");
        return Ok(Exit::Done.into());
    };
    let remote = Remote::new(&root, instance::role(&root));
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build();
    runtime
        .context("failed to start the runtime")?
        .block_on(async {
            // The one must not keep the other away.
            let channel_came = bring_channel(&root, &remote, &channel.url).await;
            let grant_came = bring_grant(&root, &remote, &channel.url).await;
            if let (Err(error), Err(_)) = (&channel_came, &grant_came) {
                complain!("earmark-agent: {error:#}");
            }
            grant_came.and(channel_came)
        })?;
    Ok(Exit::Done.into())
}

/// Fetches the channel document. If nothing comes, the old file stays: its age then says for how long.
async fn bring_channel(root: &Root, remote: &Remote<'_>, channel: &Location) -> Result<()> {
    let url = channel.as_str();
    let found = remote.get(channel.place(), limits::CHANNEL).await;
    // A channel that is gone is an error: whoever may write to the bucket could have taken it away.
    let bytes = found
        .and_then(|found| found.ok_or_else(|| Trouble::Lasting("no such document".to_owned())))
        .map_err(|trouble| anyhow!("failed to fetch '{url}': {trouble}"))?;
    keep(root, CHANNEL, &bytes)?;
    tell!("fetched '{url}'");
    Ok(())
}

async fn bring_grant(root: &Root, remote: &Remote<'_>, channel: &Location) -> Result<()> {
    let instance = instance(root)?;
    let place = channel.beneath(&format!("grants/{instance}.json"));
    let found = remote.get(&place, limits::ENVELOPE).await;
    match found.map_err(|trouble| anyhow!("failed to fetch '{place}': {trouble}"))? {
        // Gone at the server, it is removed here. A lock that it opened stays open: the envelope is on record.
        None => remove(root),
        Some(bytes) => {
            // Not whether it is believed, but whether it is worth a look.
            Envelope::parse(&bytes)
                .with_context(|| format!("the document at '{place}' is not a grant"))?;
            keep(root, GRANT, &bytes)?;
            tell!("fetched '{place}'");
            Ok(())
        }
    }
}

/// Returns this instance's name, as the public record has it.
///
/// The background service may write there, too, and it becomes a part of a request: it is a name and nothing else, so that
/// no other object is asked for. A grant of another instance opens nothing here.
fn instance(root: &Root) -> Result<InstanceName> {
    // Not from the metadata service: this unit may not ask it (IPAddressDeny=).
    let status = record::read(root)?.context("no verification of this host is on record")?;
    let name = status
        .instance
        .context("the id of this instance is not on record")?;
    name.parse()
        .context("the id of this instance on record is invalid")
}

fn place(root: &Root, name: &str) -> PathBuf {
    root.path().join(DIRECTORY).join(name)
}

/// Whole or not at all. It lies in memory, as long as this boot.
fn keep(root: &Root, name: &str, bytes: &[u8]) -> Result<()> {
    let (new, path) = (place(root, &format!(".{name}.new")), place(root, name));
    fs::write(&new, bytes)
        .and_then(|()| fs::rename(&new, &path))
        .with_context(|| format!("failed to write '{}'", path.display()))
}

fn remove(root: &Root) -> Result<()> {
    let path = place(root, GRANT);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove '{}'", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use earmark_scan::Report;

    use super::*;
    use crate::testing::TestRoot;

    #[test]
    fn recorded_instance_that_is_no_name_becomes_no_part_of_a_request() {
        let root = TestRoot::bare();
        let recorded = |name: &str| {
            let report = Report::undecided("nothing".to_owned());
            record::keep(&root.open(), &report, Some(name.to_owned()), Vec::new()).unwrap();
            instance(&root.open()).map(|name| name.to_string())
        };
        let good = "i-0123456789abcdef0";
        assert_eq!(recorded(good).unwrap(), good);
        for bad in [
            "../channel",
            "i-0123456789abcdef0?x",
            "i-0123456789abcdef0#",
            "",
        ] {
            assert!(recorded(bad).is_err(), "{bad}");
        }
    }
}
