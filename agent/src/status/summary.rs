//! A verification in one line: for the console, the message of the day and the journal.

use earmark_scan::{Report, verify::Verdict};

/// A line is at most this long; a console shows two or three rows of it.
const BOUND: usize = 400;

/// Such as `web 1.4.2: VIOLATED: /etc/fstab: mode: expected 0644, found 0666 (policy quarantine)`.
pub fn line(report: &Report) -> String {
    let image = image(report);
    let verdict = report.verdict.name().to_uppercase();
    let policy = report.policy.as_deref().unwrap_or("report");
    match report.verdict {
        Verdict::Verified => format!("{image}: {verdict}"),
        Verdict::Partial => format!(
            "{image}: {verdict}: the gate {} passed, content of {} files is still to be read",
            report.gate.as_deref().unwrap_or("signature"),
            report.counts.files_unread
        ),
        Verdict::Violated | Verdict::Undecided => {
            let reason = report.reason.as_deref().unwrap_or("no reason is on record");
            let tail = format!(" (policy {policy})");
            // The policy goes behind what is cut: a long path must not push it off the line.
            let head = shorten(&format!("{image}: {verdict}: {}", clean(reason)));
            format!("{head}{tail}")
        }
    }
}

/// The image's name and version, as far as they are known.
pub fn image(report: &Report) -> String {
    report.image.as_ref().map_or_else(
        || "unknown image".to_owned(),
        |image| clean(&format!("{} {}", image.name, image.version)),
    )
}

/// Takes out what would drive a terminal or start another line. Paths are escaped already; this is
/// for a record that somebody else wrote.
pub fn clean(text: &str) -> String {
    let plain = |character: char| {
        if character.is_control() {
            '\u{fffd}'
        } else {
            character
        }
    };
    text.chars().map(plain).collect()
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(BOUND) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_names_image_verdict_and_reason_in_one_bounded_line() {
        let mut report = Report::undecided("failed to open '/a\n\x1b[31m'".to_owned());
        report.policy = Some("halt".to_owned());
        assert_eq!(
            line(&report),
            "unknown image: UNDECIDED: failed to open '/a\u{fffd}\u{fffd}[31m' (policy halt)"
        );
        report.reason = Some("é".repeat(5000));
        assert!(line(&report).chars().count() < 450);
        assert!(line(&report).ends_with("… (policy halt)"));
        report.verdict = Verdict::Verified;
        assert_eq!(line(&report), "unknown image: VERIFIED");
    }
}
