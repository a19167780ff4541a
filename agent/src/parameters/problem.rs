//! Problems of the values that were given, for people to read: safe to print, and without the values.

use std::fmt;

use earmark_manifest::escape::Escaped;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Place: `user-data`, `tags`, a path.
    pub source: String,
    /// Key that it is about; none if it is about the whole place. Untrusted text.
    pub key: Option<String>,
    /// Kind of the thing that is there. Never the thing.
    pub found: String,
    /// Form that would be right.
    pub expected: String,
}

/// All that is wrong, at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub(super) Vec<Problem>);

/// A console line has room for this many characters of a key, and of what would be right.
const LONGEST_KEY: usize = 80;
const LONGEST_EXPECTED: usize = 240;
/// Most problems that are printed; the rest is counted.
const MOST: usize = 40;

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 64 KiB of user-data can have thousands of problems, and a serial console is where they go.
        for (index, problem) in self.0.iter().take(MOST).enumerate() {
            let line_break = if index == 0 { "" } else { "\n" };
            write!(f, "{line_break}{problem}")?;
        }
        match self.0.len().saturating_sub(MOST) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.source)?;
        if let Some(key) = &self.key {
            // A key comes with the document, and could drive the terminal. Escaped, it is ASCII, and can be cut.
            let key = Escaped(key.as_bytes()).to_string();
            write!(f, "{}: ", shortened(&key, LONGEST_KEY))?;
        }
        let expected = shortened(&printable(&self.expected), LONGEST_EXPECTED);
        write!(f, "found {}, expected {expected}", self.found)
    }
}

/// Returns the kind of a value, in words. Of a secret not even the length is told.
pub(super) fn class(value: &toml::Value, is_secret: bool) -> String {
    match value {
        toml::Value::String(text) if text.chars().any(is_never_taken) => {
            "text with control characters".to_owned()
        }
        toml::Value::String(text) if text.contains(is_line_break) => {
            "text with line breaks or tabs".to_owned()
        }
        toml::Value::String(_) if is_secret => "text".to_owned(),
        toml::Value::String(text) => format!("text of {} bytes", text.len()),
        toml::Value::Integer(_) => "a whole number".to_owned(),
        toml::Value::Float(_) => "a number with a fraction".to_owned(),
        toml::Value::Boolean(_) => "a boolean".to_owned(),
        toml::Value::Datetime(_) => "a date or a time".to_owned(),
        toml::Value::Array(_) => "a list".to_owned(),
        toml::Value::Table(_) => "a table".to_owned(),
    }
}

/// Control characters drive terminals and forge lines of logs, wherever a step may print the value.
fn is_never_taken(character: char) -> bool {
    character.is_control() && !is_line_break(character)
}

/// Returns whether a character is one that only a parameter with `multiline = true` takes.
fn is_line_break(character: char) -> bool {
    // U+2028 and U+2029 are no control characters to `is_control`, and still break lines in many viewers.
    matches!(character, '\t' | '\n' | '\u{2028}' | '\u{2029}')
}

/// The words of a declaration, on one line and without what would drive a terminal. A pattern keeps
/// its backslashes.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, ' '..='~') {
            shown.push(character);
        } else {
            shown.extend(character.escape_unicode());
        }
    }
    shown
}

/// Of text in ASCII.
fn shortened(text: &str, longest: usize) -> String {
    // An end within a character would give None, and the whole text: so callers escape it first.
    match text.get(..longest) {
        Some(start) if text.len() > longest => format!("{start}..."),
        _ => text.to_owned(),
    }
}
