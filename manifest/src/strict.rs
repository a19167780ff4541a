//! Strict reading of TOML: what `serde` lets pass beyond what a file's owner meant.

use std::{fmt, marker::PhantomData, ops::Deref};

use serde::de::{self, Deserialize, Deserializer};

/// A `T` that comes as a table. Deriving `Deserialize` alone would take an array of its fields too,
/// in their order, which is a second spelling that nobody reviews and that a new field changes.
#[derive(Debug, Default)]
pub(crate) struct Table<T>(pub(crate) T);

impl<T> Deref for Table<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Table<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TableVisitor(PhantomData))
    }
}

struct TableVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> de::Visitor<'de> for TableVisitor<T> {
    type Value = Table<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Table<T>, A::Error> {
        T::deserialize(de::value::MapAccessDeserializer::new(map)).map(Table)
    }
}

/// Locates a fault in a TOML document: returns line, column and message, all safe to print.
///
/// `toml`'s own `Display` quotes the whole line, however long, with whatever control characters are
/// the very reason why it is refused.
pub(crate) fn locate(text: &str, at: usize, problem: &str) -> (usize, usize, String) {
    // `get`, since a slice panics where an offset lies inside a character, and the text is a stranger's.
    let before = text.get(..at).unwrap_or(text);
    let line_start = before
        .rfind('\n')
        .map_or(0, |newline| newline.saturating_add(1));
    let line = before.matches('\n').count().saturating_add(1);
    let column = before
        .get(line_start..)
        .unwrap_or_default()
        .chars()
        .count()
        .saturating_add(1);
    (line, column, printable(problem))
}

/// Line ends become `; `, and what would drive a terminal or turn text round is escaped.
fn printable(problem: &str) -> String {
    let mut text = String::with_capacity(problem.len());
    for character in problem.trim_end().replace('\n', "; ").chars() {
        // The second group is Unicode's: bidirectional marks, separators, zero width.
        let hides = matches!(character, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
        if character.is_control() || hides {
            text.extend(character.escape_unicode());
        } else {
            text.push(character);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toml_error_escapes_terminal_control_characters() {
        let (line, column, problem) =
            locate("a\nb = ", 4, "unknown field `\u{1b}[2J\u{202e}\u{61c}`\n");
        assert_eq!((line, column), (2, 3));
        assert_eq!(problem, "unknown field `\\u{1b}[2J\\u{202e}\\u{61c}`");
    }

    #[test]
    fn toml_array_is_refused_where_a_table_is_expected() {
        #[derive(Debug, serde::Deserialize)]
        struct Both {
            #[expect(dead_code, reason = "only read")]
            a: Table<std::collections::BTreeMap<String, u8>>,
        }
        assert!(toml::from_str::<Both>("a = { b = 1 }").is_ok());
        let error = toml::from_str::<Both>("a = [1]").unwrap_err();
        assert!(error.message().contains("expected a table"), "{error}");
    }
}
