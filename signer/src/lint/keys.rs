//! Private keys, told by their content: looked for in every small file while it is measured, which reads it
//! anyway. A second reading would cost more than all other rules together.

use std::{
    collections::HashSet,
    mem,
    sync::{Mutex, PoisonError},
};

use earmark_scan::{
    Doubt,
    survey::{Inspector, LARGEST, Object},
};

/// The smallest, of Ed25519, has 119.
const SMALLEST: u64 = 100;

/// The files that have a private key in them.
#[derive(Debug, Default)]
pub struct Keys {
    found: Mutex<HashSet<(u64, u64)>>,
    missed: Mutex<Vec<Doubt>>,
}

impl Inspector for Keys {
    fn wants(&self, object: &Object<'_>) -> bool {
        (SMALLEST..=LARGEST).contains(&object.size)
    }

    fn see(&self, object: &Object<'_>, content: &[u8]) {
        if holds_a_key(content) {
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            found.insert(object.inode);
        }
    }

    fn miss(&self, doubt: Doubt) {
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        missed.push(doubt);
    }
}

impl Keys {
    /// Device and inode of each file with a key in it, and what could not be read.
    pub fn into_parts(self) -> (HashSet<(u64, u64)>, Vec<Doubt>) {
        let Self {
            mut found,
            mut missed,
        } = self;
        let found = mem::take(found.get_mut().unwrap_or_else(PoisonError::into_inner));
        let missed = mem::take(missed.get_mut().unwrap_or_else(PoisonError::into_inner));
        (found, missed)
    }
}

/// A whole PEM block of a key: source code that speaks of keys has quotes round its first line, and the keys of
/// manuals are cut short with dots.
fn holds_a_key(bytes: &[u8]) -> bool {
    if bytes.starts_with(PUTTY) {
        return true;
    }
    if !has_words(bytes) {
        return false;
    }
    let lines: Vec<&[u8]> = bytes
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .collect();
    let is_block = |(at, line): (usize, &&[u8])| {
        let is_pem = line.starts_with(b"-----BEGIN ")
            && (line.ends_with(b"PRIVATE KEY-----") || line.ends_with(b"PRIVATE KEY BLOCK-----"));
        is_pem && is_key(lines.get(at + 1..).unwrap_or_default())
    };
    lines.iter().enumerate().any(is_block)
}

const PUTTY: &[u8] = b"PuTTY-User-Key-File-";
const WORDS: &[u8] = b"PRIVATE KEY";

/// Returns whether the words of a PEM block's first line are anywhere in there; nearly every file has none.
///
/// Three of the letters at once, over many places at once: a loop without a branch in it, which the compiler
/// makes vector instructions of.
fn has_words(bytes: &[u8]) -> bool {
    const PLACES: usize = 4096;
    let of = |range: std::ops::Range<usize>| bytes.get(range).unwrap_or_default();
    let end = (bytes.len() + 1).saturating_sub(WORDS.len());
    (0..end).step_by(PLACES).any(|start| {
        let end = end.min(start + PLACES);
        let letters = of(start..end).iter();
        let letters = letters
            .zip(of(start + 3..end + 3))
            .zip(of(start + 10..end + 10));
        let found = letters.fold(0, |found, ((first, fourth), last)| {
            let other = (first ^ b'P') | (fourth ^ b'V') | (last ^ b'Y');
            found | u8::from(other == 0)
        });
        found != 0
            && of(start..end + WORDS.len() - 1)
                .windows(WORDS.len())
                .any(|words| words == WORDS)
    })
}

/// Returns whether these lines are a key up to its end: headers, and base64 of DER, of OpenSSH's format or of
/// `OpenPGP`'s.
fn is_key(lines: &[&[u8]]) -> bool {
    const SHORTEST: usize = 40;
    let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    let mut first = None;
    let mut length = 0;
    for line in lines {
        if line.starts_with(b"-----END ") {
            let starts = |line: &[u8]| matches!(line.first(), Some(b'M' | b'b' | b'l' | b'x'));
            return length >= SHORTEST && first.is_some_and(starts);
        }
        if line.is_empty() || line.contains(&b':') {
            continue;
        }
        if !line.iter().all(base64) {
            return false;
        }
        first = first.or(Some(*line));
        length += line.len();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_key_is_distinguished_from_text_about_keys() {
        const BODY: &str = "MC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for (text, is_key) in [
            (
                "-----BEGIN PRIVATE KEY-----\nBODY\n-----END PRIVATE KEY-----\n",
                true,
            ),
            (
                "x\n-----BEGIN EC PRIVATE KEY-----\r\nBODY\r\n-----END EC PRIVATE KEY-----\r\n",
                true,
            ),
            (
                "  -----BEGIN PRIVATE KEY-----\n  BODY\n  -----END PRIVATE KEY-----\n",
                true,
            ),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nBODY\n-----END RSA",
                true,
            ),
            (
                "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQOYBODY\n=abcd\n-----END PGP",
                true,
            ),
            ("PuTTY-User-Key-File-3: ssh-ed25519\n", true),
            (
                "-----BEGIN PUBLIC KEY-----\nBODY\n-----END PUBLIC KEY-----\n",
                false,
            ),
            (
                "if line == '-----BEGIN PRIVATE KEY-----':\nBODY\n-----END PRIVATE KEY-----\n",
                false,
            ),
            (
                "-----BEGIN PRIVATE KEY-----\nBODY\n...\n-----END PRIVATE KEY-----\n",
                false,
            ),
            (
                "-----BEGIN PRIVATE KEY-----\nVBNhBODY\n-----END PRIVATE KEY-----\n",
                false,
            ),
            (
                "-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----\n",
                false,
            ),
            ("-----BEGIN PRIVATE KEY-----\nBODY\n", false),
        ] {
            let text = text.replace("BODY", BODY);
            assert_eq!(holds_a_key(text.as_bytes()), is_key, "{text}");
        }
    }

    #[test]
    fn key_marker_is_found_at_every_offset() {
        for length in [0, 1, 10, 11, 12, 4096, 4107, 9000] {
            let mut text = vec![b'P'; length];
            assert!(!has_words(&text), "{length}");
            for at in (0..length).filter(|at| at + WORDS.len() <= length) {
                text.fill(b'V');
                text[at..at + WORDS.len()].copy_from_slice(WORDS);
                assert!(has_words(&text), "{length} {at}");
            }
        }
        // The three letters, and not the words.
        assert!(!has_words(b"PRIVATE-KEY PRIVATE KE PRIVATE_KEY"));
    }
}
