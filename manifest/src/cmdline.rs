//! [`SignedLine`]: the kernel command line that an image is signed with. Closed world: a boot has
//! these words and no others.
//!
//! Protects against: a word that somebody adds, changes or removes at a boot loader or a console,
//! whatever reads it (kernel, initrd, service manager, cloud-init), because no list of bad words is
//! needed. Does not protect against a boot loader that starts another kernel or initrd (tier T0).

mod matching;
mod record;

use std::{fmt, str::FromStr};

use crate::limits;

pub use record::{PER_DISK, PerDisk};

/// The words of a boot, in any order within each of the two parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedLine {
    /// For the kernel and everything that reads its line.
    words: Vec<SignedWord>,
    /// Arguments of the first process, after `--`; `None` without that word.
    arguments: Option<Vec<SignedWord>>,
}

/// One word, in which `*` stands for what differs from disk to disk.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SignedWord {
    pattern: String,
    /// True for a word that a boot may go without, written with a `?` before it.
    is_optional: bool,
}

/// Difference between a command line and the signed one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// Words of the line that no signed word is left for.
    pub unknown: Vec<Vec<u8>>,
    /// Signed words, not optional, that no word of the line is left for.
    pub missing: Vec<String>,
}

/// Text that is no command line to be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// No word.
    #[error("the command line is empty: remove it, or list the words of a boot")]
    Empty,
    /// Over [`limits::CMDLINE`].
    #[error("the command line has {0} bytes, and at most {max} can be signed", max = limits::CMDLINE)]
    Long(usize),
    /// Over [`limits::CMDLINE_WORDS`].
    #[error("the command line has {0} words, and at most {max} can be signed", max = limits::CMDLINE_WORDS)]
    ManyWords(usize),
    /// A byte that is neither printable ASCII nor white space.
    #[error("invalid byte {0:#04x} in the command line: only printable ASCII can be signed")]
    Byte(u8),
    /// A `*` that is not in a value.
    #[error("'{0}': '*' is allowed only in a value, after '=': write the name in full")]
    Wildcard(String),
    /// A `*` in a line to be recorded, whose own byte no pattern can name.
    #[error("'{0}': the '*' of this boot's own line would be signed as a wildcard")]
    OwnWildcard(String),
    /// A `?` that marks no word.
    #[error("'{0}': '?' marks the word after it as optional, and a word must follow")]
    Optional(String),
    /// White space that is not one space between two words.
    #[error("expected one space between two words of the command line")]
    Spaces,
}

/// The word after which all others are arguments of the first process.
const SEPARATOR: &str = "--";

/// The words of a line as they are given: split at ASCII white space, without removal of quotes.
pub fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    // The kernel's `isspace` has the vertical tab as well, which Rust's does not.
    // 0xa0 separates words for it, too, but no signed word can hold it: what has one is unknown as a whole.
    line.split(|byte| byte.is_ascii_whitespace() || *byte == 0x0b)
        .filter(|word| !word.is_empty())
}

impl SignedLine {
    /// Parses a line of a statement, which has one spelling: words with one space between them.
    ///
    /// # Errors
    ///
    /// [`LineError`] for other white space than one space between two words, and for what
    /// [`SignedLine::from_str`](std::str::FromStr::from_str) refuses.
    pub fn from_canonical(text: &str) -> Result<Self, LineError> {
        let line: Self = text.parse()?;
        // A second spelling of the same words would be a second statement, with another digest, for the same boot.
        if line.to_string() == text {
            Ok(line)
        } else {
            Err(LineError::Spaces)
        }
    }

    /// Compares a line with this one. Each signed word takes exactly one word of the line, so that
    /// `root=a root=b` does not pass one `root=*`.
    pub fn compare(&self, line: &[u8]) -> Difference {
        let found: Vec<&[u8]> = words(line).collect();
        // The first one alone, as the kernel does: a later `--` is an argument of PID 1 like the others.
        let at = found.iter().position(|word| *word == SEPARATOR.as_bytes());
        let (before, after) = found.split_at(at.unwrap_or(found.len()));
        let mut difference = Difference::default();
        difference.add(&self.words, before);
        match (&self.arguments, after.split_first()) {
            (None, None) => {}
            (Some(arguments), Some((_, after))) => difference.add(arguments, after),
            (Some(arguments), None) => {
                difference.missing.push(SEPARATOR.to_owned());
                difference.add(arguments, &[]);
            }
            // With the `--` itself: behind it stand options that systemd obeys as PID 1 and that nobody signed.
            (None, Some(_)) => difference.add(&[], after),
        }
        difference
    }

