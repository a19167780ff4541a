//! Results on standard output, diagnostics on standard error.

use std::{
    fmt,
    io::{self, Write},
    path::Path,
};

use anyhow::Context;
use serde::Serialize;

use crate::exit::{Exit, Failure, Outcome};

/// The `schema` of every JSON document that the signer prints.
pub const SCHEMA: u32 = 1;

/// A command's result as JSON, with its schema number.
#[derive(Serialize)]
struct Document<'a, T> {
    schema: u32,
    #[serde(flatten)]
    result: &'a T,
}

/// Prints a result: as JSON, or as text for people.
pub fn result<T: Serialize + fmt::Display>(json: bool, result: &T) -> Outcome {
    let bytes = if json {
        json_bytes(result)?
    } else {
        result.to_string().into_bytes()
    };
    stdout(&bytes)
}

/// The JSON document of a result, with a newline at its end.
pub fn json_bytes<T: Serialize>(result: &T) -> Outcome<Vec<u8>> {
    let document = Document {
        schema: SCHEMA,
        result,
    };
    let mut bytes =
        serde_json::to_vec_pretty(&document).context("failed to write the result as JSON")?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Writes to standard output. An exit code says what was found or done, and stays what it is if nobody
/// can read the text: a full disk is said on standard error, and a reader that went away early, such as
/// `head`, is not.
#[expect(
    clippy::unnecessary_wraps,
    reason = "it is what most commands end with"
)]
pub fn stdout(bytes: &[u8]) -> Outcome {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            note(&format!(
                "warning: failed to write to standard output, whose end is missing: {error}"
            ));
        }
        _ => {}
    }
    Ok(Exit::Done)
}

/// Says something about the run on standard error.
pub fn note(message: &str) {
    // Standard error may be closed; there is nowhere left to say so.
    let _ = writeln!(io::stderr(), "earmark: {message}");
}

/// Says why a command failed.
pub fn error(failure: &Failure) {
    note(&format!("error: {failure}"));
}

/// A path of the host, quoted, and safe to show on a terminal.
pub fn quote(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().escape_debug())
}

/// Text of an image's, safe to show: what is neither a letter, a digit nor printable ASCII is escaped,
/// so that it cannot drive a terminal, forge a line or change the direction of writing.
pub fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character == ' ' || character.is_ascii_graphic() || character.is_alphanumeric() {
            shown.push(character);
        } else {
            shown.extend(character.escape_unicode());
        }
    }
    shown
}

/// Bytes in the unit that gives one to three digits before the point.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut unit, mut scale) = (UNITS[0], 1024u64);
    for next in &UNITS[1..] {
        if bytes / scale < 1024 {
            break;
        }
        (unit, scale) = (next, scale * 1024);
    }
    let tenths = u128::from(bytes) * 10 / u128::from(scale);
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// Seconds since 1970 as a date and time in UTC; years beyond 9999 stay a number.
pub fn utc(seconds: u64) -> String {
    const LAST: u64 = 253_402_300_799;
    if seconds > LAST {
        return format!("{seconds} s after 1970");
    }
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Civil from days, with eras of 400 years that start on 1 March.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// `number` of things, in words.
pub fn count(number: impl TryInto<u64>, one: &str, many: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    format!(
        "{} {}",
        thousands(number),
        if number == 1 { one } else { many }
    )
}

/// Digits in groups of three.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_counts_and_times_are_human_readable() {
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(2 * 1024 * 1024 * 1024), "2.0 GiB");
        assert_eq!(size(u64::MAX), "16777215.9 TiB");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(utc(1_790_000_000), "2026-09-21T14:13:20Z");
        assert_eq!(utc(253_402_300_799), "9999-12-31T23:59:59Z");
        assert_eq!(utc(u64::MAX), format!("{} s after 1970", u64::MAX));
    }

    #[test]
    fn printed_path_escapes_terminal_controls() {
        assert_eq!(
            plain("z\u{fc}rich 1\u{202e}x\n"),
            "z\u{fc}rich 1\\u{202e}x\\u{a}"
        );
        assert_eq!(quote(Path::new("a\x1b[2J\nb")), r"'a\u{1b}[2J\nb'");
    }
}
