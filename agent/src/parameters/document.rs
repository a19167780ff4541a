//! TOML with one table, `[parameters]`: what user-data and values files are.

use super::problem::Problem;

const EXPECTED: &str =
    "TOML with one table, [parameters], and a line such as name = \"value\" for each";

/// The keys of `[parameters]` with their values; else all that is wrong with the document.
///
/// Nothing of the text gets into a message: a line that is not TOML may still be a secret.
pub(super) fn parse(source: &str, bytes: &[u8]) -> Result<toml::Table, Vec<Problem>> {
    let problem = |key: Option<&str>, found: String, expected: &str| Problem {
        source: source.to_owned(),
        key: key.map(str::to_owned),
        found,
        expected: expected.to_owned(),
    };
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let place = place(&String::from_utf8_lossy(before));
        vec![problem(
            None,
            format!("bytes that are not UTF-8 ({place})"),
            EXPECTED,
        )]
    })?;
    let document: toml::Table = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let place = place(text.get(..at).unwrap_or(text));
        // The parser's words, which name what it met by its kind.
        let found = format!(
            "text that is not TOML ({place}: {})",
            one_line(error.message())
        );
        vec![problem(None, found, EXPECTED)]
    })?;
    let mut problems = Vec::new();
    let mut parameters = toml::Table::new();
    for (key, value) in document {
        match (key.as_str(), value) {
            ("parameters", toml::Value::Table(table)) => parameters = table,
            ("parameters", _) => {
                let found = "something else than a table".to_owned();
                problems.push(problem(Some(&key), found, EXPECTED));
            }
            // A misspelt table, or another tool's document: passed over, the host would start with its defaults.
            (_, value) => {
                let kind = if value.is_table() { "table" } else { "key" };
                let found = format!("a {kind} that means nothing here");
                problems.push(problem(Some(&key), found, "[parameters] alone"));
            }
        }
    }
    if problems.is_empty() {
        Ok(parameters)
    } else {
        Err(problems)
    }
}

/// Returns the line and column at which the text that follows `before` begins, both from 1.
fn place(before: &str) -> String {
    let line = before.matches('\n').count().saturating_add(1);
    let column = before
        .rsplit('\n')
        .next()
        .map_or(0, |start| start.chars().count())
        .saturating_add(1);
    format!("line {line}, column {column}")
}

fn one_line(message: &str) -> String {
    message.trim_end().replace('\n', "; ")
}
