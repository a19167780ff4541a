//! The stage `first-boot`: carries out what the signed declaration says that a new host needs, once,
//! and tells what became of it.
//!
//! Data flows one way: verified manifest -> sealed files, journal, instance, values -> one step after
//! the other -> journal -> console, journal of the system, and the screen of `earmark-agent first-boot`.

mod accounts;
mod bindings;
mod credentials;
mod journal;
mod kept;
mod perform;
mod show;
pub mod steps;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use earmark_manifest::declaration::{Declaration, OnFailure};
use earmark_scan::{Root, verify::Verdict};

use self::{journal::Journal, perform::Outcome};
use crate::{
    boot::policy::Policy,
    cli::FirstBootArgs,
    exec::live,
    exit::Exit,
    host::{console, journal as system_journal},
    status::{model::FirstBootStatus, record, root_record::RootRecord, summary},
};

/// Shows what first boot did, or carries it out.
pub fn run(args: &FirstBootArgs) -> Result<ExitCode> {
    let root = Root::open(&args.common.root)?;
    if !args.run {
        return show::run(&root, args.common.json);
    }
    if !root.is_live() {
        complain!("earmark-agent: first boot runs only on the running host: remove --root");
        return Ok(Exit::Usage.into());
    }
    let policy = Policy::of(&root);
    if matches!(policy, Policy::Unsealed) {
        // No failure: the unit also runs on a host on which an image is being made.
        complain!("earmark-agent: the image is not sealed: it has no first boot");
        return Ok(Exit::Done.into());
    }
    // A host without steps is not looked at twice: what the verification found is its own business, and
    // a record that could not be kept holds nothing up here.
    let is_empty = |declaration: &Declaration| declaration.first_boot.is_empty();
    let outcome = if policy.declaration().is_some_and(is_empty) {
        Ok(Outcome::Nothing)
    } else {
        carry_out(&root, &policy)
    };
    // A full /run must not turn a first boot that is done into one that failed.
    if let Err(error) = keep(&root, &policy, &outcome) {
        complain!("earmark-agent: failed to save the result: {error:#}, ignoring");
    }
    Ok(tell(&root, &policy, outcome).into())
}

/// Records the summary of first boot for `status`, also for those who may not read its journal.
fn keep(root: &Root, policy: &Policy, outcome: &Result<Outcome>) -> Result<()> {
    let declaration = policy.declaration();
    let Some(declaration) = declaration.filter(|declared| !declared.first_boot.is_empty()) else {
        return Ok(());
    };
    // One that cannot be read is the outcome's to tell.
    let journal = Journal::read(root).ok().flatten();
    let shown = FirstBootStatus::after(declaration, journal.as_ref(), outcome);
    record::keep_first_boot(root, shown)
}

fn carry_out(root: &Root, policy: &Policy) -> Result<Outcome> {
    let manifest = live::verified_manifest(root)?;
    // The units' order says so, too. Under `report` a host goes on that did not verify, and says so.
    if policy.on_failure() != OnFailure::Report {
        must_be_verified(root)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    runtime.block_on(perform::perform(root, &manifest))
}

fn must_be_verified(root: &Root) -> Result<()> {
    // Not the public record as such: the service's user can replace it, and this takes only what root wrote.
    let known = RootRecord::read(root);
    let is_good =
        |known: &RootRecord| matches!(known.verdict, Verdict::Verified | Verdict::Partial);
    anyhow::ensure!(
        known.as_ref().is_some_and(is_good),
        "this host was not verified in this boot"
    );
    Ok(())
}

/// Tells the console and the journal, as far as there is something to tell.
fn tell(root: &Root, policy: &Policy, outcome: Result<Outcome>) -> Exit {
    let image = record::image(root);
    let say = |line: &str| console::say(&summary::clean(line));
    let (exit, line, tail) = match outcome {
        Ok(Outcome::Nothing) => return Exit::Done,
        Ok(Outcome::Done { steps, notes }) => {
            for note in &notes {
                say(&format!("{image}: first boot: {note}"));
            }
            if steps == 0 && notes.is_empty() {
                return Exit::Done;
            }
            let line = match steps {
                0 => format!("{image}: first boot was done before"),
                1 => format!("{image}: first boot is done, 1 step"),
                steps => format!("{image}: first boot is done, {steps} steps"),
            };
            (Exit::Done, line, notes)
        }
        Ok(Outcome::Failed { step, reason, tail }) => {
            let place = step.map_or_else(String::new, |step| format!("step '{step}': "));
            let policy = policy.on_failure().name();
            let mut lines = reason.lines();
            let first = lines.next().unwrap_or_default();
            let line = format!("{image}: FIRST BOOT FAILED: {place}{first} (policy {policy})");
            let more = lines.map(str::to_owned).chain(tail).collect();
            (Exit::FirstBoot, line, more)
        }
        Err(error) => {
            let policy = policy.on_failure().name();
            let line = format!("{image}: FIRST BOOT UNDECIDED: {error:#} (policy {policy})");
            (Exit::Undecided, line, Vec::new())
        }
    };
    say(&line);
    if exit != Exit::Done {
        for line in &tail {
            say(&format!("  {line}"));
        }
    }
    let result = if exit == Exit::Done {
        system_journal::FirstBoot::Done
    } else {
        system_journal::FirstBoot::Failed
    };
    if let Err(error) = system_journal::say_first_boot(result, &summary::clean(&line), &tail) {
        complain!("earmark-agent: failed to write to the journal: {error}, ignoring");
    }
    exit
}
