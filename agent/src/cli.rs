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
    /// Fetch the channel and grants: the service's own command
    Fetch(FetchArgs),
    /// Show the steps of first boot
    FirstBoot(FirstBootArgs),
    /// Follow the channel of this image
    Follow(FollowArgs),
    /// Fetch identity and credentials from the metadata service
    Instance(InstanceArgs),
    /// Apply the denied locks, and show the state of each lock
    Lockdown(LockdownArgs),
    /// Send status reports to the sinks that the image names
    Report(ReportArgs),
    /// Keep verifying in the background: the service's own command
    Run(RunArgs),
    /// Show the result of the last verification
    Status(StatusArgs),
    /// Decide whether a root is the image that was signed
    Verify(VerifyArgs),
}

/// `earmark-agent verify`
#[derive(Debug, Args)]
#[command(after_help = "\
The keys are those of the root's own /usr/lib/earmark/trust.toml. The result is
printed, and stored in /run/earmark/status.json beneath the root, unless the
stored result is of this boot and covers more.

On a running host the kernel command line is verified, too. With --boot, also
the units that the generator writes for the service manager.

Examples:
  earmark-agent verify
  earmark-agent verify --gate full --rate 20MiB
  earmark-agent verify --gate full --root /mnt/image --json")]
pub struct VerifyArgs {
    /// What to cover: signature, critical or full [default: as declared]
    #[arg(long, value_name = "GATE")]
    pub gate: Option<Gate>,
    /// Limit of bytes read a second, such as 20MiB
    #[arg(long, value_name = "BYTES")]
    pub rate: Option<ByteRate>,
    /// As at boot: check the policy, and write to console, journal and motd
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
is https://releases.example.com/web/grants/INSTANCE.json. Both are written to
/run/earmark-fetch, and trusted only after their signatures are verified.

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

With --run it is the command of earmark-first-boot.service: it runs, in order,
the steps that are not done on this instance of this image. A step that an
earlier boot finished is not run again.

Examples:
  earmark-agent first-boot
  earmark-agent first-boot --json")]
pub struct FirstBootArgs {
    /// Run the steps that are not done: the service's own command
    #[arg(long)]
    pub run: bool,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// `earmark-agent follow`
#[derive(Debug, Args)]
#[command(after_help = "\
Verifies the fetched channel document, stores it if it is not older than the
last accepted one, and writes the state of this host into its status: current,
behind, revoked, unlisted, expired or unreachable. None of these is an error.

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
The command of earmark-instance.service. Writes the instance identity document,
and if the image names objects of S3 the credentials of the instance's role, to
/run/earmark-instance, for the user earmark-fetch alone. Does nothing if the
platform is not ec2.

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
The command of earmark-report.service. Makes a report if the status changed or
the last report is old, spools it for each sink that the image names, and sends
each sink the reports that it lacks. Retries a failed sink after a delay. Exit
code 14: a report could not be made, or a sink lacks reports.

Examples:
  earmark-agent report --print
  systemctl start earmark-report
  sudo -u earmark-fetch earmark-agent report --once")]
pub struct ReportArgs {
    /// Report now, and try each sink now
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
With --check, shows each lock of the declaration with its items: the expected
value, the value found, and how it was measured. Without --check, applies the
locks that are denied, and reports what is open afterwards; a second run changes
nothing. Units are masked by the generator, at boot.

Only root may measure every item; an item that cannot be measured is unknown,
and unknown is not enforced.

Examples:
  earmark-agent lockdown --check
  earmark-agent lockdown --check --json")]
pub struct LockdownArgs {
    /// Only measure the locks
    #[arg(long)]
    pub check: bool,
    /// Only mount the writable paths: the early service's own command
    #[arg(long, conflicts_with = "check")]
    pub early: bool,
    /// Measure, and report changes: the timer's own command
    #[arg(long, conflicts_with_all = ["check", "early"])]
    pub again: bool,
    /// Apply grants to the locks: the unit's own command
    #[arg(long, conflicts_with_all = ["check", "early", "again"])]
    pub grants: bool,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// `earmark-agent run`
#[derive(Debug, Args)]
#[command(after_help = "\
Completes the boot's verification, and repeats it at the interval verify.every
of the declaration, at verify.rate. SIGHUP starts one now, SIGTERM ends it.

Exit codes 10 and 11 mean what they mean for 'verify', and are only given under
the policies 'quarantine' and 'halt', once a boot: the service manager acts on
them.")]
pub struct RunArgs {
    /// Look once for sealed files that the kernel found corrupted: the timer's own command
    #[arg(long, hide = true)]
    pub corruption: bool,
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
            "root",
            "run",
            "root",
            "json",
            "root",
            "root",
            "check",
            "early",
            "again",
            "grants",
            "root",
            "json",
            "once",
            "print",
            "root",
            "corruption",
            "root",
            "root",
            "json",
            "gate",
            "rate",
            "boot",
            "again",
            "ended",
            "root",
            "json",
        ];
        assert_eq!(long, expected);
    }
}
