//! The words of a line, as each program reads them that takes words from it.
//!
//! Protects, where no line is signed, against a word that one reader sees and another does not: in
//! `"x init=/evil y"` systemd sees one word, and the scripts of an initrd see three.

use std::collections::BTreeSet;

/// Every word that the kernel, systemd, initramfs-tools, dracut or cloud-init reads in `line`.
pub(super) fn all(line: &str) -> BTreeSet<String> {
    READERS
        .iter()
        .flat_map(|reader| split(line, *reader))
        .collect()
}

/// The words that the kernel reads, which are those that it hands to the first process.
pub(super) fn of_kernel(line: &str) -> Vec<String> {
    split(line, KERNEL)
}

/// Rules by which a reader takes a line apart.
#[derive(Debug, Clone, Copy)]
struct Reader {
    quotes: &'static [char],
    backslash: Backslash,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backslash {
    /// Stands for itself.
    Plain,
    /// Goes, and the next character stands for itself, also in quotes.
    Escapes,
    /// The same, but for within single quotes.
    EscapesOutsideSingle,
}

/// `next_arg` of the kernel's lib/cmdline.c: double quotes keep white space in a word.
const KERNEL: Reader = Reader {
    quotes: &['"'],
    backslash: Backslash::Plain,
};

const READERS: [Reader; 5] = [
    KERNEL,
    // Shell scripts: `for word in $(cat /proc/cmdline)` removes no quotes (initramfs-tools, dracut); cloud-init
    // splits at white space likewise.
    Reader {
        quotes: &[],
        backslash: Backslash::Plain,
    },
    // systemd since 247: `extract_first_word` with EXTRACT_UNQUOTE and EXTRACT_RETAIN_ESCAPE.
    Reader {
        quotes: &['"', '\''],
        backslash: Backslash::Plain,
    },
    // systemd before.
    Reader {
        quotes: &['"', '\''],
        backslash: Backslash::Escapes,
    },
    // `shlex` of Python, and `eval` or `xargs` in shell scripts.
    Reader {
        quotes: &['"', '\''],
        backslash: Backslash::EscapesOutsideSingle,
    },
];

fn split(line: &str, reader: Reader) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let escapes = match reader.backslash {
            Backslash::Plain => false,
            Backslash::Escapes => true,
            Backslash::EscapesOutsideSingle => quote != Some('\''),
        };
        match (quote, character) {
            (_, '\\') if escapes => word.extend(characters.next()),
            (None, open) if reader.quotes.contains(&open) => quote = Some(open),
            (Some(open), close) if open == close => quote = None,
            (None, blank) if is_blank(blank) => words.push(std::mem::take(&mut word)),
            (_, other) => word.push(other),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// White space of any reader. The kernel's `isspace` has the vertical tab and the byte 0xa0, which is
/// no text and is read as U+FFFD here.
fn is_blank(character: char) -> bool {
    character.is_ascii_whitespace() || matches!(character, '\0' | '\u{b}' | '\u{fffd}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cmdline_is_split_by_the_quoting_rules_of_each_reader() {
        let line = "a  \"b c\"=d 'e f'\tg=\\\"h i\\\" \n";
        let read = |at: usize| split(line, READERS[at]);
        assert_eq!(read(0), ["a", "b c=d", "'e", "f'", "g=\\h i\\"]);
        assert_eq!(
            read(1),
            ["a", "\"b", "c\"=d", "'e", "f'", "g=\\\"h", "i\\\""]
        );
        assert_eq!(read(2), ["a", "b c=d", "e f", "g=\\h i\\"]);
        assert_eq!(read(3), ["a", "b c=d", "e f", "g=\"h", "i\""]);
        assert_eq!(split("'a\\'b", READERS[4]), ["a\\b"]);
        assert_eq!(split("'a\\'b'", READERS[3]), ["a'b"]);
        assert_eq!(split(" \n", KERNEL), [""; 0]);
        assert_eq!(split("\"never closed a", KERNEL), ["never closed a"]);
    }

    #[test]
    fn cmdline_word_hidden_by_quotes_or_escapes_is_found() {
        for line in [
            "\"x init=/evil y\"",
            "'x init=/evil y'",
            "x\\ init=/evil",
            "a=\"b\" \"init=/evil\"",
            "x\u{b}init=/evil",
            "x\u{fffd}init=/evil",
            "in\\it=/evil",
        ] {
            assert!(all(line).contains("init=/evil"), "{line}: {:?}", all(line));
        }
        assert!(!all("x=init=/evil").contains("init=/evil"));
    }
}
