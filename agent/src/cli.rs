//! The command line.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use earmark_manifest::declaration::Gate;

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
    /// Say what this host is, from its last verification
    Status(StatusArgs),
    /// Decide whether a root is the image that was signed
    Verify(VerifyArgs),
}

/// `earmark-agent verify`
#[derive(Debug, Args)]
#[command(after_help = "\
The keys are those of the root's own /usr/lib/earmark/trust.toml. The result is
printed, and kept in /run/earmark/status.json beneath the root.

Examples:
  earmark-agent verify
  earmark-agent verify --gate full --root /mnt/image --json")]
pub struct VerifyArgs {
    /// What to cover: signature, critical or full [default: as declared]
    #[arg(long, value_name = "GATE")]
    pub gate: Option<Gate>,
    #[command(flatten)]
    pub common: CommonArgs,
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
    fn the_command_line_is_well_formed_and_fits_a_terminal() {
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
    fn there_is_no_insecure_switch() {
        let long: Vec<String> = Cli::command()
            .get_subcommands()
            .flat_map(|sub| {
                sub.get_arguments()
                    .filter_map(|arg| arg.get_long().map(str::to_owned))
                    .collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(long, ["root", "json", "gate", "root", "json"]);
    }
}
