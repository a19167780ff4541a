//! Facts that programs tell people in words alone, each with its words in one place.
//!
//! A test asserts data (exit codes, kinds, paths, counts) where there is any, and a golden text where a whole text is
//! meant. The rest, such as the reason of a refusal in the journal of a booted host, is a [`Fact`]: a sentence that is
//! reworded is reworded here, and the fast tier finds one that no program says any more.

pub mod fleet;
pub mod host;
pub mod image;
pub mod signer;

/// Words that tell one fact on one line. Each `{}` stands for a thing that the fact is about.
#[derive(Debug, Clone, Copy)]
pub struct Fact<'a> {
    words: &'static str,
    things: &'a [&'a str],
}

impl Fact<'static> {
    const fn new(words: &'static str) -> Self {
        Self { words, things: &[] }
    }

    /// The same fact about these things: the first ones take the places of `{}`, and all others are on the same line.
    pub const fn of<'a>(self, things: &'a [&'a str]) -> Fact<'a> {
        Fact {
            words: self.words,
            things,
        }
    }
}

impl Fact<'_> {
    /// Returns its words alone.
    pub const fn words(&self) -> &'static str {
        self.words
    }

    /// Returns its words with the things that they are about, for a text that is asserted as a whole.
    pub fn text(&self) -> String {
        self.split().0
    }

    fn split(&self) -> (String, &[&str]) {
        let mut words = self.words.to_owned();
        let mut things = self.things;
        while let (true, Some((first, rest))) = (words.contains("{}"), things.split_first()) {
            words = words.replacen("{}", first, 1);
            things = rest;
        }
        assert!(!words.contains("{}"), "about what? {self:?}");
        (words, things)
    }

    /// Returns the number of lines that tell it.
    pub fn count(&self, text: &str) -> usize {
        let (words, things) = self.split();
        let tells =
            |line: &&str| line.contains(&words) && things.iter().all(|thing| line.contains(thing));
        text.lines().filter(tells).count()
    }

    /// Returns whether a line tells it.
    pub fn is_in(&self, text: &str) -> bool {
        self.count(text) > 0
    }

    /// Checks that a line tells it.
    #[track_caller]
    pub fn must_be_in(&self, text: &str) {
        assert!(self.is_in(text), "not told: {self:?}\n{text}");
    }

    /// Checks that no line tells it.
    #[track_caller]
    pub fn must_not_be_in(&self, text: &str) {
        assert!(!self.is_in(text), "told: {self:?}\n{text}");
    }
}

/// No words: of an error whose words are a library's or the kernel's, which `of` names.
pub const ANYTHING: Fact<'static> = Fact::new("");

/// Declares facts of a module, and lists all of them.
macro_rules! facts {
    ($($(#[$doc:meta])* $name:ident = $words:literal;)*) => {
        $($(#[$doc])* pub const $name: $crate::facts::Fact<'static> = $crate::facts::Fact::new($words);)*

        #[cfg(test)]
        pub(super) const ALL: &[(&str, &str)] = &[$((stringify!($name), $words)),*];
    };
}
use facts;

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    const FACT: Fact<'_> = Fact::new("counter {} is lower than {}");

    #[test]
    fn fact_is_told_on_one_line_with_all_that_it_is_about() {
        let text = "x: counter 3 is lower than 9\nweb\n";
        FACT.of(&["3", "9"]).must_be_in(text);
        FACT.of(&["3", "9", "x"]).must_be_in(text);
        FACT.of(&["9", "3"]).must_not_be_in(text);
        FACT.of(&["3", "9", "web"]).must_not_be_in(text);
        assert_eq!(FACT.of(&["3", "9"]).count(&text.repeat(2)), 2);
    }

    /// Appends the text of all sources below `path`, as their literals are printed: without line breaks that are
    /// escaped, and with `{}` for each value.
    fn read(path: &Path, all: &mut String) {
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name == "tests") {
                return;
            }
            for entry in fs::read_dir(path).unwrap() {
                read(&entry.unwrap().path(), all);
            }
            return;
        }
        let text = fs::read_to_string(path).unwrap_or_default();
        let mut lines = text.split("\\\n");
        all.push_str(lines.next().unwrap_or_default());
        lines.for_each(|line| all.push_str(line.trim_start()));
    }

    fn without_values(text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            out.push_str(before);
            out.push('{');
            rest = after;
            let is_value = |c: char| c.is_alphanumeric() || "_.:?#$()".contains(c);
            if let Some((value, after)) = after.split_once('}')
                && value.chars().all(is_value)
            {
                out.push('}');
                rest = after;
            }
        }
        out + rest
    }

    /// A fact whose words were changed in the program alone would make a test that must *not* find it pass for ever.
    #[test]
    fn words_of_each_fact_are_in_a_source_of_the_programs() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut sources = String::new();
        for directory in [
            "agent/src",
            "signer/src",
            "manifest/src",
            "scan/src",
            "systemd",
            "packer",
        ] {
            read(&root.join(directory), &mut sources);
        }
        let sources = without_values(&sources);
        assert!(sources.len() > 1 << 20, "{}", sources.len());
        let all = [fleet::ALL, host::ALL, image::ALL, signer::ALL].concat();
        let gone: Vec<_> = all
            .iter()
            .filter(|(_, words)| !sources.contains(words))
            .collect();
        assert!(gone.is_empty(), "no program says: {gone:#?}");
    }
}
