//! One escaping for bytes that people and terminals see, and that the tree stores.
//!
//! File names are any bytes but `/` and NUL: they can hold newlines, which would forge lines of the
//! tree and of a log, and escape codes, which would drive a terminal. Every byte outside the
//! printable ASCII range `0x21..=0x7e`, and the backslash, is written `\xHH` with lower-case
//! digits. Names in other scripts become hard to read; in return no two names look alike.

use std::fmt;

use crate::digest::{nibble, push_hex};

/// Bytes that are shown escaped.
#[derive(Debug, Clone, Copy)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(self.0.len());
        push(&mut text, self.0);
        f.pad(&text)
    }
}

/// Escaped text that is not in the one form that [`push`] writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid escaping at byte {at}: printable ASCII stands for itself, all else is \\xHH")]
pub struct EscapeError {
    at: usize,
}

/// Appends `bytes`, escaped, to `text`.
pub fn push(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        if stands_for_itself(*byte) {
            text.push(char::from(*byte));
        } else {
            text.push_str("\\x");
            push_hex(text, std::slice::from_ref(byte));
        }
    }
}

/// The bytes that `text` stands for. Accepts exactly what [`push`] writes, so that equal bytes have
/// equal text and a tree can be compared as it is stored.
///
/// # Errors
///
/// [`EscapeError`] for text that [`push`] does not write.
pub fn decode(text: &[u8]) -> Result<Vec<u8>, EscapeError> {
    if text.iter().all(|byte| stands_for_itself(*byte)) {
        return Ok(text.to_vec());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let error = EscapeError {
            at: text.len() - rest.len(),
        };
        match (first, after) {
            (b'\\', [b'x', high, low, after @ ..]) => {
                let (Some(high), Some(low)) = (nibble(*high), nibble(*low)) else {
                    return Err(error);
                };
                let byte = high << 4 | low;
                // `\x61` would be a second spelling of `a`.
                if stands_for_itself(byte) {
                    return Err(error);
                }
                bytes.push(byte);
                rest = after;
            }
            (byte, after) if stands_for_itself(*byte) => {
                bytes.push(*byte);
                rest = after;
            }
            _ => return Err(error),
        }
    }
    Ok(bytes)
}

const fn stands_for_itself(byte: u8) -> bool {
    // Not the space, which ends a field of the tree, nor the backslash, which begins an escape.
    matches!(byte, 0x21..=0x7e) && byte != b'\\'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_encodes_control_bytes_and_decodes_back() {
        let shown = Escaped(b"a\n\x1b[2J\xffb\\ c").to_string();
        assert_eq!(shown, r"a\x0a\x1b[2J\xffb\x5c\x20c");
        assert_eq!(decode(shown.as_bytes()).unwrap(), b"a\n\x1b[2J\xffb\\ c");
    }

    #[test]
    fn escape_decoder_refuses_non_canonical_forms() {
        for other in [
            r"\x61", r"\x0A", r"\x", r"\x0", r"\n", "\n", " ", "\u{e9}", r"a\",
        ] {
            assert!(decode(other.as_bytes()).is_err(), "{other:?}");
        }
    }
}
