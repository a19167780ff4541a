//! A vector: one file that says what it is, what must happen, and why.
//!
//! ```text
//! expect: refused: <part of the message>        or: accepted
//! comment: <why, one sentence>
//! encoding: hex                                 or: text (if absent), expand
//! store: raw                                    only of trees: not to be compressed by the test
//!
//! <the input, to the end of the file>
//! ```
//!
//! `expand` is text in which `<<N * TEXT>>` stands for N times TEXT, so that large inputs stay small
//! files. `hex` takes any white space.

use std::fs;

use super::file;

/// Expected outcome of a vector.
#[derive(Debug, PartialEq, Eq)]
pub enum Expectation {
    Accepted,
    /// With a message that has this part.
    Refused(String),
}

/// One file of `vectors/`.
#[derive(Debug)]
pub struct Vector {
    pub name: String,
    pub expect: Expectation,
    pub input: Vec<u8>,
    /// True if the input is a tree as it is stored.
    pub is_stored: bool,
}

impl Vector {
    /// All vectors of a kind, by name.
    pub fn all(kind: &str) -> Vec<Self> {
        let mut vectors: Vec<Self> = fs::read_dir(file("vectors").join(kind))
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let name = format!("{kind}/{}", entry.file_name().to_str().unwrap());
                Self::parse(name, &fs::read_to_string(entry.path()).unwrap())
            })
            .collect();
        vectors.sort_by(|a, b| a.name.cmp(&b.name));
        vectors
    }

    /// Compares what happened with what must.
    pub fn check(&self, outcome: Result<(), String>) -> Result<(), String> {
        let name = &self.name;
        match (&self.expect, outcome) {
            (Expectation::Accepted, Ok(())) => Ok(()),
            (Expectation::Refused(part), Err(error)) if error.contains(part) => Ok(()),
            (Expectation::Accepted, Err(error)) => Err(format!("{name}: refused: {error}")),
            (Expectation::Refused(part), Ok(())) => {
                Err(format!("{name}: accepted, expected: {part}"))
            }
            (Expectation::Refused(part), Err(error)) => Err(format!(
                "{name}: refused for another reason\n  expected: {part}\n  found:    {error}"
            )),
        }
    }

    fn parse(name: String, text: &str) -> Self {
        let (header, input) = text.split_once("\n\n").expect(&name);
        let (mut expect, mut has_comment) = (None, false);
        let (mut encoding, mut is_stored) = ("text", false);
        for line in header.lines() {
            let (key, value) = line.split_once(": ").expect(&name);
            match key {
                "expect" if value == "accepted" => expect = Some(Expectation::Accepted),
                "expect" => {
                    let part = value.strip_prefix("refused: ").expect(&name);
                    assert!(!part.is_empty(), "{name}");
                    expect = Some(Expectation::Refused(part.to_owned()));
                }
                "comment" => has_comment = value.len() >= 5 && value.ends_with(['.', '?']),
                "encoding" => encoding = value,
                "store" if value == "raw" => is_stored = true,
                _ => panic!("{name}: unknown header '{key}'"),
            }
        }
        assert!(has_comment, "{name}: a vector says why, in a sentence");
        let input = match encoding {
            "text" => input.as_bytes().to_vec(),
            "hex" => unhex(input),
            "expand" => expand(input).into_bytes(),
            _ => panic!("{name}: unknown encoding '{encoding}'"),
        };
        Self {
            expect: expect.expect(&name),
            name,
            input,
            is_stored,
        }
    }
}

/// The bytes of hex text, white space left out.
pub fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|character| !character.is_whitespace())
        .map(|character| u8::try_from(character.to_digit(16).unwrap()).unwrap())
        .collect();
    assert!(digits.len().is_multiple_of(2), "half a byte");
    digits.chunks(2).map(|two| two[0] << 4 | two[1]).collect()
}

/// Text with each `<<N * TEXT>>` written out.
pub fn expand(text: &str) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<<") {
        let (repeat, after) = after.split_once(">>").unwrap();
        let (times, what) = repeat.split_once(" * ").unwrap();
        expanded.push_str(before);
        expanded.push_str(&what.replace("\\n", "\n").repeat(times.parse().unwrap()));
        rest = after;
    }
    expanded + rest
}
