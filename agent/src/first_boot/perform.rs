//! Carries the steps out: each exactly once, in their order, with a record on the disk before and
//! after it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use earmark_manifest::{
    declaration::{Declaration, Interrupted, Platform, Step, ValueSource},
    verify::VerifiedManifest,
};
use earmark_scan::Root;

use super::{
    bindings::Bindings,
    journal::{Journal, StepState},
    kept::KeptValues,
    steps::{self, Context},
};
use crate::{
    exec::{Failure, SealedImage, sealed::SealedFiles},
    host::{self, console},
    parameters::{self, Values},
    platform::{
        identity::{self, Instance},
        imds::Imds,
    },
    status::{record, summary},
};

/// A wait of the boot that is longer than this is told.
const UNTOLD: Duration = Duration::from_secs(5);
/// Later it is only asked whether something changed, which nothing waits for.
const BRIEF: Duration = Duration::from_secs(5);

/// Outcome of first boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The image declares no steps.
    Nothing,
    /// All steps are done; by this run, if the number is not 0.
    Done {
        /// Steps that this run did.
        steps: usize,
        /// Notes that stop nothing, a line each.
        notes: Vec<String>,
    },
    /// It stopped at its place.
    Failed {
        /// The step; none, if it did not come to one.
        step: Option<String>,
        /// Reason: one line or, if it is about values, several.
        reason: String,
        /// The last lines that the step printed.
        tail: Vec<String>,
    },
}

/// Carries out what is still to be done. `Err` is a doubt: what was done before cannot be told.
pub async fn perform(root: &Root, manifest: &VerifiedManifest) -> Result<Outcome> {
    let declaration = manifest.declaration();
    if declaration.first_boot.is_empty() {
        return Ok(Outcome::Nothing);
    }
    let sealed = SealedFiles::of(manifest)?;
    let found = Journal::read(root)?;
    // The digest, not name and version, which an image with other steps can have, too.
    let is_ours = |journal: &Journal| journal.manifest == manifest.digest().to_string();
    let was_complete = found
        .as_ref()
        .is_some_and(|journal| journal.is_complete && is_ours(journal));
    // A clone of the disk has the journal of the host that it was copied from: what it asks for, it waits for.
    let machine = identity::of_firmware(root, declaration.image.platform);
    let is_known = found
        .as_ref()
        .is_some_and(|journal| was_complete && journal.machine == machine);
    let patience = if is_known {
        BRIEF
    } else {
        declaration.values.timeout.duration()
    };
    let imds = imds(declaration, patience)?;
    let asked = identity::instance(root, declaration.image.platform, imds.as_ref());
    let instance = told(root, patience, asked).await;
    let mut notes = Vec::new();
    let instance = match (instance, &found) {
        (Ok(instance), _) => instance,
        // A later boot of the same machine without its metadata service: no clone.
        (Err(problem), Some(journal)) if is_known => {
            notes.push(format!("failed to determine the instance id: {problem}"));
            Instance {
                id: journal.instance.clone(),
                document: None,
            }
        }
        (Err(problem), _) => {
            return Ok(failed(format!(
                "failed to determine the instance id: {problem}"
            )));
        }
    };
    let (mut journal, old) = take_up(found, manifest, &instance.id);
    let is_kept = journal.machine == machine;
    journal.machine = machine;
    let asked = values(root, declaration, imds.as_ref(), &mut journal, &mut notes);
    let values = match told(root, patience, asked).await {
        Ok(values) => values,
        Err(problem) => return Ok(failed(problem)),
    };
    if let Some(old) = old {
        // Not removed: it is what there is to tell which of the other host's steps this disk has seen. Only now, and
        // before the new one takes its place: a try that got no values, or was killed, finds the old one again.
        old.keep_aside(root)?;
    }
    let bindings = Bindings::new(manifest, &instance.id, values);
    // A note and no failure: the document is for reports, and no step waits for it.
    if declaration.image.platform == Platform::Ec2
        && let Err(problem) = identity::keep(root, imds.as_ref(), instance).await
    {
        notes.push(format!("failed to save the identity document: {problem}"));
    }
    let context = Context {
        image: SealedImage {
            root,
            sealed: &sealed,
        },
        manifest,
        bindings: &bindings,
    };
    let mut run = Run {
        context,
        journal,
        done: 0,
    };
    for step in &declaration.first_boot {
        // Steps behind it are not tried: each may build on the one before.
        if let Err(failure) = run.step(step).await? {
            return Ok(Outcome::Failed {
                step: Some(step.name.to_string()),
                reason: failure.reason,
                tail: failure.tail,
            });
        }
    }
    if !run.journal.is_complete {
        run.journal.is_complete = true;
        run.journal.write(root)?;
    }
    if let Some(origin) = &run.journal.cloned_from {
        notes.push(format!(
            "this disk began as that of {origin}: this host is a clone"
        ));
    }
    if run.journal.notes != notes || !is_kept {
        run.journal.notes.clone_from(&notes);
        // The steps are done and on record; a disk that takes no more must not undo that.
        if let Err(error) = run.journal.write(root) {
            complain!("earmark-agent: failed to save the notes of first boot: {error:#}, ignoring");
        }
    }
    Ok(Outcome::Done {
        steps: run.done,
        notes,
    })
}

