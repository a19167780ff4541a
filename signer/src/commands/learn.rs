//! `earmark learn`.

use std::{
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use earmark_manifest::verify;
use earmark_scan::seal;

use crate::{
    commands::shared,
    exit::{Exit, Exits, Failure, Next, Outcome},
    inspect::source::Source,
    io::{
        files,
        output::{self, quote},
    },
    learn::{self, bundle::Bundle},
};

/// Propose class rules for what changed on its own in a booted host
///
/// Compares the root of a host that booted, and that nobody worked on, with
/// the manifest that it was started from, and prints rules for 'tree' in
/// earmark.toml: the narrowest for each change, with what was found. Each is
/// refused until a person has written its reason. What no class should allow
/// (programs, units, accounts) is listed apart.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The image of the host: a sealed root, or the directory of a
    /// seal or signed bundle
    #[arg(long, value_name = "MANIFEST")]
    before: PathBuf,
    /// The root directory of the host, or of a copy of its disk
    #[arg(long, value_name = "BOOTED")]
    root: PathBuf,
    /// The keys to believe, instead of the trust file in BOOTED
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Write what changed to a new file as well, to send to who writes profiles:
    /// names and numbers, no content, and nothing that tells which host it was
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
EXIT STATUS:
  0   each change has a rule that would allow it, or nothing changed
  10  something changed that no class should allow

EXAMPLES:
  earmark learn --before release/ --root /mnt/booted > learned.toml
  earmark learn --before release/ --root /mnt/booted --json | jq .refused
  earmark learn --before release/ --root / --bundle evidence.json";

impl Args {
    pub fn run(&self) -> Outcome {
        let before = Source::open(&self.before)?;
        let seal = before
            .seal()
            .ok_or_else(|| anyhow!("{} has no signed manifest", quote(&self.before)))
            .exits(Exit::Usage)
            .or_next(|| {
                "name a sealed root, or a directory with manifest.json, earmark.toml and tree.zst"
                    .to_owned()
            })?;
        let root = shared::open_root(&self.root)?;
        let trust = match &self.trust {
            Some(path) => shared::read_trust(path)?.0,
            None => seal::read_trust(&root)
                .with_context(|| format!("failed to use the trust file of {}", quote(&self.root)))
                .exits(Exit::Undecided)
                .or_next(|| "name the keys to believe: --trust trust.toml".to_owned())?,
        };
        let manifest = verify::verify(seal, &trust)
            .with_context(|| format!("the manifest in {} is refused", quote(&self.before)))
            .exits(Exit::NotVerified)?;
        if self.trust.is_none() {
            output::note(
                "warning: only the booted root's own trust file was used, which proves nothing: \
                 --trust names the keys to believe",
            );
        }
        let lesson = learn::learn(&root, &manifest)?;
        if let Some(path) = &self.bundle {
            let bundle = Bundle::of(&root, &manifest, &before.tree()?, &lesson)?;
            write(path, &output::json_bytes(&bundle)?)?;
            let changes = output::count(bundle.changes(), "change", "changes");
            output::note(&format!(
                "wrote {} with {changes}: read it before you send it",
                quote(path)
            ));
        }
        output::result(self.json, &lesson)?;
        Ok(lesson.exit())
    }
}

/// Writes a file that is not there yet.
fn write(path: &Path, bytes: &[u8]) -> Outcome<()> {
    match files::create_new(path, 0o600, bytes) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let text = format!("failed to write {}: it exists", quote(path));
            Err(Failure::new(Exit::Usage, text).next("move it away, or give another --bundle FILE"))
        }
        Err(error) => {
            let exit = files::unwritable(&error);
            Err(error)
                .with_context(|| format!("failed to write {}", quote(path)))
                .exits(exit)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundle_is_written_once_for_its_owner_and_never_over_another_file() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("evidence.json");
        write(&path, b"first").unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let refused = write(&path, b"second").unwrap_err();
        assert_eq!(refused.exit(), Exit::Usage);
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        let nowhere = directory.path().join("none/evidence.json");
        assert_eq!(write(&nowhere, b"x").unwrap_err().exit(), Exit::Usage);
    }
}
