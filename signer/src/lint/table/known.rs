//! Identities and secrets that programs are known to leave in an image: one row each, with its source.
//!
//! The rules that this table is asked by are `rules::known`. `docs/lint.md` prints it, and a test compares both. A row
//! is for a file that is there only once a program ran, enrolled or was configured; where a file is there anyway, the row
//! says what in it counts.

use serde::Serialize;

mod automation;
mod clouds;
mod clusters;
mod endpoint;
mod joins;
mod monitoring;
mod network;
mod packages;
mod system;

/// One identity or secret.
#[derive(Debug, Serialize)]
pub struct Known {
    /// Id of the rule that reports it.
    pub rule: &'static str,
    /// Program that writes or reads it.
    pub owner: &'static str,
    /// Paths relative to the root, or to each home if they start with `~/`; `*` and `**` as in `[tree]`.
    pub paths: &'static [&'static str],
    /// Content that counts.
    #[serde(skip)]
    pub holds: Holds,
    /// Description that stands after "has".
    pub what: &'static str,
    /// The owner's own way to be rid of it; empty, if the rule's says enough.
    pub fix: &'static str,
    /// Documentation of that: `owner/repository: path` at GitHub, a manual page, or a site's document.
    pub source: &'static str,
    /// True, if the program makes it again when it starts, so that a sealed path would be a violation on each host.
    #[serde(skip)]
    pub remade: bool,
    /// True, if it is only warned of.
    #[serde(skip)]
    pub warns: bool,
    /// True, if `--fix` removes it.
    #[serde(skip)]
    pub removed: bool,
}

/// Content that makes a file an identity or a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Anything.
    Content,
    /// A line that is neither empty nor a comment.
    Lines,
    /// One of these keys with a value that is no placeholder and no reference, or a URL with a password.
    Keys(&'static [&'static str]),
    /// One of these words, and such a value as the next word.
    Words(&'static [&'static str]),
    /// One of these texts.
    Marks(&'static [&'static str]),
    /// A URL with a password.
    Userinfo,
    /// A line with a URL and an `@`.
    Account,
}

/// All rows.
pub fn all() -> impl Iterator<Item = &'static Known> {
    [
        system::ROWS,
        monitoring::ROWS,
        endpoint::ROWS,
        network::ROWS,
        clusters::ROWS,
        joins::ROWS,
        automation::ROWS,
        clouds::ROWS,
        packages::ROWS,
    ]
    .into_iter()
    .flatten()
}

impl Known {
    const fn new(
        rule: &'static str,
        owner: &'static str,
        paths: &'static [&'static str],
        holds: Holds,
        what: &'static str,
        source: &'static str,
    ) -> Self {
        Self {
            rule,
            owner,
            paths,
            holds,
            what,
            fix: "",
            source,
            remade: false,
            warns: false,
            removed: false,
        }
    }

    /// A row for an identity, by which a service knows one machine.
    const fn identity(
        owner: &'static str,
        paths: &'static [&'static str],
        holds: Holds,
        what: &'static str,
        source: &'static str,
    ) -> Self {
        Self::new("agent-identity", owner, paths, holds, what, source)
    }

    /// A row for a secret, which opens something.
    const fn secret(
        owner: &'static str,
        paths: &'static [&'static str],
        holds: Holds,
        what: &'static str,
        source: &'static str,
    ) -> Self {
        Self::new("agent-secret", owner, paths, holds, what, source)
    }

    const fn fix(mut self, fix: &'static str) -> Self {
        self.fix = fix;
        self
    }

    const fn remade(mut self) -> Self {
        self.remade = true;
        self
    }

    const fn warns(mut self) -> Self {
        self.warns = true;
        self
    }

    const fn removed(mut self) -> Self {
        self.removed = true;
        self
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// A row as one of `docs/lint.md`.
    fn row(known: &Known) -> String {
        let path = |path: &&str| match path.strip_prefix("~/") {
            Some(_) => format!("`{path}`"),
            None => format!("`/{path}`"),
        };
        let paths: Vec<String> = known.paths.iter().map(path).collect();
        let Known {
            owner, rule, what, ..
        } = known;
        let level = if known.warns { " (warn)" } else { "" };
        format!(
            "| {owner} | {} | `{rule}`{level} | {what} | {} |",
            paths.join(" "),
            known.source
        )
    }

    #[test]
    fn known_secret_table_matches_docs() {
        let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/lint.md");
        let document = fs::read_to_string(document).unwrap();
        let (_, section) = document.split_once("\n## What is known\n").unwrap();
        let section = section.split("\n## ").next().unwrap();
        let rows: Vec<&str> = section
            .lines()
            .filter(|line| line.starts_with("| "))
            .skip(1)
            .collect();
        let expected: Vec<String> = all().map(row).collect();
        assert!(
            rows == expected,
            "docs/lint.md should say:\n{}",
            expected.join("\n")
        );
    }
}
