//! `earmark measure`.

use std::path::PathBuf;

use crate::{
    commands::shared::{self, MeasureArgs, Summary},
    exit::Outcome,
    io::output,
    seal::assemble,
};

/// Measure a root and write what is to be signed; the root is not changed
///
/// Needs no key, so that it can run where the image is built. OUT gets
/// statement.json, earmark.toml and tree.zst, to be signed elsewhere. The same
/// root, declaration and arguments give the same bytes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, override_usage = USAGE)]
pub struct Args {
    #[command(flatten)]
    measure: MeasureArgs,
    /// The directory to write
    #[arg(long, value_name = "OUT")]
    out: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// The one that clap makes is wider than 80 columns.
const USAGE: &str = "earmark measure [OPTIONS] --root <DIR> --spec <FILE> --version <VERSION>\n                       --out <OUT>";

const EXAMPLES: &str = "\
ENVIRONMENT:
  SOURCE_DATE_EPOCH   the only time that is recorded, in seconds since 1970

EXAMPLES:
  earmark measure --root /mnt/image --spec earmark.toml --version 2026.11.22 \\
      --out measured/
  earmark measure --root / --spec /tmp/earmark.toml --version 2026.11.22 \\
      --revision \"$(git rev-parse HEAD)\" --out /tmp/measured";

impl Args {
    pub fn run(&self) -> Outcome {
        let request = self.measure.request()?;
        let root = shared::open_root(&self.measure.root)?;
        shared::refuse_output_inside(&root, &request.declared, &self.out)?;
        let bundle = assemble::assemble(&root, request)?;
        bundle.write(&self.out)?;
        let summary = Summary::new(
            "measured",
            &self.out,
            bundle.statement(),
            bundle.digest(),
            Vec::new(),
        );
        output::result(self.json, &summary)
    }
}
