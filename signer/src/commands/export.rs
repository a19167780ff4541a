//! `earmark export`.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use earmark_manifest::verify;

use crate::{
    commands::shared,
    exit::{Exit, Exits, Outcome},
    inspect::{
        export::{self, Format},
        source::Source,
    },
    io::{
        files,
        output::{self, quote},
    },
};

/// Write a tree for another tool
///
/// Lets other programs check whether a root is the image. Each format holds
/// less than the tree: no capabilities, no hard links. With --trust, a seal that
/// those keys did not sign is refused; without it, the signature is not verified.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A sealed root, the directory of a seal or bundle, or a tree.zst
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// The format
    #[arg(long, value_name = "FORMAT")]
    format: Format,
    /// The keys that must have signed it
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// The file to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

const EXAMPLES: &str = "\
EXAMPLES:
  earmark export measured/ --format sha256sums --trust trust.toml --out sums
  (cd /mnt/image && sha256sum --check --quiet /tmp/sums)

  earmark export /mnt/image --format mtree --trust trust.toml --out spec
  mtree -f spec -p /mnt/image         prints what differs, or nothing

  earmark export /mnt/image --format fapolicyd --trust trust.toml \\
      --out web.trust";

impl Args {
    pub fn run(&self) -> Outcome {
        let source = Source::open(&self.path)?;
        self.verify(&source)?;
        let tree = source.tree()?;
        let exported = export::export(&tree, self.format);
        for note in &exported.notes {
            output::note(note);
        }
        match &self.out {
            None => output::stdout(&exported.bytes),
            Some(path) => files::replace(path, &exported.bytes).map(|()| Exit::Done),
        }
    }

    /// Refuses a seal that the given keys did not sign, or says that nobody asked.
    fn verify(&self, source: &Source) -> Outcome<()> {
        let path = quote(&self.path);
        let Some(trust) = &self.trust else {
            output::note(&format!(
                "warning: the signature of {path} was not verified: give --trust FILE"
            ));
            return Ok(());
        };
        let (trust, _) = shared::read_trust(trust)?;
        let seal = source
            .seal()
            .ok_or_else(|| anyhow!("{path} has no signed manifest"))
            .exits(Exit::Undecided)?;
        verify::verify(seal, &trust)
            .with_context(|| format!("the manifest in {path} is refused"))
            .exits(Exit::NotVerified)?;
        Ok(())
    }
}
