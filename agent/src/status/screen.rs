//! The screen for people: what this host is, what was checked, what was not, what is wrong, what to
//! do. Its text may change at any time; machines read `--json`.

use std::collections::BTreeMap;

use earmark_manifest::report::Tier;
use earmark_scan::{Report, verify::Verdict};

use crate::{
    host,
    status::{
        model::{
            DeclaredLock, FirstBootStatus, LockState, LockStatus, LockdownStatus, SinkStatus,
            Status, Taint,
        },
        summary::{clean, image},
    },
};

/// Findings that are listed.
const SHOWN: usize = 5;
/// Width of the first column, in characters.
const INDENT: usize = 14;
/// As wide as a console.
const WIDTH: usize = 80;

/// The screen of a status, as of `now`.
pub fn render(
    status: &Status,
    sinks: &BTreeMap<String, SinkStatus>,
    now: Option<u64>,
    is_of_this_boot: bool,
) -> String {
    let report = &status.report;
    let mut screen = Screen::default();
    let verdict = if is_of_this_boot {
        report.verdict.name()
    } else {
        "not verified in this boot"
    };
    screen.title(&image(report), &verdict.to_uppercase());

    screen.row("This host", &identity(report));
    if let Some(manifest) = &report.manifest {
        screen.row("Manifest", manifest);
    }
    for signer in &report.signers {
        screen.row("Signed by", signer);
    }
    screen.row("Checked", &report.covered());
    screen.row("", &when(report, now, is_of_this_boot));
    screen.row("Not checked", &unchecked(report));
    screen.row("", tier(report));
    wrong(&mut screen, report);
    if let Some(shown) = &status.first_boot {
        first_boot(&mut screen, shown);
    }
    if let Some(lockdown) = &status.lockdown {
        locks(&mut screen, lockdown, now);
    }
    if let Some(channel) = &status.channel {
        screen.row("Channel", &clean(&channel.to_string()));
    }
    reports(&mut screen, sinks, now);
    taints(&mut screen, &status.taints);
    if let Some(policy) = &report.policy {
        screen.row("Policy", &meaning(policy));
    }
    let is_stuck = status
        .first_boot
        .as_ref()
        .is_some_and(|shown| !shown.problem.is_empty());
    let is_open = status
        .lockdown
        .as_ref()
        .is_some_and(|lockdown| !lockdown.is_enforced);
    let is_good = matches!(report.verdict, Verdict::Verified | Verdict::Partial);
    let is_good = is_good && is_of_this_boot;
    screen.row(
        "Do",
        if is_stuck && is_good {
            "Mend what first boot was given, or the step in a new image, and replace this host: \
             'earmark-agent first-boot' has each step."
        } else if is_open && is_good {
            "Declare what the image must leave open, or bake what opens it out of the image, and \
             replace this host: 'earmark-agent lockdown --check' has each item."
        } else if !status.taints.is_empty() && is_good {
            "Replace this host with a new one when the work on it is done: it was opened, and no longer \
             vouches for what was done on it."
        } else {
            advice(report, is_of_this_boot)
        },
    );
    screen.text
}

/// Each state with its locks, and what of those that are denied is open.
fn locks(screen: &mut Screen, lockdown: &LockdownStatus, now: Option<u64>) {
    let mut label = "Locks";
    let allowed = |lock: &&LockStatus| lock.declared == DeclaredLock::Allow;
    let mut row = |words: &str, locks: Vec<&LockStatus>| {
        let names: Vec<&str> = locks.iter().map(|lock| lock.lock.as_str()).collect();
        if !names.is_empty() {
            screen.row(label, &format!("{words}: {}", names.join(", ")));
            label = "";
        }
    };
    for (state, words) in [
        (LockState::Enforced, LockState::Enforced.words()),
        (LockState::NotEnforced, LockState::NotEnforced.words()),
        (LockState::Unknown, LockState::Unknown.words()),
        (LockState::Granted, LockState::Granted.words()),
        (LockState::NotApplicable, "nothing to shut"),
    ] {
        let denied = lockdown.locks.iter().filter(|lock| !allowed(lock));
        row(words, denied.filter(|lock| lock.state == state).collect());
    }
    row(
        "left open by the image",
        lockdown.locks.iter().filter(allowed).collect(),
    );
    if let (Some(time), Some(now)) = (lockdown.time, now) {
        let age = host::age(now.saturating_sub(time));
        screen.row("", &format!("looked at {age} ago"));
    }
    // What leads to the policy comes first: what others than root can bring about does not push it off the screen.
    let locks = || lockdown.locks.iter();
    let open = || {
        let told = locks().flat_map(|lock| &lock.told);
        locks().flat_map(|lock| &lock.open).chain(told)
    };
    for problem in open().take(SHOWN) {
        screen.row("", &format!("  {problem}"));
    }
    if open().nth(SHOWN).is_some() {
        screen.row("", "  … the others: earmark-agent lockdown --check");
    }
}

