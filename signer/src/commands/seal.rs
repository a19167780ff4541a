//! `earmark seal`.

use std::path::PathBuf;

use crate::{
    commands::shared::{self, MeasureArgs, Summary, VerityArgs},
    exit::Outcome,
    io::output,
    keys::KeyArgs,
    seal::{assemble, floor::ChannelArgs},
};

/// Measure, sign and install in one
///
/// For a root at hand and a key that may be where it is. Nothing is written
/// into the root before all of it has worked. Sealing twice gives the same
/// bytes; sealing over a base image's seal names that as the parent.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, override_usage = USAGE)]
pub struct Args {
    #[command(flatten)]
    measure: MeasureArgs,
    #[command(flatten)]
    keys: KeyArgs,
    /// The keys that the image will believe
    #[arg(long, value_name = "FILE")]
    trust: PathBuf,
    #[command(flatten)]
    channel: ChannelArgs,
    #[command(flatten)]
    verity: VerityArgs,
    /// Allow the root of the running host
    #[arg(long)]
    live: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// The one that clap makes is wider than 80 columns.
const USAGE: &str = "earmark seal [OPTIONS] --root <DIR> --spec <FILE> --version <VERSION>\n                    --key <KEY> --trust <FILE>";

const EXAMPLES: &str = "\
ENVIRONMENT:
  SOURCE_DATE_EPOCH   the only time that is recorded, in seconds since 1970

EXAMPLES:
  earmark seal --root /mnt/image --spec earmark.toml --version 2026.11.22 \\
      --key release.key --trust trust.toml
  earmark seal --root /mnt/image --spec earmark.toml --version 2026.11.22 \\
      --key env:RELEASE_KEY --key second.key --trust trust.toml --json";

impl Args {
    pub fn run(&self) -> Outcome {
        let request = self.measure.request()?;
        let keys = self.keys.load()?;
        let (trust, trust_bytes) = shared::read_trust(&self.trust)?;
        let root = shared::open_root_to_change(&self.measure.root, self.live)?;
        let signed = assemble::assemble(&root, request)?.sign(None, &keys)?;
        let (verified, enforced) = shared::install(
            &root,
            &signed,
            &trust,
            &trust_bytes,
            &self.channel,
            &self.verity,
        )?;
        let signers = verified.signers().iter().map(ToString::to_string);
        let summary = Summary::new(
            "sealed",
            &self.measure.root,
            verified.statement(),
            verified.digest(),
            signers.collect(),
        );
        output::result(self.json, &summary.with(enforced))
    }
}
