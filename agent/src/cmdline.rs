//! The words that the service manager was started with, and those among them that take away or weaken
//! what the image does at boot.
//!
//! Protects against: a boot entry or a console at which somebody adds a word, on a host that then
//! boots on as if nothing were. Does not protect against a word after which this program never runs
//! (`init=/bin/sh`), nor against a boot loader that shows another line than the kernel got (tier T0).

mod rules;

use std::fmt;

use earmark_manifest::{escape::Escaped, path::ImagePath};
use earmark_scan::{Doubt, Root, ScanError, Violation, ViolationKind};

use crate::host::CONTAINER;

/// The words of a boot.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct CommandLine {
    words: Vec<Word>,
    doubts: Vec<Doubt>,
}

/// One word, `KEY` or `KEY=VALUE`, without quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    place: ImagePath,
    text: String,
}

/// The kernel's own line.
const KERNEL: &str = "/proc/cmdline";
/// In a container the kernel's line is the host's: the service manager reads its own arguments.
const INIT: &str = "/proc/1/cmdline";
/// Words that systemd takes like the kernel's, set with `bootctl systemd-efi-options`.
const FIRMWARE: &str =
    "/sys/firmware/efi/efivars/SystemdOptions-8cf2644b-4b0b-428f-9387-6d876050dc67";
/// A command line is at most this long; the kernel's own bound is far below.
const BOUND: usize = 64 * 1024;

impl CommandLine {
    /// Reads the words that `root`, the running host's, was booted with.
    pub fn read(root: &Root) -> Self {
        let mut line = Self::default();
        if line.bytes(root, CONTAINER).is_some() {
            // Another process' arguments may be hidden from a service; the container's manager is
            // above this host in any case.
            if let Ok(Some(bytes)) = read(root, INIT) {
                let mut arguments = bytes.split(|byte| *byte == 0);
                arguments.next();
                line.extend(INIT, arguments.map(lossy));
            }
            return line;
        }
        match line.bytes(root, KERNEL) {
            Some(bytes) => line.extend(KERNEL, split(&lossy(&bytes))),
            None if line.doubts.is_empty() => line.doubt(KERNEL, "read it: it is not there"),
            None => {}
        }
        if let Some(variable) = line.bytes(root, FIRMWARE) {
            line.extend(FIRMWARE, split(&firmware_text(&variable)));
        }
        line
    }

    /// Each word that takes away or weakens what the image does at boot.
    pub fn violations(&self) -> Vec<Violation> {
        let judge = |word: &Word| {
            let why = rules::judge(&word.text)?;
            Some(Violation {
                path: word.place.clone(),
                kind: ViolationKind::Cmdline,
                expected: format!("no word that {why}"),
                found: Escaped(word.text.as_bytes()).to_string(),
            })
        };
        self.words.iter().filter_map(judge).collect()
    }

    /// What could not be read.
    pub fn doubts(&self) -> &[Doubt] {
        &self.doubts
    }

    /// The units that this boot is asked to start instead of the default one. None of them may get
    /// past the verification.
    pub fn targets(&self) -> Vec<String> {
        let mut targets: Vec<String> = self
            .words
            .iter()
            .filter_map(|word| rules::target(&word.text))
            .collect();
        targets.sort();
        targets.dedup();
        targets
    }

    fn extend(&mut self, place: &str, words: impl IntoIterator<Item = String>) {
        let place = ImagePath::from_absolute(place.as_bytes()).unwrap_or_default();
        self.words.extend(words.into_iter().map(|text| Word {
            place: place.clone(),
            text,
        }));
    }

    /// A file that need not be there; what is there and cannot be read is a doubt.
    fn bytes(&mut self, root: &Root, path: &str) -> Option<Vec<u8>> {
        read(root, path).unwrap_or_else(|error| {
            self.doubt(path, format_args!("{} it: {}", error.what, error.cause));
            None
        })
    }

    fn doubt(&mut self, path: &str, problem: impl fmt::Display) {
        self.doubts.push(Doubt {
            path: ImagePath::from_absolute(path.as_bytes()).unwrap_or_default(),
            problem: format!("failed to {problem}"),
        });
    }
}