/// Shows the places that reports go to: what each took last, or why it takes none.
fn reports(screen: &mut Screen, sinks: &BTreeMap<String, SinkStatus>, now: Option<u64>) {
    let mut label = "Reports";
    for (url, sink) in sinks.iter().take(SHOWN) {
        let took = match (sink.last, now) {
            (Some(last), Some(now)) => {
                format!("took one {} ago", host::age(now.saturating_sub(last)))
            }
            (Some(_), None) => "took one".to_owned(),
            (None, _) => "took none in this boot".to_owned(),
        };
        screen.row(label, &format!("{url} {took}"));
        label = "";
        if let Some(problem) = &sink.problem {
            let waits = format!("  {problem}; {} bytes wait for it", sink.spooled);
            screen.row("", &waits);
        }
    }
    if sinks.len() > SHOWN {
        screen.row("", "… the others: earmark-agent status --json");
    }
}

/// Shows what was done to this instance, the last of it first.
fn taints(screen: &mut Screen, taints: &[Taint]) {
    let mut label = "TAINTED";
    for taint in taints.iter().rev().take(SHOWN) {
        screen.row(label, &taint.to_string());
        label = "";
    }
    if taints.len() > SHOWN {
        screen.row("", "… the others: earmark-agent status --json");
    }
}

fn first_boot(screen: &mut Screen, shown: &FirstBootStatus) {
    let steps = match shown.steps.len() {
        1 => "1 step".to_owned(),
        steps => format!("{steps} steps"),
    };
    screen.row("First boot", &format!("{}, of {steps}", shown.state));
    for line in shown.problem.iter().take(SHOWN) {
        screen.row("", &format!("  {line}"));
    }
    if shown.problem.len() > SHOWN {
        screen.row("", "  … the others: earmark-agent status --json");
    }
    // What is said of a clone is a note, too.
    for note in shown.notes.iter().take(SHOWN) {
        screen.row("", note);
    }
}

fn identity(report: &Report) -> String {
    match &report.image {
        Some(found) => format!(
            "image {}, version {}, security epoch {}, {}",
            found.name, found.version, found.epoch, found.architecture
        ),
        None => "unknown: no seal was believed".to_owned(),
    }
}

fn when(report: &Report, now: Option<u64>, is_of_this_boot: bool) -> String {
    let boot = if is_of_this_boot {
        ""
    } else {
        ", in an earlier boot"
    };
    match (report.time, now) {
        (Some(time), Some(now)) => {
            format!(
                "{}, {} ago{boot}",
                host::utc(time),
                host::age(now.saturating_sub(time))
            )
        }
        (Some(time), None) => format!("{}{boot}", host::utc(time)),
        (None, _) => format!("at a time that the clock did not know{boot}"),
    }
}

fn unchecked(report: &Report) -> String {
    match report.gate.as_deref() {
        Some("signature") if report.manifest.is_some() => {
            "the root itself, which is not walked for the gate signature".to_owned()
        }
        _ if report.counts.entries == 0 => {
            "the root: there was nothing to compare it with".to_owned()
        }
        _ => {
            let unread = match report.counts.files_unread {
                0 => String::new(),
                files => format!("content of {files} files; "),
            };
            let own_word = match report.counts.files_on_host_word {
                0 => String::new(),
                files => format!("whether first boot wrote {files} of the files so; "),
            };
            format!(
                "{unread}{own_word}content of mutable files and of state directories, and memory"
            )
        }
    }
}

fn tier(report: &Report) -> &'static str {
    match report.tier {
        Tier::T0 => "tier T0: the agent and its trust file are on the disk that they check",
        Tier::T1 => "tier T1: the initrd of this boot judged the root before any program of it ran",
    }
}

