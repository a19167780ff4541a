//! Actions of steps, one file for each kind.

pub mod command;
pub mod file;
pub mod hostname;
mod tool;
pub mod unit;
pub mod volume;

use std::{fmt, time::Duration};

use earmark_manifest::{
    declaration::{Action, Step},
    name::UnitName,
    verify::VerifiedManifest,
};
use earmark_scan::Root;

use super::{bindings::Bindings, sealed::SealedFiles};

/// Hardware that does not answer must not hold the boot for ever.
const MODPROBE: Duration = Duration::from_mins(1);

/// Inputs that every step works with.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The root that it works in.
    pub root: &'a Root,
    /// Manifest of the image that declares the steps.
    pub manifest: &'a VerifiedManifest,
    /// Files of the image that it may use.
    pub sealed: &'a SealedFiles,
    /// Values of its templates' names.
    pub bindings: &'a Bindings,
}

/// Failure of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepFailure {
    /// In a line.
    pub reason: String,
    /// The last lines of what it printed, if it printed.
    pub tail: Vec<String>,
}

/// Result of a step.
pub type StepResult = Result<(), StepFailure>;

impl From<String> for StepFailure {
    fn from(reason: String) -> Self {
        Self {
            reason,
            tail: Vec::new(),
        }
    }
}

impl fmt::Display for StepFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// Starts a sealed unit of the image, and does not wait for it.
pub async fn start_unit(context: &Context<'_>, unit: &UnitName) -> StepResult {
    unit::apply(context, &[], std::slice::from_ref(unit)).await
}

/// Asks the service manager for something.
pub async fn systemctl(context: &Context<'_>, words: &[&str]) -> StepResult {
    tool::systemctl(context, words).await
}

/// Loads a module of the kernel, with those that it needs.
pub async fn modprobe(context: &Context<'_>, module: &str) -> StepResult {
    // Not an option, whatever it is called.
    let arguments = ["--", module];
    tool::must(context, "modprobe", "kmod", &arguments, MODPROBE).await
}

/// Brings about what a step declares, at first boot (`is_first`) or at one that follows it. Then only
/// what lives in memory is brought about again: a started unit, a mounted volume, the host's name.
pub async fn apply(context: &Context<'_>, step: &Step, is_first: bool) -> StepResult {
    match &step.action {
        Action::Command { .. } if !is_first => Ok(()),
        Action::Command {
            executable,
            arguments,
            environment,
            secrets,
            timeout,
        } => {
            let command = command::Command {
                executable,
                arguments,
                environment,
                secrets,
                timeout: timeout.duration(),
            };
            command.run(context, step.name.as_str()).await
        }
        Action::File {
            path,
            template,
            mode,
            owner,
            group,
        } => {
            let file = file::File {
                path,
                template,
                mode: mode.0,
                owner,
                group: group.as_ref(),
            };
            if is_first {
                file.write(context)
            } else {
                file.must_be_there(context)
            }
        }
        Action::Hostname { template } => hostname::apply(context, template),
        Action::Unit { enable, start } => unit::apply(context, enable, start).await,
        Action::Volume {
            device,
            filesystem,
            mount,
            grow,
        } => volume::apply(context, device, *filesystem, mount, *grow, is_first).await,
        // The vocabulary of a newer format; the manifest's minimum agent should have stopped it.
        _ => Err("this version does not know this kind of step"
            .to_owned()
            .into()),
    }
}