fn read(root: &Root, path: &str) -> Result<Option<Vec<u8>>, ScanError> {
    let path = ImagePath::from_absolute(path.as_bytes()).map_err(|error| ScanError {
        what: "open",
        place: path.to_owned(),
        cause: std::io::Error::other(error),
    })?;
    root.read_opt(&path, BOUND)
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Words are parted by white space; either kind of quote keeps white space in a word, as the service
/// manager has it.
fn split(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for character in line.chars() {
        match (quote, character) {
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), close) if open == close => quote = None,
            (None, blank) if blank.is_ascii_whitespace() || blank == '\0' => {
                words.push(std::mem::take(&mut word));
            }
            (_, other) => word.push(other),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// An EFI variable: four bytes of attributes, then UTF-16, little-endian.
fn firmware_text(variable: &[u8]) -> String {
    let units: Vec<u16> = variable
        .get(4..)
        .unwrap_or_default()
        .chunks_exact(2)
        .filter_map(|unit| Some(u16::from_le_bytes(unit.try_into().ok()?)))
        .collect();
    String::from_utf16_lossy(&units)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn root(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = directory.path().join(path.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let root = Root::open(directory.path()).unwrap();
        (directory, root)
    }

    #[test]
    fn words_are_those_that_systemd_sees() {
        assert_eq!(
            split("a  \"b c\"=d 'e f'\tg=\"h i\" \n"),
            ["a", "b c=d", "e f", "g=h i"]
        );
        assert_eq!(split(" \n"), [""; 0]);
        assert_eq!(split("\"never closed a"), ["never closed a"]);
    }

    #[test]
    fn a_plain_line_has_nothing_wrong_and_a_word_that_bypasses_is_named() {
        let (_keep, plain) = root(&[(KERNEL, b"root=/dev/vda1 ro console=ttyS0 quiet\n")]);
        let line = CommandLine::read(&plain);
        assert_eq!((line.violations(), line.doubts()), (Vec::new(), &[][..]));
        assert_eq!(line.targets(), [""; 0]);

        let (_keep, bypassed) = root(&[(KERNEL, b"ro \"init=/bin/sh\" quiet \x1b[2J-s\n")]);
        let violations = CommandLine::read(&bypassed).violations();
        assert_eq!(violations.len(), 1);
        assert_eq!(
            violations[0].to_string(),
            "/proc/cmdline: cmdline: expected no word that starts another first process than \
             systemd, found init=/bin/sh"
        );
    }

    #[test]
    fn in_a_container_the_arguments_of_the_first_process_count() {
        let (_keep, container) = root(&[
            (CONTAINER, b"systemd-nspawn\n"),
            (KERNEL, b"init=/of/the/host"),
            (INIT, b"/sbin/init\0systemd.mask=a.service\0"),
        ]);
        let violations = CommandLine::read(&container).violations();
        assert_eq!(violations.len(), 1);
        assert_eq!(violations[0].found, "systemd.mask=a.service");
        assert_eq!(violations[0].path.to_string(), INIT);
    }

    #[test]
    fn words_of_the_firmware_count_too() {
        let mut variable = vec![7, 0, 0, 0];
        variable.extend(
            "quiet systemd.unit=rescue.target"
                .encode_utf16()
                .flat_map(u16::to_le_bytes),
        );
        let (_keep, firmware) = root(&[(KERNEL, b"quiet"), (FIRMWARE, &variable)]);
        let line = CommandLine::read(&firmware);
        assert_eq!(line.violations()[0].path.to_string(), FIRMWARE);
        assert_eq!(line.targets(), ["rescue.target"]);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_a_doubt() {
        let (_keep, nothing) = root(&[]);
        assert_eq!(CommandLine::read(&nothing).doubts().len(), 1);
        let (_keep, long) = root(&[(KERNEL, &vec![b'a'; BOUND + 1])]);
        let line = CommandLine::read(&long);
        assert_eq!(line.doubts().len(), 1, "{line:?}");
        assert!(line.doubts()[0].problem.contains("larger than"));
    }
}
