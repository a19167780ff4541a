//! The command line.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use earmark_manifest::declaration::{ByteRate, Gate};

use crate::exit::Exit;

/// Verifies the image that this host runs
#[derive(Debug, Parser)]
#[command(
    name = "earmark-agent",
    version,
    disable_help_subcommand = true,
    after_help = "\
Exit codes:
  0   done; what the gate covers is as it was signed
  1   internal error
  2   usage
  10  not verified: the root is not the image that was signed
  11  cannot decide: something is missing or cannot be read
  12  first boot failed: a step, or the values that it was given
  13  a lock that is denied is not enforced

Examples:
  earmark-agent verify
  earmark-agent verify --gate full --root /mnt/image
  earmark-agent status --json"
)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Fetch what is published for this host: the service's own command
    Fetch(FetchArgs),
    /// Say what first boot did, and what is next
    FirstBoot(FirstBootArgs),
    /// Say where this host stands by the channel of its image
    Follow(FollowArgs),
    /// Ask the metadata service for what the processes need that may not
    Instance(InstanceArgs),
    /// Shut what the declaration denies, and say how each lock is
    Lockdown(LockdownArgs),
    /// Say how this host is to the places that the image names
    Report(ReportArgs),
    /// Keep verifying in the background: the service's own command
    Run(RunArgs),
    /// Say what this host is, from its last verification
    Status(StatusArgs),
    /// Decide whether a root is the image that was signed
    Verify(VerifyArgs),
}

/// `earmark-agent verify`
#[derive(Debug, Args)]
#[command(after_help = "\
The keys are those of the root's own /usr/lib/earmark/trust.toml. The result is
printed, and kept in /run/earmark/status.json beneath the root, unless the one
that is there is of this boot and covers more.

On a running host the words of its kernel command line are a part of it. With
--boot it is also one that the service manager has what the generator writes.

Examples:
  earmark-agent verify
  earmark-agent verify --gate full --rate 20MiB
  earmark-agent verify --gate full --root /mnt/image --json")]
pub struct VerifyArgs {
    /// What to cover: signature, critical or full [default: as declared]
    #[arg(long, value_name = "GATE")]
    pub gate: Option<Gate>,
    /// Read at most so much a second, such as 20MiB
    #[arg(long, value_name = "BYTES")]
    pub rate: Option<ByteRate>,
    /// As at boot: check the policy, too, and tell console, journal and motd
    #[arg(long)]
    pub boot: bool,
    /// First boot was before this: the command of earmark-agent.service
    #[arg(long, hide = true, requires = "boot")]
    pub again: bool,
    /// Verify nothing, and tell how the verification of the service manager ended, should it have told
    /// nothing itself: the service's own command
    #[arg(long, hide = true, conflicts_with_all = ["gate", "rate", "boot"])]
    pub ended: bool,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// `earmark-agent fetch`
#[derive(Debug, Args)]
#[command(after_help = "\
Fetches the channel that the image names, and looks for a break-glass grant for
this instance beside it: for https://releases.example.com/web/stable.json that
is https://releases.example.com/web/grants/INSTANCE.json. Both are left in
/run/earmark-fetch, and believed by nobody until their signatures were checked.

Examples:
  earmark-agent fetch")]
pub struct FetchArgs {
    /// The root to look at
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}

/// `earmark-agent first-boot`
#[derive(Debug, Args)]
#[command(after_help = "\
Without --run it shows the journal of first boot, which only root may read: each
declared step, when it ran, how long it took, how it ended, and which is next.

With --run it is the command of earmark-first-boot.service: it carries out, in
order, the steps that are not done on this instance of this image. What an
earlier boot finished is not done again.

Examples:
  earmark-agent first-boot
  earmark-agent first-boot --json")]
pub struct FirstBootArgs {
    /// Carry out what is still to be done: the service's own command
    #[arg(long)]
    pub run: bool,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// `earmark-agent follow`
#[derive(Debug, Args)]
#[command(after_help = "\
Verifies what was fetched, keeps it if it is not older than what was seen, and
puts where this host stands into its status: current, behind, revoked, unlisted,
expired or unreachable. None of these is an error.

Examples:
  earmark-agent follow")]
pub struct FollowArgs {
    /// The root to look at
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}

/// `earmark-agent instance`
#[derive(Debug, Args)]
#[command(after_help = "\
The command of earmark-instance.service. Leaves the instance identity document,
and where the image names objects of S3 the credentials of the instance's role,
in /run/earmark-instance, for the user earmark-fetch alone. Does nothing where
the platform is not ec2.

Examples:
  earmark-agent instance")]
pub struct InstanceArgs {
    /// The root to look at
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}

/// `earmark-agent report`
#[derive(Debug, Args)]
#[command(after_help = "\
The command of earmark-report.service. Makes a report if there is news or the
last one is old, keeps it for each place that the image names, and brings each
what it has not got. A place that failed is asked again after a while. Exit
code 14: a report could not be made, or some place has not got all of them.

Examples:
  earmark-agent report --print
  systemctl start earmark-report
  sudo -u earmark-fetch earmark-agent report --once")]
pub struct ReportArgs {
    /// Make one now, and ask each place now
    #[arg(long, conflicts_with = "print")]
    pub once: bool,
    /// Print what would be reported, and send nothing
    #[arg(long)]
    pub print: bool,
    /// The root to look at
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}

/// `earmark-agent lockdown`
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own unit, and no two go together"
)]
#[command(after_help = "\
With --check, each lock of the declaration with what it is made of: what is
right, what was found, and how it was looked at. Without, locks that are denied
are brought about, and what is open afterwards is told; what is shut stays shut,
and a second run changes nothing. Units are masked by the generator, at boot.

