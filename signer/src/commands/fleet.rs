//! `earmark fleet`: what hosts report, joined with the release that they should run.

mod status;
mod watch;

use std::path::PathBuf;

use clap::Subcommand;
use earmark_manifest::declaration::Interval;

use crate::{
    channel::Location,
    exit::Outcome,
    fleet::{Certificates, Channels, Dimension, Fleet, Source},
};

/// Show which hosts are not on the latest image
///
/// Joins the reports of hosts with the channel, which names the expected release,
/// and with the inventory, which names the expected hosts. Every host is
/// counted once: silent, violated, cloned, revoked, tainted, behind, unlisted,
/// unknown or current, the first of these that is true of it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
EXAMPLES:
  aws ec2 describe-instances > instances.json
  earmark fleet status --reports s3://reports/web/ \\
      --channel s3://releases/web/stable.json --trust trust.toml \\
      --inventory instances.json --fail-on behind,silent";

#[derive(Debug, Subcommand)]
enum Command {
    Status(status::Args),
    Watch(watch::Args),
}

impl Args {
    pub fn run(&self) -> Outcome {
        match &self.command {
            Command::Status(args) => args.run(),
            Command::Watch(args) => args.run(),
        }
    }
}

/// Which fleet, and what it is held against.
#[derive(Debug, clap::Args)]
struct FleetArgs {
    /// The reports of the hosts: a directory, or a URL file:/// or s3://;
    /// may be given more than once
    #[arg(long, value_name = "URL", required = true)]
    reports: Vec<Source>,
    /// The channel of the hosts: a path, or a URL file:///, https:// or s3://; once
    /// for each image
    #[arg(long, value_name = "URL", required = true)]
    channel: Vec<Location>,
    /// The trust file with keys for the purpose 'channel'; one for all channels,
    /// or one for each
    #[arg(long, value_name = "FILE")]
    trust: Vec<PathBuf>,
    /// The expected hosts: the output of `aws ec2 describe-instances`, or
    /// a JSON list of instance ids
    #[arg(long, value_name = "FILE")]
    inventory: Option<PathBuf>,
    /// Count only reports whose identity document one of these certificates of
    /// AWS signed
    #[arg(long, value_name = "FILE.pem")]
    aws_certificates: Option<PathBuf>,
    /// The maximum age of the last report of a host
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = interval)]
    silent_after: Interval,
    /// Properties to group the hosts by: image, version, region, asg
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "image,version"
    )]
    group_by: Vec<Dimension>,
}

fn interval(text: &str) -> Result<Interval, String> {
    Interval::try_from(text.to_owned())
}

impl FleetArgs {
    fn fleet(&self) -> Outcome<Fleet> {
        let certificates = self.aws_certificates.as_deref();
        let mut group_by = Vec::new();
        for by in &self.group_by {
            if !group_by.contains(by) {
                group_by.push(*by);
            }
        }
        Ok(Fleet {
            sources: self.reports.clone(),
            channels: Channels::new(&self.channel, &self.trust)?,
            inventory: self.inventory.clone(),
            certificates: certificates.map(Certificates::read).transpose()?,
            silent_after: self.silent_after.duration().as_secs(),
            group_by,
        })
    }
}
