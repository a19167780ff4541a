//! Judgement of the words of a boot: against the signed line, or, where none was signed, against the table
//! of words that take away or weaken what the image does.

use std::collections::BTreeSet;

use super::{BOOTCONFIG, CommandLine, FIRMWARE, INIT, KERNEL, lossy, place, rules, tokens};
use crate::{Doubt, Violation, ViolationKind};
use earmark_manifest::{
    cmdline::{self, SignedLine},
    escape::Escaped,
};

/// Findings of the judgement.
#[derive(Debug, Default)]
pub struct Judgement {
    /// Words that must not be there, and signed ones that are not.
    pub violations: Vec<Violation>,
    /// Sources that could not be read, and words that are not known.
    pub doubts: Vec<Doubt>,
}

/// Arguments that systemd gives itself when it leaves the initrd, and when it is executed again.
const OWN_ARGUMENTS: [&str; 3] = ["--switched-root", "--system", "--deserialize"];

impl CommandLine {
    /// Judges the words of this boot.
    pub fn judge(&self, signed: Option<&SignedLine>) -> Judgement {
        let mut judgement = Judgement {
            doubts: self.doubts.clone(),
            ..Judgement::default()
        };
        match signed {
            // A signed line is compared with the kernel's, which in a container is the host's.
            _ if self.is_container => judgement.by_table(INIT, self.arguments()),
            Some(signed) => self.by_signature(signed, &mut judgement),
            None => self.by_tables(&mut judgement),
        }
        judgement
    }

    fn by_signature(&self, signed: &SignedLine, judgement: &mut Judgement) {
        let Some(kernel) = &self.kernel else {
            // Nothing to compare with: that it is not known is a doubt already.
            return;
        };
        let difference = signed.compare(kernel);
        for word in &difference.unknown {
            judgement.unknown(KERNEL, word);
        }
        for word in &difference.missing {
            judgement.violations.push(Violation {
                path: place(KERNEL),
                kind: ViolationKind::Cmdline,
                expected: format!("the signed word {word}"),
                found: "a line without it".to_owned(),
            });
        }
        let firmware: Vec<&[u8]> = cmdline::words(self.firmware.as_bytes()).collect();
        for word in signed.unknown(&firmware) {
            judgement.unknown(FIRMWARE, word);
        }
        for argument in self.arguments_of_others(kernel) {
            judgement.unknown(INIT, argument);
        }
        // Its keys `kernel` and `init` are in the kernel's line, where they were judged.
        for word in self.bootconfig_words().filter(|word| !word.is_in_line()) {
            judgement.unknown(BOOTCONFIG, word.text.as_bytes());
        }
    }

    fn by_tables(&self, judgement: &mut Judgement) {
        let kernel = self.kernel.as_deref().unwrap_or_default();
        for (path, text) in [(KERNEL, &*lossy(kernel)), (FIRMWARE, &*self.firmware)] {
            let words = tokens::all(text);
            judgement.by_table(path, words.iter().cloned());
            if let Some(why) = rules::judge_line(text) {
                judgement
                    .violations
                    .push(violation(path, why, text.trim().as_bytes()));
            }
            judgement.doubt_unknown(path, &words);
        }
        judgement.by_table(INIT, self.arguments());
        let words: BTreeSet<String> = self.bootconfig_words().map(|word| word.in_line()).collect();
        judgement.by_table(BOOTCONFIG, words.iter().cloned());
        judgement.doubt_unknown(BOOTCONFIG, &words);
        let is_text = |byte: &u8| matches!(byte, b' '..=b'~') || byte.is_ascii_whitespace();
        if let Some(byte) = kernel.iter().find(|byte| !is_text(byte)) {
            judgement.doubts.push(Doubt {
                path: place(KERNEL),
                problem: format!(
                    "the byte {byte:#04x} is not printable ASCII, and readers of the line differ \
                     in what it means; next: boot without it"
                ),
            });
        }
    }

