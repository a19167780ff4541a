//! `earmark channel show` and `verify`.

use std::path::PathBuf;

use anyhow::Context;
use earmark_manifest::{
    channel::{Channel, verify_channel},
    envelope::{Envelope, KeyId},
    name::{ChannelName, ImageName},
};

use crate::{
    channel::{self, Location, Shown, Signatures},
    commands::shared,
    exit::{Exit, Exits, Failure, Outcome},
    io::output,
    keys,
};

/// Show a channel, without believing it
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES:\n  earmark channel show s3://releases/web/stable.json --json")]
pub struct Show {
    /// A path, or a URL file:///, https:// or s3://
    #[arg(value_name = "CHANNEL")]
    at: Location,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Verify a channel, as a host does
///
/// A document that has expired is told, and is no error: hosts follow it still.
/// With --fresh it is one, for an alert that somebody should renew it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = VERIFY_EXAMPLES,
    override_usage = "earmark channel verify [OPTIONS] <CHANNEL> --trust <FILE>"
)]
pub struct Verify {
    /// A path, or a URL file:///, https:// or s3://
    #[arg(value_name = "CHANNEL")]
    at: Location,
    /// The trust file of the hosts, with keys for the purpose 'channel'
    #[arg(long, value_name = "FILE")]
    trust: PathBuf,
    /// The expected image [default: that of the trust file]
    #[arg(long, value_name = "NAME")]
    image: Option<ImageName>,
    /// The expected channel [default: the name of the file, without
    /// .json]
    #[arg(long, value_name = "NAME")]
    name: Option<ChannelName>,
    /// Refuse a document with a lower counter
    #[arg(long, value_name = "COUNTER")]
    after: Option<u64>,
    /// Refuse a document that has expired
    #[arg(long)]
    fresh: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

const VERIFY_EXAMPLES: &str = "\
EXAMPLES:
  earmark channel verify https://releases.example.com/web/stable.json \\
      --trust trust.toml --fresh";

impl Show {
    pub fn run(&self) -> Outcome {
        let found = self.at.need()?;
        let reading = || format!("failed to read {}", self.at);
        let envelope = Envelope::parse_channel(found.bytes())
            .with_context(reading)
            .exits(Exit::NotVerified)?;
        let channel = Channel::parse(envelope.unverified_payload())
            .with_context(reading)
            .exits(Exit::NotVerified)?;
        let claimed = keys::claimed_ids(&envelope);
        let signatures = Signatures::Unverified { claimed };
        let shown = Shown::of(&channel, &self.at, signatures, channel::now()?);
        output::result(self.json, &shown)
    }
}

impl Verify {
    pub fn run(&self) -> Outcome {
        let (trust, _) = shared::read_trust(&self.trust)?;
        let found = self.at.need()?;
        let verified = verify_channel(found.bytes(), &trust)
            .and_then(|verified| match &self.image {
                Some(image) => verified.of_image(image),
                None => Ok(verified),
            })
            .and_then(
                |verified| match self.name.clone().or_else(|| self.at.channel()) {
                    Some(name) => verified.named(&name),
                    None => Ok(verified),
                },
            )
            .map_err(|refusal| channel::refused(&self.at, &refusal))?;
        let document = verified.channel();
        channel::not_before(document, self.after, &self.at)?;
        let now = channel::now()?;
        let keys = verified.signers().iter().map(KeyId::to_string);
        let signatures = Signatures::Trusted {
            keys: keys.collect(),
        };
        let expires = document.time.expires();
        let shown = Shown::of(document, &self.at, signatures, now);
        output::result(self.json, &shown)?;
        if expires > now {
            return Ok(Exit::Done);
        }
        let over = format!("{} expired at {}", self.at, output::utc(expires));
        if self.fresh {
            return Err(Failure::new(Exit::NotVerified, over)
                .next("renew it: promote the latest release again"));
        }
        output::note(&format!("warning: {over}"));
        Ok(Exit::Done)
    }
}
