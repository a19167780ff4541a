//! The check of how doc comments open: with a verb or a noun, as `CONTRIBUTING.md` says.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Directories of crates.
const CRATES: [&str; 8] = [
    "agent", "fuzz", "init", "manifest", "scan", "signer", "tests", "xtask",
];
/// Words that make a reader find out what is spoken of.
const OPENERS: [&str; 9] = [
    "What", "Which", "Who", "Whether", "Why", "How", "Where", "When", "Whose",
];
/// Share of doc lines that may open so, in a thousand: help texts ask questions, and some lines are the middle of a sentence.
const MOST: usize = 20;
/// Lines that are printed, for whoever is over.
const SHOWN: usize = 20;

/// Lines of doc comments, and those of them that open with one of [`OPENERS`].
#[derive(Debug, Default)]
struct Doc {
    lines: usize,
    openers: Vec<String>,
}

impl Doc {
    fn read(&mut self, name: &str, text: &str) {
        for (line, number) in text.lines().zip(1..) {
            let line = line.trim_start();
            let Some(doc) = line.strip_prefix("///").or(line.strip_prefix("//!")) else {
                continue;
            };
            self.lines += 1;
            let first = doc.split_whitespace().next().unwrap_or_default();
            if OPENERS.contains(&first) {
                self.openers.push(format!("{name}:{number}: {line}"));
            }
        }
    }

    fn walk(&mut self, root: &Path, directory: &Path) -> Result<()> {
        let entries = fs::read_dir(directory);
        let entries =
            entries.with_context(|| format!("failed to list \"{}\"", directory.display()))?;
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                if entry.file_name() != "target" {
                    self.walk(root, &path)?;
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path)
                    .with_context(|| format!("failed to read \"{}\"", path.display()))?;
                let name = path.strip_prefix(root).unwrap_or(&path);
                self.read(&name.display().to_string(), &text);
            }
        }
        Ok(())
    }

    fn is_within(&self) -> bool {
        self.lines > 0 && self.openers.len() * 1000 <= self.lines * MOST
    }
}

/// Counts the openers of all crates.
///
/// # Errors
///
/// If they are more than [`MOST`] in a thousand lines.
pub fn check() -> Result<String> {
    let root = crate::workspace()?;
    let mut doc = Doc::default();
    for name in CRATES {
        doc.walk(root, &root.join(name))?;
    }
    let (found, lines) = (doc.openers.len(), doc.lines);
    if doc.is_within() {
        return Ok(format!("{found} of {lines} doc lines open with a question"));
    }
    for line in doc.openers.iter().take(SHOWN) {
        eprintln!("{line}");
    }
    bail!(
        "{found} of {lines} doc lines open with What, Which, Who and the like, expected {} at most: open with a verb or a noun",
        lines * MOST / 1000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_lint_counts_openers_in_doc_comments_only() {
        let mut doc = Doc::default();
        assert!(!doc.is_within(), "of nothing nothing is known");
        let text = "//! What it is.\n    /// Returns it.\n// What not.\nlet x = \"/// What\";\n///\n/// Whatever.\n/// Who did it.\n";
        doc.read("a.rs", text);
        assert_eq!(doc.lines, 5);
        assert_eq!(
            doc.openers,
            ["a.rs:1: //! What it is.", "a.rs:7: /// Who did it."]
        );
        assert!(!doc.is_within());
        doc.lines = 100;
        assert!(doc.is_within());
    }
}
