//! `earmark channel init`, `promote`, `rollback` and `revoke`.

use std::path::PathBuf;

use anyhow::Context;
use earmark_manifest::{
    channel::Channel,
    declaration::Interval,
    name::{ChannelName, ImageName, ImageVersion, Reason},
    trust::Trust,
};

use super::release::ReleaseArgs;
use crate::{
    channel::{
        self, Change, Found, Location, Shown, Signatures, Written,
        edit::{self, When},
    },
    commands::shared,
    exit::{Exit, Failure, Outcome},
    io::output,
    keys::{self, KeyArgs, SigningKey},
};

/// What all four take.
#[derive(Debug, clap::Args)]
struct Common {
    /// A path, or a URL file:/// or s3://
    #[arg(value_name = "CHANNEL")]
    at: Location,
    #[command(flatten)]
    keys: KeyArgs,
    /// The trust file for the existing document and the new one [default: the
    /// existing document is signed with one of the keys]
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// The time until the document expires, such as 7d; a year at most
    #[arg(long, value_name = "TIME", value_parser = interval, default_value = "7d")]
    expires: Interval,
    /// Show what would change, and neither sign nor write it
    #[arg(long)]
    dry_run: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What those take who change a channel that is there.
#[derive(Debug, clap::Args)]
struct Base {
    /// Refuse to build on a document with a lower counter: an old one that
    /// somebody put back
    #[arg(long, value_name = "COUNTER")]
    after: Option<u64>,
}

/// Make a channel, with no release yet
#[derive(Debug, clap::Args)]
#[command(
    after_help = INIT_EXAMPLES,
    override_usage = "earmark channel init [OPTIONS] <CHANNEL> --image <NAME> --key <KEY>"
)]
pub struct Init {
    #[command(flatten)]
    common: Common,
    /// The image of the channel
    #[arg(long, value_name = "NAME")]
    image: ImageName,
    /// The name of the channel [default: that of the file, without .json]
    #[arg(long, value_name = "NAME")]
    name: Option<ChannelName>,
}

const INIT_EXAMPLES: &str = "\
EXAMPLES:
  earmark channel init s3://releases/web/stable.json --image web \\
      --key channel.key";

/// Make a release the one to run
///
/// Promoting the latest again renews the document, and adds AMIs.
#[derive(Debug, clap::Args)]
#[command(
    after_help = PROMOTE_EXAMPLES,
    override_usage = "earmark channel promote [OPTIONS] <CHANNEL> --packer <FILE> --key <KEY>\n       \
                      earmark channel promote [OPTIONS] <CHANNEL> --seal <DIR> --key <KEY>"
)]
pub struct Promote {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    release: ReleaseArgs,
    /// The lowest epoch that may run from now on; it is never lowered
    #[arg(long, value_name = "EPOCH")]
    minimum_epoch: Option<u64>,
    #[command(flatten)]
    base: Base,
}

const PROMOTE_EXAMPLES: &str = "\
EXAMPLES:
  earmark channel promote s3://releases/web/stable.json \\
      --key awskms:alias/channel --packer packer-manifest.json
  earmark channel promote stable.json --key channel.key --seal OUT \\
      --ami eu-central-1=ami-0123456789abcdef0 --minimum-epoch 4 --dry-run";

/// Make an older release the one to run again
///
/// Writes a new document, with a higher counter. The release must not be
/// revoked, nor its epoch below the channel's minimum.
#[derive(Debug, clap::Args)]
#[command(
    after_help = ROLLBACK_EXAMPLES,
    override_usage = "earmark channel rollback [OPTIONS] <CHANNEL> --to <VERSION> --key <KEY>"
)]
pub struct Rollback {
    #[command(flatten)]
    common: Common,
    /// Which release
    #[arg(long, value_name = "VERSION")]
    to: ImageVersion,
    #[command(flatten)]
    base: Base,
}

const ROLLBACK_EXAMPLES: &str = "\
EXAMPLES:
  earmark channel rollback s3://releases/web/stable.json --key channel.key \\
      --to 1.4.1";

/// Say that no host should run a release any more
///
/// Which one to run in its place is said by promote or rollback.
#[derive(Debug, clap::Args)]
#[command(
    after_help = REVOKE_EXAMPLES,
    override_usage = "earmark channel revoke [OPTIONS] <CHANNEL> --release <VERSION>\n                              --reason <TEXT> --key <KEY>"
)]
pub struct Revoke {
    #[command(flatten)]
    common: Common,
    /// Which release
    #[arg(long, value_name = "VERSION")]
    release: ImageVersion,
    /// The reason, for the people on call
    #[arg(long, value_name = "TEXT")]
    reason: Reason,
    #[command(flatten)]
    base: Base,
}

const REVOKE_EXAMPLES: &str = "\
EXAMPLES:
  earmark channel revoke s3://releases/web/stable.json --key channel.key \\
      --release 1.4.2 --reason 'it forgets its sessions'";

