//! The stage `fetch`: brings the channel that the image names, and what is published for this very host
//! beside it. That is a break-glass grant.
//!
//! It speaks to the network, and so it is a process of its own, of a user of its own that may do nothing
//! else. It believes nothing of what it brings, and decides nothing: whoever takes it up checks the
//! signature, and what it is bound to. The worst that a hostile server, or whoever gets this process into his
//! hands, can do is to bring nothing.

mod https;

use std::{fs, io, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail};
use earmark_manifest::{declaration::ChannelUrl, envelope::Envelope, limits, path::ImagePath};
use earmark_scan::Root;

use crate::{cli::FetchArgs, exit::Exit, policy::Policy, record};

/// Where it is left for who takes it up. The service manager makes it.
const DIRECTORY: &str = "run/earmark-fetch";
const GRANT: &str = "grant.json";
const CHANNEL: &str = "channel.json";

/// Fetches once.
pub fn run(args: &FetchArgs) -> Result<ExitCode> {
    let root = Root::open(&args.root)?;
    let policy = Policy::of(&root);
    let Some(declaration) = policy.declaration() else {
        eprintln!("earmark-agent: nothing is fetched: {}", policy.reason());
        return Ok(Exit::Undecided.into());
    };
    let Some(channel) = &declaration.channel else {
        eprintln!("earmark-agent: nothing is fetched: the image names no channel");
        return Ok(Exit::Done.into());
    };
    // The one must not keep the other away.
    let (channel, grant) = (bring_channel(&root, channel), bring_grant(&root, channel));
    channel?;
    grant?;
    Ok(Exit::Done.into())
}

/// What is there is kept if nothing comes: how old it is then says for how long.
fn bring_channel(root: &Root, channel: &ChannelUrl) -> Result<()> {
    let url = channel.as_str();
    let found = get(root, url, limits::CHANNEL);
    let bytes = found
        .and_then(|found| found.context("there is no document"))
        .with_context(|| format!("failed to fetch '{url}'"))?;
    keep(root, CHANNEL, &bytes)?;
    println!("fetched '{url}'");
    Ok(())
}

fn bring_grant(root: &Root, channel: &ChannelUrl) -> Result<()> {
    let instance = instance(root)?;
    let url = beside(channel, &format!("grants/{instance}.json"));
    let found = get(root, &url, limits::ENVELOPE);
    match found.with_context(|| format!("failed to fetch '{url}'"))? {
        None => remove(root),
        Some(bytes) => {
            // Not whether it is believed, but whether it is worth a look.
            Envelope::parse(&bytes).with_context(|| format!("what is at '{url}' is no grant"))?;
            keep(root, GRANT, &bytes)?;
            println!("fetched '{url}'");
            Ok(())
        }
    }
}

/// Which instance this is, as root found and said it.
fn instance(root: &Root) -> Result<String> {
    let status = record::read(root)?.context("no verification of this host is on record")?;
    status
        .instance
        .context("which instance this is, is not on record")
}

/// A URL in the directory in which the channel document is.
fn beside(channel: &ChannelUrl, name: &str) -> String {
    let url = channel.as_str();
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let directory = path
        .rsplit_once('/')
        .map_or(path, |(directory, _)| directory);
    format!("{directory}/{name}")
}

/// What is there; nothing, if there is nothing.
fn get(root: &Root, url: &str, bound: usize) -> Result<Option<Vec<u8>>> {
    if let Some(path) = url.strip_prefix("file://") {
        let path = ImagePath::from_absolute(path.as_bytes())?;
        return Ok(root.read_opt(&path, bound)?);
    }
    if !url.starts_with("https://") {
        bail!("only file:// and https:// are fetched from by this version");
    }
    let client = https::client(root)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    runtime.block_on(https::get(&client, url, bound))
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
    use super::*;

    #[test]
    fn a_grant_lies_beside_the_channel() {
        for (channel, expected) in [
            (
                "https://releases.example.com/web/stable.json",
                "https://releases.example.com/web/grants/i-1.json",
            ),
            (
                "https://releases.example.com/web/stable.json?a=/b/c#d/e",
                "https://releases.example.com/web/grants/i-1.json",
            ),
            (
                "https://releases.example.com/stable.json",
                "https://releases.example.com/grants/i-1.json",
            ),
            ("file:///srv/stable.json", "file:///srv/grants/i-1.json"),
        ] {
            let channel = ChannelUrl::try_from(channel.to_owned()).unwrap();
            assert_eq!(beside(&channel, "grants/i-1.json"), expected);
        }
    }
}
