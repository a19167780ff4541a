//! `earmark verify`.

use std::{io::IsTerminal, path::PathBuf};

use anyhow::Context;
use earmark_manifest::declaration::Gate;
use earmark_scan::verify::{self, Options, Verdict};

use crate::{
    commands::shared,
    exit::{Exit, Failure, Outcome},
    image::Image,
    output,
    progress::Bar,
};

/// Verify a root, or a finished disk, as the agent would at boot, offline
///
/// A disk is attached read-only and mounted where nobody else sees it: the one
/// partition that is a root, and what the image declares besides. That needs
/// root's rights. Nothing is left behind. Covers what the image's gate asks for, or everything with --full. Without
/// --trust the root's own trust file is believed, which shows damage, not
/// forgery: give --trust to know who signed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The root directory of the image
    #[arg(long, value_name = "DIR", required_unless_present = "image")]
    root: Option<PathBuf>,
    /// The image itself: a raw or qcow2 disk, or a block device
    #[arg(long, value_name = "DISK", conflicts_with = "root")]
    image: Option<PathBuf>,
    /// The partition of the disk that is the root
    #[arg(long, value_name = "N", requires = "image")]
    partition: Option<u32>,
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
  earmark verify --image disk.qcow2 --trust trust.toml --full
  earmark verify --root /mnt/image --json | jq .verdict";

impl Args {
    pub fn run(&self) -> Outcome {
        let trust = match &self.trust {
            Some(path) => Some(shared::read_trust(path)?.0),
            None => None,
        };
        let (image, directory);
        let root = match (&self.image, &self.root) {
            (Some(disk), _) => {
                image = Image::attach(disk, self.partition)?;
                output::note(&format!("{}: {image}", output::quote(disk)));
                image.root()
            }
            (None, Some(path)) => {
                directory = shared::open_root(path)?;
                &directory
            }
            (None, None) => return Err(Failure::new(Exit::Usage, "give --root or --image")),
        };
        let progress = Bar::new("verifying");
        let options = Options {
            trust: trust.as_ref(),
            gate: self.full.then_some(Gate::Full),
            progress: &progress,
        };
        let verification = verify::verify(root, &options);
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