impl Init {
    pub fn run(&self) -> Outcome {
        let name = self.name.clone().or_else(|| self.common.at.channel());
        let name = name.ok_or_else(|| {
            let unnamed = format!("{} names no channel", self.common.at);
            Failure::new(Exit::Usage, unnamed).next("give --name NAME, or a file NAME.json")
        })?;
        let desk = self.common.open()?;
        if self.common.at.read()?.is_some() {
            let there = format!("refused: a channel already exists at {}", self.common.at);
            return Err(Failure::new(Exit::Usage, there).next("earmark channel promote changes it"));
        }
        let channel = edit::init(self.image.clone(), name, desk.when)?;
        desk.finish("made", None, &channel)
    }
}

impl Promote {
    pub fn run(&self) -> Outcome {
        let desk = self.common.open()?;
        let candidate = self.release.candidate(desk.trust_given())?;
        let (found, channel) = desk.read(&self.base)?;
        let next = edit::promote(&channel, candidate, self.minimum_epoch, desk.when)?;
        desk.finish("promoted in", Some((&found, &channel)), &next)
    }
}

impl Rollback {
    pub fn run(&self) -> Outcome {
        let desk = self.common.open()?;
        let (found, channel) = desk.read(&self.base)?;
        let next = edit::rollback(&channel, &self.to, desk.when)?;
        desk.finish("rolled back", Some((&found, &channel)), &next)
    }
}

impl Revoke {
    pub fn run(&self) -> Outcome {
        let desk = self.common.open()?;
        let (found, channel) = desk.read(&self.base)?;
        let next = edit::revoke(&channel, &self.release, &self.reason, desk.when)?;
        let is_latest = next.releases.latest().map(|latest| &latest.version) == Some(&self.release);
        let outcome = desk.finish("revoked in", Some((&found, &channel)), &next)?;
        if is_latest {
            output::note(
                "warning: the revoked release was the one to run: promote another, or roll back to \
                 an earlier one",
            );
        }
        Ok(outcome)
    }
}

/// Keys, trust and time with which a command writes a channel.
struct Desk<'a> {
    common: &'a Common,
    keys: Vec<SigningKey>,
    given: Option<Trust>,
    own: Trust,
    when: When,
}

impl Common {
    /// Loads keys and trust, before anything is looked up.
    fn open(&self) -> Outcome<Desk<'_>> {
        self.at.must_be_writable()?;
        let keys = self.keys.load()?;
        let given = self.trust.as_deref().map(shared::read_trust).transpose()?;
        Ok(Desk {
            own: channel::trust_of(&keys)?,
            given: given.map(|(trust, _)| trust),
            keys,
            when: When {
                now: channel::now()?,
                lasts: self.expires,
            },
            common: self,
        })
    }
}

impl Desk<'_> {
    fn trust_given(&self) -> Option<&Trust> {
        self.given.as_ref()
    }

    fn trust(&self) -> &Trust {
        self.given.as_ref().unwrap_or(&self.own)
    }

    /// Reads the document that is there, which must be believed: its releases are signed again.
    fn read(&self, base: &Base) -> Outcome<(Found, Channel)> {
        let found = self.common.at.need()?;
        let verified = channel::verified(&found, &self.common.at, self.trust())?;
        let channel = verified.channel().clone();
        channel::not_before(&channel, base.after, &self.common.at)?;
        Ok((found, channel))
    }

    /// Signs and writes what follows it, and shows the difference.
    fn finish(
        &self,
        done: &'static str,
        before: Option<(&Found, &Channel)>,
        next: &Channel,
    ) -> Outcome {
        let payload = next.to_payload().context("failed to write the channel")?;
        let digest = earmark_manifest::crypto::sha256(&payload);
        let at = &self.common.at;
        let show = |keys: Vec<String>| {
            let shown = Shown::of(next, at, Signatures::Trusted { keys }, self.when.now);
            let before = before.map(|(_, channel)| channel);
            Change::new(done, before, (next, shown), &digest, self.common.dry_run)
        };
        if self.common.dry_run {
            return output::result(self.common.json, &show(Vec::new()));
        }
        let envelope = keys::sign(None, payload, &self.keys)?;
        let document = envelope.to_json();
        // What hosts would refuse is not put where they look.
        earmark_manifest::channel::verify_channel(&document, self.trust())
            .map_err(|refusal| channel::refused_own(&refusal))?;
        match at.write(&document, before.map(|(found, _)| found))? {
            Written::Done => output::result(self.common.json, &show(keys::claimed_ids(&envelope))),
            Written::Overtaken => Err(Failure::new(
                Exit::Undecided,
                format!("{at} was changed concurrently; nothing was written"),
            )
            .next(format!(
                "look at it again (earmark channel show {at}), and repeat what is still right"
            ))),
        }
    }
}

fn interval(text: &str) -> Result<Interval, String> {
    text.to_owned().try_into()
}
