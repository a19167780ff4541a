//! The record of the last verification, `status.json`: what is kept, and what replaces it.

use anyhow::{Context, Result};
use earmark_manifest::{declaration::Gate, layout, path::ImagePath};
use earmark_scan::{Report, Root, ScanError, verify::Verdict};

use crate::state::StateDirectory;

/// A record is at most this long: a hundred violations and a hundred doubts, each with long paths.
const BOUND: usize = 8 * 1024 * 1024;

/// Reads the record beneath the root, if there is one.
pub fn read(root: &Root) -> Result<Option<Report>> {
    let path = ImagePath::from_absolute(layout::STATUS.as_bytes())?;
    let Some(bytes) = root.read_opt(&path, BOUND)? else {
        return Ok(None);
    };
    let report = serde_json::from_slice(&bytes).map_err(|error| ScanError {
        what: "use the record",
        place: path.to_string(),
        cause: std::io::Error::other(error),
    })?;
    Ok(Some(report))
}

/// Keeps a report as the record, unless the record of this boot says more.
pub fn keep(root: &Root, report: &Report) -> Result<()> {
    // What cannot be read says nothing.
    let old = read(root).ok().flatten();
    if old.is_some_and(|old| says_more(&old, report)) {
        return Ok(());
    }
    let bytes = serde_json::to_vec_pretty(report).context("failed to write the record")?;
    StateDirectory::open(root)?.replace("status.json", &bytes)
}

/// Whether `old` is of the same boot, covers more than `new`, and `new` found nothing graver. So a
/// look at the signature neither takes a full verification away nor hides what it found.
fn says_more(old: &Report, new: &Report) -> bool {
    new.boot_id.is_some()
        && old.boot_id == new.boot_id
        && covered(old) > covered(new)
        && gravity(old) >= gravity(new)
}

/// How far a verification came: one that stopped at the seal covers nothing.
fn covered(report: &Report) -> Option<Gate> {
    let gate = report.gate.as_deref()?.parse().ok()?;
    (gate == Gate::Signature && report.manifest.is_some() || report.counts.entries > 0)
        .then_some(gate)
}

fn gravity(report: &Report) -> u8 {
    match report.verdict {
        Verdict::Verified | Verdict::Partial => 0,
        Verdict::Undecided => 1,
        Verdict::Violated => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestRoot;

    fn report(gate: &str, verdict: Verdict) -> Report {
        let mut report = Report::undecided("nothing".to_owned());
        report.gate = Some(gate.to_owned());
        report.manifest = Some("sha256:0".to_owned());
        report.counts.entries = u64::from(gate != "signature");
        report.verdict = verdict;
        report.boot_id = Some("one".to_owned());
        report
    }

    fn kept(old: &Report, new: &Report) -> bool {
        let root = TestRoot::bare();
        keep(&root.open(), old).unwrap();
        assert_eq!(read(&root.open()).unwrap().as_ref(), Some(old));
        keep(&root.open(), new).unwrap();
        let found = read(&root.open()).unwrap().unwrap();
        assert!(found == *old || found == *new);
        found == *new
    }

    #[test]
    fn a_narrower_look_hides_nothing_and_takes_nothing_away() {
        use Verdict::{Partial, Undecided, Verified, Violated};
        let old = |verdict| report("full", verdict);
        assert!(!kept(&old(Verified), &report("signature", Partial)));
        assert!(!kept(&old(Violated), &report("critical", Partial)));
        assert!(!kept(&old(Violated), &report("critical", Violated)));
        assert!(!kept(&old(Undecided), &report("critical", Partial)));
        // As wide, or graver: it counts.
        assert!(kept(&old(Violated), &report("full", Verified)));
        assert!(kept(&old(Verified), &report("critical", Violated)));
        assert!(kept(&old(Verified), &report("signature", Undecided)));
        assert!(kept(
            &report("critical", Partial),
            &report("full", Verified)
        ));
    }

    #[test]
    fn a_verification_that_stopped_covers_nothing() {
        let mut stopped = report("full", Verdict::Undecided);
        stopped.manifest = None;
        stopped.counts.entries = 0;
        assert!(!kept(&report("critical", Verdict::Violated), &stopped));
        assert!(kept(&report("critical", Verdict::Partial), &stopped));
    }

    #[test]
    fn another_boot_begins_anew() {
        let old = report("full", Verdict::Violated);
        let mut new = report("signature", Verdict::Partial);
        new.boot_id = Some("another".to_owned());
        assert!(kept(&old, &new));
        new.boot_id = None;
        assert!(kept(&old, &new));
    }

    #[test]
    fn what_is_no_record_is_said_and_then_replaced() {
        let root = TestRoot::bare();
        assert!(read(&root.open()).unwrap().is_none());
        root.write("/run/earmark/status.json", b"{\"schema\": 1");
        let error = read(&root.open()).unwrap_err().to_string();
        assert!(error.contains("/run/earmark/status.json"), "{error}");
        keep(&root.open(), &report("full", Verdict::Verified)).unwrap();
        assert!(read(&root.open()).unwrap().is_some());
    }
}