    /// The words among `found` that no signed word is left for. Words that are missing count for
    /// nothing: for places that may repeat words of the line, such as systemd's EFI variable.
    pub fn unknown<'a>(&self, found: &[&'a [u8]]) -> Vec<&'a [u8]> {
        let fits = |word: &[u8], signed: &SignedWord| signed.matches(word);
        matching::unmatched(found, &self.words, |word, signed| fits(word, signed))
            .into_iter()
            .copied()
            .collect()
    }

    fn in_order(&self) -> impl Iterator<Item = String> {
        let arguments = self.arguments.iter().flat_map(|arguments| {
            let arguments = arguments.iter().map(ToString::to_string);
            std::iter::once(SEPARATOR.to_owned()).chain(arguments)
        });
        let words = self.words.iter().map(ToString::to_string);
        words.chain(arguments)
    }
}

impl Difference {
    fn add(&mut self, signed: &[SignedWord], found: &[&[u8]]) {
        // Two matchings, not one: if one covers every word of the line and another every word that
        // must be there, a third covers both (Mendelsohn and Dulmage).
        let unknown = matching::unmatched(found, signed, |word, signed| signed.matches(word));
        self.unknown
            .extend(unknown.into_iter().map(|word| word.to_vec()));
        let needed: Vec<&SignedWord> = signed.iter().filter(|word| !word.is_optional).collect();
        let missing = matching::unmatched(&needed, found, |signed, word| signed.matches(word));
        self.missing
            .extend(missing.into_iter().map(|signed| signed.pattern.clone()));
    }

    /// Returns whether the line is the signed one.
    pub fn is_none(&self) -> bool {
        self.unknown.is_empty() && self.missing.is_empty()
    }
}

impl SignedWord {
    fn parse(word: &str) -> Result<Self, LineError> {
        let (pattern, is_optional) = match word.strip_prefix('?') {
            Some(pattern) => (pattern, true),
            None => (word, false),
        };
        // With a `--` that may be missing, the same words would once be the kernel's and once those of PID 1.
        if pattern.is_empty() || pattern.starts_with('?') || is_optional && pattern == SEPARATOR {
            return Err(LineError::Optional(word.to_owned()));
        }
        let name = pattern.split_once('=').map_or(pattern, |(name, _)| name);
        // A `*` before the '=' lets in any word that has one: `init=/bin/sh` as well.
        if name.contains('*') || pattern.starts_with('=') {
            return Err(LineError::Wildcard(word.to_owned()));
        }
        Ok(Self {
            pattern: pattern.to_owned(),
            is_optional,
        })
    }

    fn matches(&self, word: &[u8]) -> bool {
        matching::matches(self.pattern.as_bytes(), word)
    }
}

impl FromStr for SignedLine {
    type Err = LineError;

    fn from_str(text: &str) -> Result<Self, LineError> {
        // Not all white space: vertical tab and 0xa0 separate words for the kernel and not for every other reader.
        let is_good = |byte: u8| matches!(byte, 0x20..=0x7e | b'\t' | b'\n' | b'\r');
        if let Some(byte) = text.bytes().find(|byte| !is_good(*byte)) {
            return Err(LineError::Byte(byte));
        }
        let found: Vec<&str> = text.split_ascii_whitespace().collect();
        if found.len() > limits::CMDLINE_WORDS {
            return Err(LineError::ManyWords(found.len()));
        }
        let at = found.iter().position(|word| *word == SEPARATOR);
        let (before, after) = found.split_at(at.unwrap_or(found.len()));
        let parse = |words: &[&str]| words.iter().map(|word| SignedWord::parse(word)).collect();
        let line = Self {
            words: parse(before)?,
            arguments: after
                .split_first()
                .map(|(_, after)| parse(after))
                .transpose()?,
        };
        // Of the text that is signed, with one space between two words: a declaration may have more of them.
        let length = line.to_string().len();
        match length {
            0 => Err(LineError::Empty),
            _ if length > limits::CMDLINE => Err(LineError::Long(length)),
            _ => Ok(line),
        }
    }
}

impl fmt::Display for SignedLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.in_order().collect::<Vec<_>>().join(" "))
    }
}

impl fmt::Display for SignedWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.is_optional { "?" } else { "" };
        write!(f, "{mark}{}", self.pattern)
    }
}

#[cfg(test)]
mod tests;
