//! The agent's size and the number of crates in it, against `xtask/budget.toml`.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::tools;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    binary_bytes: u64,
    crates: usize,
}

/// Builds the agent as it ships and says what it costs; an error if that is over the budget.
pub fn check() -> Result<String> {
    let path = crate::workspace()?.join("xtask/budget.toml");
    let text = fs::read_to_string(&path)
        .with_context(|| format!("failed to read \"{}\"", path.display()))?;
    let budget: Budget = toml::from_str(&text)
        .with_context(|| format!("failed to understand \"{}\"", path.display()))?;

    let binary = tools::program("earmark-agent")?.join("earmark-agent");
    let bytes = fs::metadata(&binary)
        .with_context(|| format!("failed to find \"{}\"", binary.display()))?
        .len();
    // Procedural macros run at build time and are not in the binary, but they are trusted like it.
    let tree = tools::cargo("tree --locked --package earmark-agent --edges normal --prefix none")
        .quiet()
        .output()?;
    let crates = distinct_crates(&tree);

    let found = format!(
        "earmark-agent: {bytes} of {} bytes, {crates} of {} crates",
        budget.binary_bytes, budget.crates
    );
    if bytes > budget.binary_bytes || crates > budget.crates {
        bail!("{found}: over the budget in xtask/budget.toml");
    }
    Ok(found)
}

/// Lines of `cargo tree` are `name vVERSION [(path)] [(*)]`.
fn distinct_crates(tree: &str) -> usize {
    let name_and_version = |line: &str| {
        let mut words = line.split_whitespace().map(str::to_owned);
        Some((words.next()?, words.next()?))
    };
    tree.lines()
        .filter_map(name_and_version)
        .collect::<BTreeSet<_>>()
        .len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinct_crates_counts_each_crate_version_once() {
        let tree = "a v0.1.0 (/a)\nb v1.0.0\nb v2.0.0\nb v1.0.0 (*)\nc v1.0.0 (proc-macro)\n\n";
        assert_eq!(distinct_crates(tree), 4);
    }
}
