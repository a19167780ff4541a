//! Size and number of crates of the programs that a boot waits for, against `xtask/budget.toml`.

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
    init_bytes: u64,
    init_crates: usize,
}

/// Builds the programs as they ship and says what they cost; an error if that is over the budget.
pub fn check() -> Result<String> {
    let path = crate::workspace()?.join("xtask/budget.toml");
    let text = fs::read_to_string(&path)
        .with_context(|| format!("failed to read \"{}\"", path.display()))?;
    let budget: Budget = toml::from_str(&text)
        .with_context(|| format!("failed to understand \"{}\"", path.display()))?;
    let programs = [
        ("earmark-agent", budget.binary_bytes, budget.crates),
        ("earmark-init", budget.init_bytes, budget.init_crates),
    ];
    let (mut found, mut is_over) = (Vec::new(), false);
    for (name, most_bytes, most_crates) in programs {
        let (bytes, crates) = cost(name)?;
        is_over |= bytes > most_bytes || crates > most_crates;
        found.push(format!(
            "{name}: {bytes} of {most_bytes} bytes, {crates} of {most_crates} crates"
        ));
    }
    let found = found.join("; ");
    if is_over {
        bail!("{found}: over the budget in xtask/budget.toml");
    }
    Ok(found)
}

/// Returns size and number of crates of a program.
fn cost(name: &str) -> Result<(u64, usize)> {
    let binary = tools::program(name)?.join(name);
    let bytes = fs::metadata(&binary)
        .with_context(|| format!("failed to find \"{}\"", binary.display()))?
        .len();
    // Procedural macros run at build time and are not in the binary, but they are trusted like it.
    let tree = tools::cargo("tree --locked --edges normal --prefix none --package")
        .args([name])
        .quiet()
        .output()?;
    Ok((bytes, distinct_crates(&tree)))
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
