//! Drop-ins that the declared places for reports need: a time, and directories to write to.

use earmark_manifest::{
    declaration::{Place, Report},
    path::ImagePath,
};

use crate::boot::units::{REPORT, REPORT_TIMER};

/// The drop-ins of the units that report.
pub(super) fn settings(report: &Report) -> Vec<(&'static str, String)> {
    let every = report.every.duration().as_secs();
    // A fleet that was started together must not report together for ever. The empty line takes all times of the
    // timer away, also the first one.
    let timer = format!(
        "[Timer]\nOnUnitInactiveSec=\nOnActiveSec=5s\nOnUnitInactiveSec={every}s\nRandomizedDelaySec={}s\n",
        every / 5
    );
    let directories: String = report
        .to
        .iter()
        .filter_map(|sink| match sink.location().place() {
            Place::File(path) => Some(writable(path)),
            Place::Https(_) | Place::S3(_) => None,
        })
        .collect();
    let mut settings = vec![(REPORT_TIMER, timer)];
    if !directories.is_empty() {
        settings.push((REPORT, format!("[Service]\n{directories}")));
    }
    settings
}

/// The dash: a directory that is not there yet is no reason not to report to the others. A URL has no space
/// and no control character; what systemd would replace is written twice.
fn writable(path: &ImagePath) -> String {
    let path = String::from_utf8_lossy(path.as_bytes());
    let path = path
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('%', "%%");
    format!("ReadWritePaths=\"-/{path}\"\n")
}
