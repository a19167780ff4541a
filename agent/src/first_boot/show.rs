//! `earmark-agent first-boot`: what ran, when, how long, with what result, and what is next.

use std::{fmt::Write, process::ExitCode};

use anyhow::Result;
use earmark_manifest::declaration::Declaration;
use earmark_scan::Root;

use super::{
    Journal,
    journal::{StepRecord, StepState},
    perform::Outcome,
};
use crate::{
    boot::policy::Policy,
    exit::Exit,
    host::{self, output},
    status::{
        model::{FirstBootStatus, StepStatus},
        record,
        summary::clean,
    },
};

/// Shows it. The exit code is 12 if it failed, 11 if it cannot be told.
pub(super) fn run(root: &Root, json: bool) -> Result<ExitCode> {
    let policy = Policy::of(root);
    let Some(declaration) = policy.declaration() else {
        complain!("earmark-agent: no first boot: {}", policy.reason());
        return Ok(Exit::Undecided.into());
    };
    let journal = match Journal::read(root) {
        Ok(journal) => journal,
        Err(error) => {
            complain!("earmark-agent: {error:#}");
            return Ok(Exit::Undecided.into());
        }
    };
    let mut shown = FirstBootStatus::of(declaration, journal.as_ref());
    if let Some(last) = last_run(root) {
        shown.recall(last);
    }
    let text = if json {
        format!("{}\n", serde_json::to_string_pretty(&shown)?)
    } else {
        shown.screen()
    };
    output::write(&text);
    let exit = match shown.state.as_ref() {
        "failed" => Exit::FirstBoot,
        "undecided" => Exit::Undecided,
        _ => Exit::Done,
    };
    Ok(exit.into())
}

/// Reads what the run of this boot left beside its journal, which has steps alone: that a value is another one now, or
/// the reason for which it came to no step.
fn last_run(root: &Root) -> Option<FirstBootStatus> {
    let status = record::read(root).ok().flatten()?;
    let is_current = !root.is_live() || host::is_this_boot(status.report.boot_id.as_deref());
    status.first_boot.filter(|_| is_current)
}

impl FirstBootStatus {
    /// Adds what a run told of the same image.
    fn recall(&mut self, last: Self) {
        if self.manifest.is_some() && last.manifest != self.manifest {
            return;
        }
        self.notes = last.notes;
        if matches!(last.state.as_ref(), "failed" | "undecided") {
            (self.state, self.problem) = (last.state, last.problem);
        }
    }

    pub(super) fn of(declaration: &Declaration, journal: Option<&Journal>) -> Self {
        let steps: Vec<StepStatus> = declaration
            .first_boot
            .iter()
            .map(|step| {
                let record = journal.and_then(|journal| journal.step(&step.name));
                StepStatus::of(step.name.as_str(), record)
            })
            .collect();
        let next = steps.iter().find(|step| step.state != "done");
        let state = match (&next, journal) {
            _ if steps.is_empty() => "nothing declared",
            (None, _) => "done",
            (Some(step), _) if step.state == "failed" => "failed",
            (Some(_), Some(_)) => "not finished",
            (Some(_), None) => "not begun",
        };
        Self {
            schema: 1,
            state: state.into(),
            instance: journal.map(|journal| journal.instance.clone()),
            manifest: journal.map(|journal| journal.manifest.clone()),
            cloned_from: journal.and_then(|journal| journal.cloned_from.clone()),
            next: next.map(|step| step.name.clone()),
            steps,
            problem: Vec::new(),
            notes: journal.map_or_else(Vec::new, |journal| journal.notes.clone()),
        }
    }