    /// The first process' arguments but for those that systemd gives itself.
    fn arguments(&self) -> impl Iterator<Item = String> {
        self.arguments_of_others(&[]).map(lossy)
    }

    /// The first process' arguments that neither the kernel nor systemd gave it.
    fn arguments_of_others<'a>(
        &'a self,
        kernel: &[u8],
    ) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let of_kernel = tokens::of_kernel(&lossy(kernel));
        let mut is_descriptor = false;
        self.arguments
            .iter()
            .map(Vec::as_slice)
            .filter(move |argument| {
                // systemd hands itself a descriptor there. Anything but a number was given by somebody else.
                let number =
                    |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                let text = String::from_utf8_lossy(argument);
                let (name, value) = text.split_once('=').unwrap_or((&text, ""));
                let follows = std::mem::replace(&mut is_descriptor, &*text == "--deserialize");
                let is_own = OWN_ARGUMENTS.contains(&&*text)
                    || name == "--deserialize" && number(value)
                    || follows && number(&text);
                !is_own && !of_kernel.iter().any(|word| *word == *text)
            })
    }

    fn bootconfig_words(&self) -> impl Iterator<Item = Bootconfig> {
        let text = lossy(&self.bootconfig);
        let lines: Vec<Bootconfig> = text
            .lines()
            .map(str::trim)
            // Since 6.10 a comment at the end repeats the line of the boot loader.
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| Bootconfig {
                text: line.to_owned(),
            })
            .collect();
        lines.into_iter()
    }
}

/// One line of `/proc/bootconfig`: `key.key = "value", "value"`.
struct Bootconfig {
    text: String,
}

impl Bootconfig {
    fn key(&self) -> &str {
        self.text
            .split_once('=')
            .map_or(&*self.text, |(key, _)| key)
            .trim()
    }

    fn is_in_line(&self) -> bool {
        let is = |root: &str| {
            let rest = self.key().strip_prefix(root);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        is("kernel") || is("init")
    }

    /// As a word of a line.
    fn in_line(&self) -> String {
        let key = self.key();
        let key = key
            .strip_prefix("kernel.")
            .or(key.strip_prefix("init."))
            .unwrap_or(key);
        match self.text.split_once('=') {
            Some((_, value)) => format!("{key}={}", value.trim().replace('"', "")),
            None => key.to_owned(),
        }
    }
}

impl Judgement {
    /// A word that was not signed.
    fn unknown(&mut self, path: &str, word: &[u8]) {
        let expected = match rules::judge(&String::from_utf8_lossy(word)) {
            Some(why) => format!("no word that {why}"),
            None => "only the words of the signed command line".to_owned(),
        };
        self.violations.push(Violation {
            path: place(path),
            kind: ViolationKind::Cmdline,
            expected,
            found: Escaped(word).to_string(),
        });
    }

    fn by_table(&mut self, path: &str, words: impl Iterator<Item = String>) {
        let found =
            words.filter_map(|word| Some(violation(path, rules::judge(&word)?, word.as_bytes())));
        self.violations.extend(found);
    }

    fn doubt_unknown(&mut self, path: &str, words: &BTreeSet<String>) {
        // A word that is split at a quote is known by its beginning.
        let unknown = words
            .iter()
            .filter(|word| rules::judge(word).is_none() && !rules::is_known(word));
        self.doubts.extend(unknown.map(|word| Doubt {
            path: place(path),
            problem: format!(
                "failed to judge the word {}: this agent does not know it, and the image was sealed without \
                 a command line; next: declare [boot] cmdline in earmark.toml",
                Escaped(word.as_bytes())
            ),
        }));
    }
}

fn violation(path: &str, why: &str, found: &[u8]) -> Violation {
    Violation {
        path: place(path),
        kind: ViolationKind::Cmdline,
        expected: format!("no word that {why}"),
        found: Escaped(found).to_string(),
    }
}
