//! `earmark fleet status`.

use std::path::PathBuf;

use super::FleetArgs;
use crate::{
    exit::{Exit, Failure, Outcome},
    fleet::{FailOn, State, Status, render::Format},
    io::{files, output},
};

/// Show the state of every host, once
///
/// Exits with 16 if a host is in one of the states of --fail-on, and with 11 if
/// a report could not be read or no host was seen at all: what nobody looked at
/// is never good. Without --inventory a host that is silent is not missed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = EXAMPLES,
    override_usage = "earmark fleet status [OPTIONS] --reports <URL> --channel <URL> \
                      \n                            --trust <FILE>"
)]
pub struct Args {
    #[command(flatten)]
    fleet: FleetArgs,
    /// Exit with 16 if there is a host in one of these states, or a report that
    /// does not count (unusable)
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    fail_on: Vec<FailOn>,
    /// The format of the result
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// The file to write, replaced as a whole [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

const EXAMPLES: &str = "\
EXAMPLES:
  earmark fleet status --reports s3://reports/web/ \\
      --channel s3://releases/web/stable.json --trust trust.toml \\
      --inventory instances.json --fail-on behind,silent
  earmark fleet status --reports /srv/reports --channel stable.json \\
      --trust trust.toml --format html --out fleet.html";

impl Args {
    pub fn run(&self) -> Outcome {
        let silent = self.fail_on.contains(&FailOn::State(State::Silent));
        if silent && self.fleet.inventory.is_none() {
            // It would never fail, and look as if it could.
            let why = "refused: without an inventory no host is known to be silent";
            return Err(Failure::new(Exit::Usage, why).next("give --inventory FILE"));
        }
        let status = self.fleet.fleet()?.look()?;
        let format = if self.json { Format::Json } else { self.format };
        let bytes = format.bytes(&status)?;
        match &self.out {
            Some(path) => files::replace(path, &bytes)?,
            None => {
                output::stdout(&bytes)?;
            }
        }
        tell(&status);
        Ok(status.exit(&self.fail_on))
    }
}

/// Prints the warnings for a reader of standard error alone, or of a page that was written.
fn tell(status: &Status) {
    for channel in status.channels.iter().filter(|channel| channel.expired) {
        let (name, image) = (&channel.channel, &channel.image);
        let over = output::utc(channel.expires);
        output::note(&format!(
            "warning: the channel {name} of {image} expired at {over}"
        ));
    }
    let unread = status.reports.unread.count();
    if unread > 0 {
        let unread = output::count(unread, "report", "reports");
        output::note(&format!(
            "error: {unread} could not be read: this is not all of the fleet"
        ));
    } else if status.total() == 0 {
        let names = output::count(status.reports.names, "name", "names");
        let next = "check that --reports is where the hosts put their reports";
        output::note(&format!(
            "error: no host was seen, in {names}\n  next: {next}"
        ));
    }
}
