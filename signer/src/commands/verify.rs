//! `earmark verify`.

use std::{io::IsTerminal, path::PathBuf};

use anyhow::Context;
use earmark_manifest::declaration::Gate;
use earmark_scan::verify::{self, Options, Verdict};

use crate::{
    commands::shared,
    exit::{Exit, Outcome},
    output,
    progress::Bar,
};

/// Verify a root as the agent would at boot, offline
///
/// Covers what the image's gate asks for, or everything with --full. Without
/// --trust the root's own trust file is believed, which shows damage, not
/// forgery: give --trust to know who signed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The root directory of the image
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// The keys to believe, instead of the root's own trust file
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Verify the content of every sealed file
    #[arg(long)]
    full: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
EXAMPLES:
  earmark verify --root /mnt/image --trust trust.toml --full
  earmark verify --root /mnt/image --json | jq .verdict";

impl Args {
    pub fn run(&self) -> Outcome {
        let trust = match &self.trust {
            Some(path) => Some(shared::read_trust(path)?.0),
            None => None,
        };
        let root = shared::open_root(&self.root)?;
        let progress = Bar::new("verifying");
        let options = Options {
            trust: trust.as_ref(),
            gate: self.full.then_some(Gate::Full),
            progress: &progress,
        };
        let verification = verify::verify(&root, &options);
        drop(progress);
        let report = verification.report();
        if self.json {
            // The report is the agent's own document, with its own schema number.
            let mut bytes =
                serde_json::to_vec_pretty(&report).context("failed to write the report as JSON")?;
            bytes.push(b'\n');
            output::stdout(&bytes)?;
        } else {
            output::stdout(report.to_string().as_bytes())?;
        }
        if trust.is_none() && std::io::stderr().is_terminal() {
            output::note(
                "the root's own trust file was believed; --trust names the keys to believe",
            );
        }
        Ok(match verification.verdict() {
            Verdict::Verified | Verdict::Partial => Exit::Done,
            Verdict::Violated => Exit::NotVerified,
            Verdict::Undecided => Exit::Undecided,
        })
    }
}
