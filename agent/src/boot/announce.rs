//! Tells a verdict to whoever may be looking: the console, the journal, the message of the day.

use earmark_scan::{Report, Root};

use crate::{
    fleet::grants,
    host::{console, journal, state::StateDirectory},
    status::summary,
};

/// Tells all of them. One that cannot be told takes nothing from the others, nor from the verdict.
pub fn announce(root: &Root, report: &Report) {
    let line = summary::line(report);
    if root.is_live() {
        console::say(&line);
        if let Err(error) = journal::say(report, &line) {
            complain!("earmark-agent: failed to write to the journal: {error}, ignoring");
        }
    }
    today(root, &line);
}

/// The message of the day, for a report that was told before.
pub fn message_of_the_day(root: &Root, report: &Report) {
    today(root, &summary::line(report));
}

fn today(root: &Root, line: &str) {
    let mut today = format!("This host is {line}\n");
    if let Some(taint) = grants::taints(root).last() {
        today.push_str(&format!("It is TAINTED: {taint}\n"));
    }
    let kept = StateDirectory::open(root)
        .and_then(|directory| directory.replace("motd", today.as_bytes()));
    if let Err(error) = kept {
        complain!("earmark-agent: failed to write the message of the day: {error:#}, ignoring");
    }
}