fn wrong(screen: &mut Screen, report: &Report) {
    let counts = &report.counts;
    let findings = || report.violations.iter().chain(&report.undecided);
    match (report.verdict, counts.violations, counts.undecided) {
        (Verdict::Verified | Verdict::Partial, ..) => return screen.row("Wrong", "nothing"),
        (_, 0, 0) => {
            let reason = report.reason.as_deref().unwrap_or("no reason is on record");
            return screen.row("Wrong", reason);
        }
        (_, 1, 0) => screen.row("Wrong", "1 violation"),
        (_, violations, 0) => screen.row("Wrong", &format!("{violations} violations")),
        (_, 0, doubts) => screen.row("Wrong", &format!("{doubts} undecided")),
        (_, violations, doubts) => {
            let both = format!("violations: {violations}, undecided: {doubts}");
            screen.row("Wrong", &both);
        }
    }
    for finding in findings().take(SHOWN) {
        screen.row("", &format!("{}  [{}]", finding.path, finding.kind));
        if !finding.expected.is_empty() {
            screen.row("", &format!("  expected {}", finding.expected));
        }
        screen.row("", &format!("  found    {}", finding.found));
    }
    if findings().nth(SHOWN).is_some() {
        screen.row("", "… the others: earmark-agent status --json");
    }
}

fn meaning(policy: &str) -> String {
    let does = match policy {
        "report" => "goes on, and says so",
        "quarantine" => "runs no workload and lets nobody log in",
        "halt" => "powers off",
        _ => "follows a policy that this version does not know",
    };
    format!("{policy}: a host that does not verify {does}")
}

fn advice(report: &Report, is_of_this_boot: bool) -> &'static str {
    let is_about_boot = |kind: &str| {
        report.violations.iter().all(|found| found.kind == kind) && !report.violations.is_empty()
    };
    match report.verdict {
        _ if !is_of_this_boot => {
            "Run 'earmark-agent verify', and see why no boot did: 'systemctl status earmark-verify'."
        }
        Verdict::Verified => "Nothing.",
        Verdict::Partial => {
            "Nothing: earmark-agent.service is reading the rest. To wait for it: \
             'earmark-agent verify --gate full'."
        }
        Verdict::Violated if is_about_boot("cmdline") => {
            "Boot with the signed words and no others, or bake an image with the right [boot] \
             cmdline. Somebody with a console or the boot loader changed them."
        }
        Verdict::Violated if is_about_boot("policy") => {
            "Replace this host, or install the agent's package whole: 'systemctl daemon-reload' \
             has the generator run again."
        }
        Verdict::Violated => {
            "Replace this host: it is not the image that was signed. Keep its disk if you want to \
             know why. A path that changes by itself needs a class in earmark.toml."
        }
        Verdict::Undecided => {
            "Read what is wrong, mend it, and run 'earmark-agent verify'. Until then this host \
             counts as not verified."
        }
    }
}

#[derive(Default)]
struct Screen {
    text: String,
}

impl Screen {
    fn title(&mut self, left: &str, right: &str) {
        let used = left.chars().count().saturating_add(right.chars().count());
        let space = WIDTH.saturating_sub(used).max(2);
        self.text
            .push_str(&format!("{left}{}{right}\n\n", " ".repeat(space)));
    }

    /// A label and its text, wrapped between words. A word that is wider than the screen, such as a
    /// path or a digest, stays whole: people copy it.
    fn row(&mut self, label: &str, text: &str) {
        // Each row: names, reasons and output come from the disk and from whoever wrote the record.
        let text = clean(text);
        if text.is_empty() {
            return;
        }
        let margin = text
            .chars()
            .take_while(|character| *character == ' ')
            .count();
        let mut line = format!("{label:INDENT$}{}", " ".repeat(margin));
        let mut is_first = true;
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            let width = line.chars().count().saturating_add(word.chars().count());
            // Where it is too wide for a line of its own, it need not begin one.
            let alone = INDENT
                .saturating_add(margin)
                .saturating_add(word.chars().count());
            if !is_first && width >= WIDTH && alone < WIDTH {
                self.line(&line);
                line = " ".repeat(INDENT.saturating_add(margin));
                is_first = true;
            }
            if !is_first {
                line.push(' ');
            }
            line.push_str(word);
            is_first = false;
        }
        self.line(&line);
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }
}

#[cfg(test)]
mod tests;
