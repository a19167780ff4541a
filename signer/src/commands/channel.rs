//! `earmark channel`: one file for what reads, one for what writes, one for what is promoted.

mod read;
mod release;
mod write;

use clap::Subcommand;

use crate::exit::Outcome;

/// Say which release hosts should run
///
/// A channel is one signed document, in a file, at an https:// URL (to be read)
/// or in S3. Hosts follow it, and report their state: current, behind,
/// revoked, unlisted. The keys need the purpose 'channel' in the image's trust
/// file. Of two concurrent writes one is refused, and must be repeated.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
EXAMPLES:
  earmark channel init s3://releases/web/stable.json --image web --key c.key
  earmark channel promote s3://releases/web/stable.json --key c.key \\
      --packer packer-manifest.json
  earmark channel revoke s3://releases/web/stable.json --key c.key \\
      --release 1.4.2 --reason 'it forgets its sessions'
  earmark channel rollback s3://releases/web/stable.json --key c.key \\
      --to 1.4.1
  earmark channel show https://releases.example.com/web/stable.json";

#[derive(Debug, Subcommand)]
enum Command {
    Init(write::Init),
    Promote(write::Promote),
    Rollback(write::Rollback),
    Revoke(write::Revoke),
    Show(read::Show),
    Verify(read::Verify),
}

impl Args {
    pub fn run(&self) -> Outcome {
        match &self.command {
            Command::Init(args) => args.run(),
            Command::Promote(args) => args.run(),
            Command::Rollback(args) => args.run(),
            Command::Revoke(args) => args.run(),
            Command::Show(args) => args.run(),
            Command::Verify(args) => args.run(),
        }
    }
}
