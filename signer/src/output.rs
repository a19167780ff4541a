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

/// Writes to standard output. A reader that went away early, such as `head`, is no error.
pub fn stdout(bytes: &[u8]) -> Outcome {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("failed to write to standard output"))?
        }
        _ => Ok(Exit::Done),
    }
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
    fn numbers_are_for_people() {
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(2 * 1024 * 1024 * 1024), "2.0 GiB");
        assert_eq!(size(u64::MAX), "16777215.9 TiB");
        assert_eq!(thousands(1_234_567), "1,234,567");
    }

    #[test]
    fn a_path_cannot_drive_a_terminal() {
        assert_eq!(quote(Path::new("a\x1b[2J\nb")), r"'a\u{1b}[2J\nb'");
    }
}
