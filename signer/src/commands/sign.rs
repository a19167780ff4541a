//! `earmark sign`.

use std::path::PathBuf;

use crate::{
    commands::shared::Summary,
    exit::Outcome,
    io::output,
    keys::{self, KeyArgs},
    seal::bundle::{self, UnsignedBundle},
};

/// Sign what was measured; needs no root
///
/// Checks that the directory holds one whole measurement, and writes its
/// manifest.json, or adds signatures to the one that is there.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The directory that `earmark measure` wrote
    #[arg(value_name = "OUT")]
    directory: PathBuf,
    #[command(flatten)]
    keys: KeyArgs,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
EXAMPLES:
  earmark sign measured/ --key release.key
  earmark sign measured/ --key env:RELEASE_KEY
  earmark sign measured/ --key encrypted.key --passphrase-fd 3 3< passphrase
  earmark sign measured/ --key \\
    'pkcs11:token=hsm;object=release?module-path=/M.so&pin-source=file:/run/pin'
  earmark sign measured/ --key awskms:alias/release
  earmark sign measured/ --key second.key     adds a second signature";

impl Args {
    pub fn run(&self) -> Outcome {
        let bundle = UnsignedBundle::read(&self.directory)?;
        let earlier = bundle::read_envelope(&self.directory)?;
        let keys = self.keys.load()?;
        let (statement, digest) = (bundle.statement().clone(), bundle.digest());
        let signed = bundle.sign(earlier, &keys)?;
        signed.write_manifest(&self.directory)?;
        let signatures = keys::claimed_ids(&signed.envelope);
        let summary = Summary::new("signed", &self.directory, &statement, digest, signatures);
        output::result(self.json, &summary)
    }
}
