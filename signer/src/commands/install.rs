//! `earmark install`.

use std::path::PathBuf;

use crate::{
    commands::shared::{self, Summary, VerityArgs},
    exit::Outcome,
    io::output,
    seal::{bundle::SignedBundle, floor::ChannelArgs},
};

/// Place a signed manifest into the root that was measured
///
/// Verifies the manifest against the trust file first, stamps os-release, and
/// places seal and trust file in /usr/lib/earmark: all of it, or nothing.
/// With --verity, the kernel enforces the content of the sealed files from then
/// on. Any copy of the root loses that: give it in the run after the last copy.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The directory that `earmark sign` completed
    #[arg(value_name = "OUT")]
    directory: PathBuf,
    /// The root directory of the image
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
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

const EXAMPLES: &str = "\
EXAMPLES:
  earmark install measured/ --root /mnt/image --trust trust.toml
  earmark install /tmp/measured --root / --trust /tmp/trust.toml --live
  earmark install /tmp/measured --root / --trust /tmp/trust.toml --live --verity";

impl Args {
    pub fn run(&self) -> Outcome {
        let bundle = SignedBundle::read(&self.directory)?;
        let (trust, trust_bytes) = shared::read_trust(&self.trust)?;
        let root = shared::open_root_to_change(&self.root, self.live)?;
        let (verified, enforced) = shared::install(
            &root,
            &bundle,
            &trust,
            &trust_bytes,
            &self.channel,
            &self.verity,
        )?;
        let signers = verified.signers().iter().map(ToString::to_string);
        let summary = Summary::new(
            "installed",
            &self.root,
            verified.statement(),
            verified.digest(),
            signers.collect(),
        );
        output::result(self.json, &summary.with(enforced))
    }
}
