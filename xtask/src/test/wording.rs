//! The check that tests quote no sentences: what is reworded is reworded in a golden text or in a fact of the test
//! bench (`tests/src/facts.rs`), and in no test besides.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Words of three or more that tests look for: answers of other programs, of which we reword none, and six of ours in
/// the VM tier, where a fact that a screen wraps is not found on one line.
const MOST: usize = 13;

/// Number of words that are of language: at least two letters, and no sign but a hyphen or one at the end.
fn words(text: &str) -> usize {
    let is_word = |word: &&str| {
        let word = word.trim_end_matches(['.', ',', ':', ';', '!', '?']);
        word.len() > 1
            && word
                .chars()
                .all(|c| c.is_alphabetic() || c == '-' || c == '\'')
    };
    text.split_whitespace().filter(is_word).count()
}

/// Quotations in a text: its literals of three or more words inside `contains(…)`.
fn quotations(text: &str) -> Vec<&str> {
    let calls = text.split("contains(").skip(1);
    let literal = |call: &'_ str| -> Option<usize> {
        let start = call.trim_start();
        let start = start.strip_prefix("&format!(").unwrap_or(start);
        let start = start.trim_start().strip_prefix('"')?;
        let mut is_escaped = false;
        let end = start.find(|c| {
            let ends = c == '"' && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            ends
        })?;
        let at = call.len() - start.len();
        (words(&start[..end]) > 2).then_some(at + end)
    };
    let quoted = calls.filter_map(|call| {
        let end = literal(call)?;
        Some(call[..end].trim_start())
    });
    quoted.collect()
}

fn walk(directory: &Path, found: &mut Vec<String>) -> Result<()> {
    let entries = fs::read_dir(directory);
    let entries = entries.with_context(|| format!("failed to list \"{}\"", directory.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            walk(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("failed to read \"{}\"", path.display()))?;
            let quoted = quotations(&text);
            found.extend(
                quoted
                    .iter()
                    .map(|one| format!("{}: {one}", path.display())),
            );
        }
    }
    Ok(())
}

/// Counts the quotations in the tests of the programs.
///
/// # Errors
///
/// If they are more than [`MOST`].
pub fn check() -> Result<String> {
    let mut found = Vec::new();
    walk(&crate::workspace()?.join("tests"), &mut found)?;
    if found.len() <= MOST {
        return Ok(format!("{} quotations", found.len()));
    }
    for one in &found {
        eprintln!("{one}");
    }
    bail!(
        "tests quote {} sentences, expected {MOST} at most; next: assert data, a golden text, or a fact of tests/src/facts",
        found.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wording_lint_finds_literals_of_three_words_in_calls_only() {
        let text = r#"x.contains("one two = 3"); x.contains("one two three");
            x.contains(
                &format!("of {b} \"no\" two-fold words")) && contains(FACT) && ["one two three"].contains(&x);"#;
        let found = quotations(text);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].ends_with("one two three"));
        assert!(found[1].ends_with("two-fold words"));
    }
}
