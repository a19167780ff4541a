//! `status.json`, the one state that the agent shows: the last verification, and what the later stages of
//! the boot came to. What is kept, and what replaces it.

use std::{io::Read, os::unix::fs::MetadataExt};

use anyhow::{Context, Result};
use earmark_manifest::{declaration::Gate, layout, path::ImagePath};
use earmark_scan::{Report, Root, ScanError, verify::Verdict};

use super::{
    model::{ChannelStatus, FirstBootStatus, LockdownStatus, Status, Taint},
    summary,
};
use crate::host::state::StateDirectory;

/// A record is at most this long: a hundred violations and a hundred doubts, each with long paths.
const BOUND: usize = 8 * 1024 * 1024;
const NAME: &str = "status.json";

/// Reads the record beneath the root, if there is one.
pub fn read(root: &Root) -> Result<Option<Status>> {
    let path = ImagePath::from_absolute(layout::STATUS.as_bytes())?;
    let Some(bytes) = root.read_opt(&path, BOUND)? else {
        return Ok(None);
    };
    parse(&path, &bytes).map(Some)
}

/// Reads the record if it belongs to `owner`. The file that is looked at is the one that is read: the background
/// service could put another in its place meanwhile.
pub fn read_of(root: &Root, owner: u32) -> Result<Option<Status>> {
    let path = ImagePath::from_absolute(layout::STATUS.as_bytes())?;
    let (file, _) = match root.open_regular(&path) {
        Err(error) if error.cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    if file.metadata()?.uid() != owner {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let most = u64::try_from(BOUND).unwrap_or(u64::MAX);
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    anyhow::ensure!(
        bytes.len() <= BOUND,
        "'{path}' is larger than {BOUND} bytes"
    );
    parse(&path, &bytes).map(Some)
}

fn parse(path: &ImagePath, bytes: &[u8]) -> Result<Status> {
    // A fault of the host, with exit code 11: the service's user and root can write here, not this program alone.
    let status = serde_json::from_slice(bytes).map_err(|error| ScanError {
        what: "use the record",
        place: path.to_string(),
        cause: std::io::Error::other(error),
    })?;
    Ok(status)
}

/// This host's image and version for a line that is told, as far as they are on record.
pub fn image(root: &Root) -> String {
    match read(root) {
        Ok(Some(status)) => summary::image(&status.report),
        _ => "this host".to_owned(),
    }
}

/// Keeps a report as the record, unless the record of this boot says more; the name of this instance, if it is known;
/// and what taints it.
pub fn keep(
    root: &Root,
    report: &Report,
    instance: Option<String>,
    taints: Vec<Taint>,
) -> Result<()> {
    let directory = StateDirectory::open(root)?;
    // Read, compared and replaced in one turn: two runs at once could lose the graver verdict.
    directory.wait_for_turn();
    // What cannot be read says nothing.
    let old = read(root).ok().flatten();
    if old
        .as_ref()
        .is_some_and(|old| says_more(&old.report, report))
    {
        return Ok(());
    }
    // Locks and first boot of an earlier boot are not carried into this one.
    let old = old.filter(|old| old.report.boot_id == report.boot_id);
    let status = Status {
        report: report.clone(),
        first_boot: old.as_ref().and_then(|old| old.first_boot.clone()),
        lockdown: old.as_ref().and_then(|old| old.lockdown.clone()),
        channel: old.as_ref().and_then(|old| old.channel.clone()),
        instance: instance.or_else(|| old.and_then(|old| old.instance)),
        taints,
    };
    write(&directory, &status)
}

/// Adds how first boot went to the record of this boot.
pub fn keep_first_boot(root: &Root, first_boot: FirstBootStatus) -> Result<()> {
    add(root, |status| status.first_boot = Some(first_boot))
}

/// Adds the state of the locks to the record of this boot, the name of this instance, and what taints it by now.
pub fn keep_lockdown(
    root: &Root,
    lockdown: LockdownStatus,
    instance: Option<String>,
    taints: Vec<Taint>,
) -> Result<()> {
    add(root, |status| {
        status.lockdown = Some(lockdown);
        status.taints = taints;
        if instance.is_some() {
            status.instance = instance;
        }
    })
}

/// Adds where this host stands to the record of this boot.
pub fn keep_channel(root: &Root, channel: ChannelStatus) -> Result<()> {
    add(root, |status| status.channel = Some(channel))
}

fn add(root: &Root, change: impl FnOnce(&mut Status)) -> Result<()> {
    let directory = StateDirectory::open(root)?;
    directory.wait_for_turn();
    let mut status = read(root)?.context("no verification is on record")?;
    change(&mut status);
    write(&directory, &status)
}

fn write(directory: &StateDirectory, status: &Status) -> Result<()> {
    let bytes = serde_json::to_vec_pretty(status).context("failed to write the record")?;
    directory.replace(NAME, &bytes)
}

/// Returns whether `old` is of the same boot, covers more than `new`, and `new` found nothing graver. So
/// a look at the signature neither takes a full verification away nor hides what it found.
fn says_more(old: &Report, new: &Report) -> bool {
    // Offline there is no boot, and the newer verification counts.
    new.boot_id.is_some()
        && old.boot_id == new.boot_id
        && covered(old) > covered(new)
        && gravity(old) >= gravity(new)
}

/// Returns the gate that a verification covered; `None` for one that stopped at the seal.
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
        let read = || read(&root.open()).unwrap().unwrap().report;
        keep(&root.open(), old, None, Vec::new()).unwrap();
        assert_eq!(read(), *old);
        keep(&root.open(), new, None, Vec::new()).unwrap();
        let found = read();
        assert!(found == *old || found == *new);
        found == *new
    }

    #[test]
    fn narrower_verification_does_not_replace_a_wider_or_graver_record() {
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
    fn aborted_verification_replaces_a_partial_but_not_a_violated_record() {
        let mut stopped = report("full", Verdict::Undecided);
        stopped.manifest = None;
        stopped.counts.entries = 0;
        assert!(!kept(&report("critical", Verdict::Violated), &stopped));
        assert!(kept(&report("critical", Verdict::Partial), &stopped));
    }

    #[test]
    fn record_is_replaced_in_another_or_unknown_boot() {
        let old = report("full", Verdict::Violated);
        let mut new = report("signature", Verdict::Partial);
        new.boot_id = Some("another".to_owned());
        assert!(kept(&old, &new));
        new.boot_id = None;
        assert!(kept(&old, &new));
    }

    #[test]
    fn first_boot_status_persists_only_within_its_boot() {
        let root = TestRoot::bare();
        let first_boot = || read(&root.open()).unwrap().unwrap().first_boot;
        let shown = serde_json::json!({
            "schema": 1, "state": "done", "instance": null, "manifest": null,
            "cloned_from": null, "steps": [], "next": null
        });
        let shown: FirstBootStatus = serde_json::from_value(shown).unwrap();
        assert!(keep_first_boot(&root.open(), shown.clone()).is_err());
        keep(
            &root.open(),
            &report("critical", Verdict::Partial),
            None,
            Vec::new(),
        )
        .unwrap();
        assert_eq!(first_boot(), None);
        keep_first_boot(&root.open(), shown.clone()).unwrap();
        keep(
            &root.open(),
            &report("full", Verdict::Verified),
            None,
            Vec::new(),
        )
        .unwrap();
        assert_eq!(first_boot(), Some(shown));
        let mut next = report("critical", Verdict::Partial);
        next.boot_id = Some("another".to_owned());
        keep(&root.open(), &next, None, Vec::new()).unwrap();
        assert_eq!(first_boot(), None);
    }

    #[test]
    fn instance_id_persists_only_within_its_boot() {
        let root = TestRoot::bare();
        let kept = |report: &Report, instance: Option<&str>| {
            keep(
                &root.open(),
                report,
                instance.map(str::to_owned),
                Vec::new(),
            )
            .unwrap();
            read(&root.open()).unwrap().and_then(|kept| kept.instance)
        };
        let this = Some("i-0123456789abcdef0");
        let violated = |gate| report(gate, Verdict::Violated);
        assert_eq!(kept(&violated("signature"), None), None);
        assert_eq!(kept(&violated("critical"), this).as_deref(), this);
        assert_eq!(kept(&violated("full"), None).as_deref(), this);
        let mut next = report("critical", Verdict::Partial);
        next.boot_id = Some("another".to_owned());
        assert_eq!(kept(&next, None), None);
    }

    #[test]
    fn malformed_status_record_is_reported_and_then_replaced() {
        let root = TestRoot::bare();
        assert!(read(&root.open()).unwrap().is_none());
        root.write("/run/earmark/status.json", b"{\"schema\": 1");
        let error = read(&root.open()).unwrap_err().to_string();
        assert!(error.contains("/run/earmark/status.json"), "{error}");
        keep(
            &root.open(),
            &report("full", Verdict::Verified),
            None,
            Vec::new(),
        )
        .unwrap();
        assert!(read(&root.open()).unwrap().is_some());
    }
}