    /// As a run has left it.
    pub(super) fn after(
        declaration: &Declaration,
        journal: Option<&Journal>,
        outcome: &Result<Outcome>,
    ) -> Self {
        let mut shown = Self::of(declaration, journal);
        match outcome {
            Ok(Outcome::Nothing) => {}
            Ok(Outcome::Done { notes, .. }) => shown.notes.clone_from(notes),
            Ok(Outcome::Failed { step, reason, .. }) => {
                let place = step.as_ref().map(|step| format!("step '{step}': "));
                let reason = format!("{}{reason}", place.unwrap_or_default());
                shown.state = "failed".into();
                shown.problem = reason.lines().map(str::to_owned).collect();
            }
            Err(error) => {
                shown.state = "undecided".into();
                shown.problem = vec![format!("{error:#}")];
            }
        }
        shown
    }

    fn screen(&self) -> String {
        let mut text = format!("first boot: {}\n", self.state);
        if let Some(instance) = &self.instance {
            let _ = writeln!(text, "instance    {}", clean(instance));
        }
        if let Some(origin) = &self.cloned_from {
            let _ = writeln!(
                text,
                "cloned      its disk began as that of {}",
                clean(origin)
            );
        }
        if !self.steps.is_empty() {
            text.push('\n');
        }
        let width = self.steps.iter().map(|step| step.name.len()).max();
        let width = width.unwrap_or_default();
        for step in &self.steps {
            let _ = write!(text, "  {:width$}  {:11}", step.name, step.state);
            if let Some(time) = step.time {
                let _ = write!(text, "  {}", host::utc(time));
            }
            if let Some(milliseconds) = step.milliseconds {
                let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
                let _ = write!(text, "  {seconds}.{:01} s", rest / 100);
            }
            if step.attempts > 1 {
                let _ = write!(text, "  attempt {}", step.attempts);
            }
            text.push('\n');
            if let Some(reason) = &step.reason {
                let _ = writeln!(text, "  {:width$}  {}", "", clean(reason));
            }
        }
        if !self.problem.is_empty() || !self.notes.is_empty() {
            text.push('\n');
        }
        for line in self.problem.iter().chain(&self.notes) {
            let _ = writeln!(text, "{}", clean(line));
        }
        if let Some(next) = &self.next {
            let _ = writeln!(text, "\nnext: {next}");
        }
        text
    }
}

impl StepStatus {
    fn of(name: &str, record: Option<&StepRecord>) -> Self {
        let state = match record.map(|record| record.state) {
            None => "to do",
            Some(StepState::Started) => "interrupted",
            Some(StepState::Done) => "done",
            Some(StepState::Failed) => "failed",
        };
        Self {
            name: name.to_owned(),
            state: state.into(),
            attempts: record.map_or(0, |record| record.attempts),
            time: record.and_then(|record| record.time),
            milliseconds: record.and_then(|record| record.milliseconds),
            reason: record.and_then(|record| record.reason.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_boot_screens_are_golden_and_replace_control_characters() {
        let step = |name: &str, state: &str, attempts: u32| {
            serde_json::json!({
                "name": name, "state": state, "attempts": attempts, "time": 1_795_392_000_u64,
                "milliseconds": 1532, "reason": (state == "failed").then_some("exit status 7\x1b[2J")
            })
        };
        let shown = |state: &str, steps: &[serde_json::Value]| {
            let is_failed = state == "failed";
            let shown: FirstBootStatus = serde_json::from_value(serde_json::json!({
                "schema": 1, "state": state, "instance": "i-0123456789abcdef0", "manifest": null,
                "cloned_from": is_failed.then_some("i-0fedcba9876543210"),
                "next": is_failed.then_some("join"), "steps": steps,
                "problem": if is_failed { vec!["step 'join': exit status 7"] } else { vec![] },
                "notes": if is_failed { vec!["parameter 'env' has another value now"] } else { vec![] },
            }))
            .unwrap();
            let screen = shown.screen();
            assert!(!screen.contains('\x1b'), "{screen:?}");
            format!("{screen}--\n")
        };
        let texts = [
            shown("nothing declared", &[]),
            shown("done", &[step("render-config", "done", 1)]),
            shown(
                "failed",
                &[step("render-config", "done", 1), step("join", "failed", 2)],
            ),
        ];
        earmark_tests::golden!("first-boot", texts.concat());
    }
}