Only root may look at all of it; what cannot be looked at is unknown, and
unknown is not enforced.

Examples:
  earmark-agent lockdown --check
  earmark-agent lockdown --check --json")]
pub struct LockdownArgs {
    /// Look, and change nothing
    #[arg(long)]
    pub check: bool,
    /// Only set apart what stays writable: the early service's own command
    #[arg(long, conflicts_with = "check")]
    pub early: bool,
    /// Look, and tell of what has changed: the timer's own command
    #[arg(long, conflicts_with_all = ["check", "early"])]
    pub again: bool,
    /// Take grants, open and shut what they say: the unit's own command
    #[arg(long, conflicts_with_all = ["check", "early", "again"])]
    pub grants: bool,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// `earmark-agent run`
#[derive(Debug, Args)]
#[command(after_help = "\
Completes the boot's verification, and repeats it as often as the declaration's
verify.every says, at verify.rate. SIGHUP asks for one now, SIGTERM ends it.

Exit codes 10 and 11 mean what they mean for 'verify', and are only given under
the policies 'quarantine' and 'halt', once a boot: the service manager acts on
them.")]
pub struct RunArgs {
    /// The root to look at
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}

/// `earmark-agent status`
#[derive(Debug, Args)]
#[command(after_help = "\
The exit code is that of the verification which is shown; 11, if there was none.

Examples:
  earmark-agent status
  earmark-agent status --json")]
pub struct StatusArgs {
    #[command(flatten)]
    pub common: CommonArgs,
}

/// What every command takes.
#[derive(Debug, Args)]
pub struct CommonArgs {
    /// The root to look at
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// Print JSON (schema 1) for machines; the text for people may change
    #[arg(long)]
    pub json: bool,
}

/// Says what is wrong with a command line, in a line or two; help and version are no errors.
pub fn refuse(error: &clap::Error) -> ExitCode {
    // Nothing can be done about a closed standard output.
    let _ = error.print();
    if error.use_stderr() {
        Exit::Usage.into()
    } else {
        Exit::Done.into()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn cli_definition_is_valid_and_help_fits_80_columns() {
        let mut command = Cli::command();
        command.clone().debug_assert();
        let names: Vec<String> = command
            .get_subcommands()
            .map(|sub| sub.get_name().to_owned())
            .collect();
        let mut helps = vec![command.render_long_help().to_string()];
        for name in names {
            helps.push(
                command
                    .find_subcommand_mut(&name)
                    .unwrap()
                    .render_long_help()
                    .to_string(),
            );
        }
        for line in helps.iter().flat_map(|help| help.lines()) {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn cli_long_options_match_the_reviewed_list() {
        let long: Vec<String> = Cli::command()
            .get_subcommands()
            .flat_map(|sub| {
                sub.get_arguments()
                    .filter_map(|arg| arg.get_long().map(str::to_owned))
                    .collect::<Vec<_>>()
            })
            .collect();
        let expected = [
            "root", "run", "root", "json", "root", "root", "check", "early", "again", "grants",
            "root", "json", "once", "print", "root", "root", "root", "json", "gate", "rate",
            "boot", "again", "ended", "root", "json",
        ];
        assert_eq!(long, expected);
    }
}
