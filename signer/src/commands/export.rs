//! `earmark export`.

use std::path::PathBuf;

use crate::{
    exit::{Exit, Outcome},
    export::{self, Format},
    files, output,
    source::Source,
};

/// Write a tree for another tool
///
/// So that somebody else's program can say whether a root is the image. Each
/// format says less than the tree does: no capabilities, no hard links.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A sealed root, the directory of a seal or bundle, or a tree.zst
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// The format
    #[arg(long, value_name = "FORMAT")]
    format: Format,
    /// Where it goes; without it, to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

const EXAMPLES: &str = "\
EXAMPLES:
  earmark export measured/ --format sha256sums --out sums
  (cd /mnt/image && sha256sum --check --quiet /tmp/sums)

  earmark export /mnt/image --format mtree --out spec
  mtree -f spec -p /mnt/image         prints what differs, or nothing

  earmark export /mnt/image --format fapolicyd --out web.trust";

impl Args {
    pub fn run(&self) -> Outcome {
        let tree = Source::open(&self.path)?.tree()?;
        let exported = export::export(&tree, self.format);
        for note in &exported.notes {
            output::note(note);
        }
        match &self.out {
            None => output::stdout(&exported.bytes),
            Some(path) => files::replace(path, &exported.bytes).map(|()| Exit::Done),
        }
    }
}
