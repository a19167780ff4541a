//! Golden texts: what people read, word for word, in `golden/NAME.txt` of the crate that prints it.
//!
//! `cargo xtask bless` renews them; a review of their diff is a review of the wording. Tests that assert behaviour
//! assert codes and fields, and no wording beside.

use std::{env, fs, path::Path, thread};

use crate::Run;

/// The variable with which golden files are written instead of compared.
pub const BLESS: &str = "EARMARK_BLESS";

/// Compares a text with `golden/NAME.txt` of the crate that asks. The test's name has to have the word `golden`.
#[macro_export]
macro_rules! golden {
    ($name:expr, $text:expr) => {
        $crate::golden::check(env!("CARGO_MANIFEST_DIR"), $name, &$text)
    };
}

/// Compares `text` with a golden file; see [`golden!`].
#[track_caller]
pub fn check(home: &str, name: &str, text: &str) {
    let caller = thread::current();
    // `cargo xtask bless` runs tests of that name alone: another one's file would stay as it was.
    let is_found = caller.name().is_some_and(|name| name.contains("golden"));
    assert!(
        is_found,
        "the name of a test with a golden text has to have the word 'golden'"
    );
    let path = Path::new(home).join("golden").join(format!("{name}.txt"));
    if env::var_os(BLESS).is_some() {
        // Nobody reviews what CI writes: there a text is compared, whatever the environment says.
        assert!(
            env::var_os("CI").is_none(),
            "{BLESS} is set in CI; next: unset it"
        );
        fs::create_dir_all(path.parent().expect("a directory"))
            .expect("the directory of golden files");
        fs::write(&path, text).expect("a golden file");
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        text == expected,
        "{} differs:\n{}\nnext: mend the text, or run `cargo xtask bless` and review what it changed",
        path.display(),
        difference(&expected, text)
    );
}

/// The lines between the first and the last one that differ, `-` as expected and `+` as found.
fn difference(expected: &str, found: &str) -> String {
    let (mut expected, mut found): (Vec<_>, Vec<_>) = (
        expected.split_inclusive('\n').collect(),
        found.split_inclusive('\n').collect(),
    );
    while expected
        .last()
        .is_some_and(|last| found.last() == Some(last))
    {
        expected.pop();
        found.pop();
    }
    let same = expected
        .iter()
        .zip(&found)
        .take_while(|(one, other)| one == other);
    let same = same.count();
    let lines = |sign, lines: &[&str]| -> String {
        let lines = lines.get(same..).unwrap_or_default().iter();
        let lines = lines.map(|line| [sign, line.trim_end_matches('\n'), "\n"]);
        lines.flatten().collect()
    };
    lines("- ", &expected) + &lines("+ ", &found)
}

/// A command line, its output and its exit code, masked, with `--` between standard output and standard error.
pub fn told(command: &str, run: &Run) -> String {
    let Run { code, out, err } = run;
    let between = if out.is_empty() || err.is_empty() {
        ""
    } else {
        "--\n"
    };
    masked(&format!(
        "$ earmark {command}\n{out}{between}{err}[{code}]\n\n"
    ))
}

/// `text` with words for what differs from run to run: `HEX` for a digest or an id of 32 and more hex digits, `TIME` for a time of day in UTC,
/// `N s` for seconds, `ARCH` for an architecture.
pub fn masked(text: &str) -> String {
    let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_time = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b':' | b'T' | b' ');
    let is_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'.');
    let text = text.replace("x86_64", "ARCH").replace("aarch64", "ARCH");
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let run = |is: fn(&u8) -> bool| rest.bytes().take_while(is).count();
        let (hex, time, number) = (run(is_hex), run(is_time), run(is_number));
        let after = |length: usize, word: &str| rest[length..].starts_with(word);
        // `2026-11-23 00:00:00 UTC` and `2026-11-23T00:00:00Z`.
        let zone = ["UTC", "Z"].into_iter().find(|zone| after(time, zone));
        let (word, length) = match zone {
            Some(zone) if time >= 19 && after(4, "-") => ("TIME", time + zone.len()),
            _ if hex >= 32 => ("HEX", hex),
            _ if number > 0 && (after(number, " s\n") || after(number, " s ")) => ("N", number),
            // A shorter run is copied whole: its tail must not be taken for another.
            _ => {
                let length = hex.max(first.len_utf8());
                (&rest[..length], length)
            }
        };
        out.push_str(word);
        rest = &rest[length..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_shows_only_the_lines_that_differ() {
        assert_eq!(difference("a\nb\nc\n", "a\nx\ny\nc\n"), "- b\n+ x\n+ y\n");
        assert_eq!(difference("", "a\n"), "+ a\n");
        assert_eq!(difference("a\n", "a"), "- a\n+ a\n");
    }

    #[test]
    fn masked_text_hides_digests_times_and_seconds_alone() {
        let digest = "0123456789abcdef".repeat(4);
        let text = format!(
            "sha256:{digest}, 42 B, at 2026-11-23 00:00:00 UTC, 2026-11-23T01:02:03Z, in 0.005 s (é)"
        );
        let expected = "sha256:HEX, 42 B, at TIME, TIME, in N s (é)";
        assert_eq!(masked(&text), expected);
        let kept = "i-00000000000000001 deadbeef 1.4.0 4.5 seconds";
        assert_eq!(masked(kept), kept);
    }

    #[test]
    fn golden_text_is_compared_and_another_one_fails() {
        if env::var_os(BLESS).is_none() {
            let home = env!("CARGO_MANIFEST_DIR");
            check(home, "control", "The control.\n");
            let refused = std::panic::catch_unwind(|| check(home, "control", "Another.\n"));
            assert!(refused.is_err());
        } else {
            golden!("control", "The control.\n");
        }
    }
}