/// Says on the console what a boot waits for, and for how long at most, if it does wait.
async fn told<T>(root: &Root, patience: Duration, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    if let Ok(done) = tokio::time::timeout(UNTOLD, &mut work).await {
        return done;
    }
    if root.is_live() && patience > UNTOLD {
        let (image, seconds) = (record::image(root), patience.as_secs());
        console::say(&summary::clean(&format!(
            "{image}: first boot waits for the metadata service (169.254.169.254), at most {seconds} s"
        )));
    }
    work.await
}

fn failed(reason: String) -> Outcome {
    Outcome::Failed {
        step: None,
        reason,
        tail: Vec::new(),
    }
}

/// The metadata service, if anything is to be asked of it.
fn imds(declaration: &Declaration, deadline: Duration) -> Result<Option<Imds>> {
    // An image that needs nothing of it makes no request: nothing outside a host is to hold its boot up.
    let is_asked = declaration.image.platform == Platform::Ec2
        || declaration
            .values
            .from
            .iter()
            .any(|source| matches!(source, ValueSource::UserData | ValueSource::Tags));
    is_asked
        .then(|| Imds::new(deadline).context("failed to make a client of the metadata service"))
        .transpose()
}

/// The journal that counts: the one that was found, if it is this instance's and this image's. Else a new one, and
/// the one that was found.
fn take_up(
    found: Option<Journal>,
    manifest: &VerifiedManifest,
    instance: &str,
) -> (Journal, Option<Journal>) {
    let mut new = Journal::new(instance, manifest.digest());
    match found {
        None => (new, None),
        Some(found) if found.instance == instance && found.manifest == new.manifest => {
            (found, None)
        }
        Some(found) => {
            // Its steps were another host's, or another image's: these start afresh, and it is said.
            new.cloned_from = if found.instance == instance {
                found.cloned_from.clone()
            } else {
                Some(found.instance.clone())
            };
            (new, Some(found))
        }
    }
}

/// The values of the parameters: at first boot those that are given now; later those that it had.
async fn values(
    root: &Root,
    declaration: &Declaration,
    imds: Option<&Imds>,
    journal: &mut Journal,
    notes: &mut Vec<String>,
) -> Result<Values, String> {
    let gathered = parameters::gather(root, declaration, imds).await;
    let kept = journal.values.take();
    match (gathered, kept) {
        (Ok(now), None) => {
            journal.values = Some(KeptValues::of(&now));
            Ok(now)
        }
        (Ok(now), Some(kept)) => {
            for name in kept.changed(&now) {
                notes.push(if journal.is_complete {
                    format!(
                        "the value of '{name}' changed, and the new value is not applied; next: \
                         replace the host"
                    )
                } else {
                    format!("the value of '{name}' changed: steps not yet done get the new value")
                });
            }
            if journal.is_complete {
                // Values that are changed later, by whoever may set user-data or tags, do not reach a host that runs.
                let plain = kept.plain();
                journal.values = Some(kept);
                Ok(plain)
            } else {
                journal.values = Some(KeptValues::of(&now));
                Ok(now)
            }
        }
        // A metadata service that is down stops no later boot.
        (Err(problem), Some(kept)) if journal.is_complete => {
            notes.push(format!("failed to check whether values changed: {problem}"));
            let plain = kept.plain();
            journal.values = Some(kept);
            Ok(plain)
        }
        (Err(problem), kept) => {
            journal.values = kept;
            Err(problem.to_string())
        }
    }
}

struct Run<'a> {
    context: Context<'a>,
    journal: Journal,
    done: usize,
}

impl Run<'_> {
    /// One step. The outer error is a journal that cannot be written: then the step does not begin, or
    /// is found as interrupted by the next boot.
    async fn step(&mut self, step: &Step) -> Result<Result<(), Failure>> {
        let record = self.journal.step(&step.name);
        match (record.map(|record| record.state), step.interrupted) {
            (Some(StepState::Done), _) => {
                return Ok(steps::apply(&self.context, step, false).await);
            }
            // Half of it may have happened, and nothing says that it can be done twice.
            (Some(StepState::Started), Interrupted::Fail) => {
                let reason = "a crash interrupted the step, and the step does not declare \
                              interrupted = \"retry\"";
                self.journal.end(&step.name, None, Some(reason.to_owned()));
                self.journal.write(self.context.image.root)?;
                return Ok(Err(reason.to_owned().into()));
            }
            (Some(StepState::Failed), Interrupted::Fail) => {
                let reason = record.and_then(|record| record.reason.clone());
                let reason = reason.unwrap_or_default();
                return Ok(Err(format!("it failed in an earlier boot: {reason}").into()));
            }
            (None, _) | (Some(StepState::Started | StepState::Failed), Interrupted::Retry) => {}
        }
        // On the disk before the step begins: a crash is then found as a step that was interrupted, not as one to do.
        self.journal.begin(&step.name, host::time());
        self.journal.write(self.context.image.root)?;
        complain!("earmark-agent: step '{}' begins", step.name);
        let start = Instant::now();
        let result = steps::apply(&self.context, step, true).await;
        let took = u64::try_from(start.elapsed().as_millis()).ok();
        let reason = result.as_ref().err().map(|failure| failure.reason.clone());
        self.journal.end(&step.name, took, reason);
        self.journal.write(self.context.image.root)?;
        if result.is_ok() {
            self.done = self.done.saturating_add(1);
        }
        Ok(result)
    }
}
