//! `earmark diff`.

use std::path::PathBuf;

use crate::{
    exit::Outcome,
    inspect::{
        diff::{Difference, Length},
        source::Source,
    },
    io::output,
};

/// Show what changed from one image to another
///
/// Compares what was sealed, not the roots: files by package, with what changed
/// in each; first-boot steps, parameters, locks and class rules; versions. Ends
/// with 0 whether anything changed or not. To check that a root still is what was
/// sealed, use `earmark verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A sealed root, the directory of a seal or bundle, or a tree.zst. Only
    /// roots have packages
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The same, of the other image
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// For people, for programs, or for a review page
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// List every file
    #[arg(long)]
    all: bool,
}

const EXAMPLES: &str = "\
EXAMPLES:
  earmark diff /mnt/old /mnt/new
  earmark diff old-seal/ new-seal/ --format markdown
  earmark diff old.zst new.zst --json | jq .changed";

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    Text,
    Json,
    Markdown,
}

impl Args {
    pub fn run(&self) -> Outcome {
        let (old, new) = (Source::open(&self.old)?, Source::open(&self.new)?);
        let difference = Difference::between(&old, &new)?;
        let length = if self.all { Length::All } else { Length::Short };
        let bytes = match self.format {
            _ if self.json => output::json_bytes(&difference)?,
            Format::Json => output::json_bytes(&difference)?,
            Format::Text => difference.text(length).into_bytes(),
            Format::Markdown => difference.markdown(length).into_bytes(),
        };
        output::stdout(&bytes)
    }
}
