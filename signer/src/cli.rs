//! The command line: one file in `commands/` for each subcommand.

use clap::{Parser, Subcommand};

use crate::{commands, exit::Outcome};

/// Stamps machine images with a signed manifest, and reads what was stamped
#[derive(Debug, Parser)]
#[command(
    name = "earmark",
    version,
    max_term_width = 80,
    help_expected = true,
    disable_help_flag = false,
    after_help = EXIT_CODES
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
EXIT STATUS:
  0   done, or verified
  1   internal error
  2   usage, or a declaration, key or trust file that cannot be used
  10  not verified
  11  cannot decide: something is missing, or cannot be read or written
  15  lint findings: the root is not fit to be sealed
  16  the fleet is not as it should be: --fail-on or --stop-at

Results go to standard output, diagnostics to standard error. What programs
should read is behind --json; the text is for people and may change.";

#[derive(Debug, Subcommand)]
enum Command {
    Keygen(commands::keygen::Args),
    Public(commands::public::Args),
    Trust(commands::trust::Args),
    Lint(commands::lint::Args),
    Seal(commands::seal::Args),
    Measure(commands::measure::Args),
    Sign(commands::sign::Args),
    Initrd(commands::initrd::Args),
    Install(commands::install::Args),
    Verify(commands::verify::Args),
    Channel(commands::channel::Args),
    Fleet(commands::fleet::Args),
    Grant(commands::grant::Args),
    Inspect(commands::inspect::Args),
    Learn(commands::learn::Args),
    Diff(commands::diff::Args),
    Export(commands::export::Args),
}

impl Cli {
    /// Runs the command.
    pub fn run(self) -> Outcome {
        match self.command {
            Command::Keygen(args) => args.run(),
            Command::Public(args) => args.run(),
            Command::Trust(args) => args.run(),
            Command::Lint(args) => args.run(),
            Command::Seal(args) => args.run(),
            Command::Measure(args) => args.run(),
            Command::Sign(args) => args.run(),
            Command::Initrd(args) => args.run(),
            Command::Install(args) => args.run(),
            Command::Verify(args) => args.run(),
            Command::Channel(args) => args.run(),
            Command::Fleet(args) => args.run(),
            Command::Grant(args) => args.run(),
            Command::Inspect(args) => args.run(),
            Command::Learn(args) => args.run(),
            Command::Diff(args) => args.run(),
            Command::Export(args) => args.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn clap_command_passes_debug_assert() {
        Cli::command().debug_assert();
    }

    /// Collects the help of every subcommand, and of theirs.
    fn gather(command: &mut clap::Command, texts: &mut Vec<String>) {
        for sub in command.get_subcommands_mut() {
            if sub.get_name() == "help" {
                continue;
            }
            let text = sub.render_long_help().to_string();
            assert!(
                text.contains("EXAMPLES:"),
                "{} has no examples",
                sub.get_name()
            );
            texts.push(text);
            gather(sub, texts);
        }
    }

    #[test]
    fn help_fits_eighty_columns() {
        let mut command = Cli::command();
        command.build();
        let mut texts = vec![command.render_long_help().to_string()];
        gather(&mut command, &mut texts);
        for line in texts.iter().flat_map(|text| text.lines()) {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
