//! `earmark lint`.

use std::path::PathBuf;

use anyhow::Context;
use clap::ValueEnum;
use earmark_manifest::{declaration::Declaration, limits};

use crate::{
    commands::shared,
    exit::{Exit, Exits, Outcome},
    io::{
        files,
        output::{self, quote},
    },
    lint::{self, Level, Listing},
};

/// Find what makes a root unfit to be sealed: bake hygiene
///
/// Host keys, credentials, histories, logs, caches, and what makes a
/// declaration weak. 'seal' and 'measure' refuse findings of the level error.
/// What the owner accepts stands in the declaration, as [[lint.allow]].
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are switches")]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The root directory of the image
    #[arg(long, value_name = "DIR", required_unless_present = "list")]
    root: Option<PathBuf>,
    /// The image's declaration: without it, nothing is waived, and what a
    /// declaration makes weak is not looked for
    #[arg(long, value_name = "FILE")]
    spec: Option<PathBuf>,
    /// Remove or empty what is safe to, and look again
    #[arg(long, conflicts_with = "list")]
    fix: bool,
    /// Allow --fix on the root of the running host
    #[arg(long, requires = "fix")]
    live: bool,
    /// The level from which findings count for the exit status
    #[arg(long, value_name = "LEVEL", default_value = "error")]
    deny: Deny,
    /// The format of the result
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Print the list of rules
    #[arg(long, conflicts_with_all = ["root", "spec"])]
    list: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
    /// SARIF 2.1.0, for code hosts
    Sarif,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Deny {
    /// Errors alone
    Error,
    /// Warnings, too
    Warn,
}

const EXAMPLES: &str = "\
EXIT STATUS:
  15  there are findings of the level that --deny names

EXAMPLES:
  earmark lint --root /mnt/image --spec earmark.toml
  earmark lint --root /mnt/image --spec earmark.toml --fix
  earmark lint --root / --spec /tmp/earmark.toml --fix --live
  earmark lint --root /mnt/image --format sarif > lint.sarif
  earmark lint --list";

impl Args {
    pub fn run(&self) -> Outcome {
        let json = self.json || self.format == Format::Json;
        let Some(path) = self.root.as_ref().filter(|_| !self.list) else {
            return output::result(json, &Listing::all());
        };
        let declaration = match &self.spec {
            None => None,
            Some(spec) => {
                let bytes = files::read(spec, limits::DECLARATION, "declaration")?;
                let declared = Declaration::parse(&bytes)
                    .with_context(|| format!("failed to parse {}", quote(spec)))
                    .exits(Exit::Usage)?;
                Some((declared, bytes))
            }
        };
        let declared = declaration
            .as_ref()
            .map(|(declared, bytes)| (declared, bytes.as_slice()));
        let report = if self.fix {
            lint::lint_and_fix(&shared::open_root_to_change(path, self.live)?, declared)?
        } else {
            lint::lint(&shared::open_root(path)?, declared)?
        };
        if self.format == Format::Sarif && !self.json {
            let mut bytes = serde_json::to_vec_pretty(&lint::sarif(&report))
                .context("failed to write the result as SARIF")?;
            bytes.push(b'\n');
            output::stdout(&bytes)?;
        } else {
            output::result(json, &report)?;
        }
        Ok(report.exit(match self.deny {
            Deny::Error => Level::Error,
            Deny::Warn => Level::Warn,
        }))
    }
}
