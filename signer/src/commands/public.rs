//! `earmark public`.

use std::{fmt, path::PathBuf};

use earmark_manifest::trust;
use serde::Serialize;

use crate::{
    commands::keygen,
    exit::Outcome,
    io::output::{self, quote},
    keys::{KeySource, PassphraseArgs},
};

/// Write the public half of a key, for a trust file
///
/// Works for every kind of key that signs, so also for one that never leaves a
/// device or a service.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The private key, as for `earmark sign`
    #[arg(long, value_name = "KEY")]
    key: KeySource,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// The file to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
EXAMPLES:
  earmark public --key release.key
  earmark public --key awskms:alias/release --out release.pub
  earmark trust --key release.pub --out trust.toml";

#[derive(Serialize)]
struct Half {
    key_id: String,
    algorithm: &'static str,
    public: Option<PathBuf>,
    pem: String,
}

impl Args {
    pub fn run(&self) -> Outcome {
        let key = self.key.load(&self.passphrase.source())?;
        let half = Half {
            key_id: key.id().to_string(),
            algorithm: key.public().algorithm().name(),
            public: self.out.clone(),
            pem: trust::public_pem(key.public()),
        };
        match &self.out {
            Some(out) => keygen::write(out, 0o644, &half.pem)?,
            None if !self.json => return output::stdout(half.pem.as_bytes()),
            None => {}
        }
        output::result(self.json, &half)
    }
}

impl fmt::Display for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} key {}", self.algorithm, self.key_id)?;
        match &self.public {
            Some(path) => writeln!(f, "  public   {}", quote(path)),
            None => Ok(()),
        }
    }
}
