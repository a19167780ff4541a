//! `cargo xtask bless`: renews the golden texts, and lists which of them changed.

use std::fs;

use anyhow::{Context, Result, bail};
use earmark_tests::golden::BLESS;

use crate::run::Run;
use crate::tools;

/// The directories and packages with golden texts. The files of released format versions (`manifest/tests/golden`)
/// are not among them: they stay as they are, for ever.
const CRATES: [(&str, &str); 4] = [
    ("agent/golden", "earmark-agent"),
    ("signer/golden", "earmark"),
    ("tests/golden", "earmark-tests"),
    ("xtask/golden", "xtask"),
];

/// Writes all golden texts anew, runs their tests again without that, and lists what changed.
pub fn run() -> Result<()> {
    if std::env::var_os("CI").is_some() {
        bail!("CI is set, where nobody reviews a golden text; next: run it where you commit");
    }
    let root = crate::workspace()?;
    let tests = |words| {
        let packages = CRATES
            .iter()
            .flat_map(|(_, package)| ["--package", package]);
        tools::cargo("test --locked --quiet")
            .args(packages)
            .args(words)
    };
    // Before anything is removed: a tree that does not compile keeps its texts.
    tools::cargo("build --workspace --bins --locked --quiet").step()?;
    tests(["--no-run"].as_slice()).step()?;
    for (directory, _) in CRATES {
        let directory = root.join(directory);
        // All of them, so that the text of a test that is gone goes with it.
        if directory.is_dir() {
            fs::remove_dir_all(&directory)
                .with_context(|| format!("failed to remove \"{}\"", directory.display()))?;
        }
    }
    tests(&["--", "golden"]).env(BLESS, "1").step()?;
    tests(&["--", "golden"]).step()?;
    let changed = Run::words("git status --short --untracked-files=all --");
    let changed = changed.args(CRATES.map(|(directory, _)| directory));
    let changed = changed.dir(root).quiet().output()?;
    if changed.is_empty() {
        println!("no golden text changed");
    } else {
        println!(
            "{changed}next: review them with git diff, and commit them with what changed them"
        );
    }
    Ok(())
}

/// Refuses to test while golden texts would be written instead of compared.
pub fn refuse_blessing() -> Result<()> {
    if std::env::var_os(BLESS).is_some() {
        bail!(
            "{BLESS} is set: golden texts would be written, not compared; next: unset it, or run `cargo xtask bless`"
        );
    }
    Ok(())
}
