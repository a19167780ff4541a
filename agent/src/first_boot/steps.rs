//! Actions of steps, one file for each kind.

pub mod command;
pub mod file;
pub mod hostname;
pub mod unit;
pub mod volume;

use earmark_manifest::{
    declaration::{Action, Step},
    verify::VerifiedManifest,
};

use super::bindings::Bindings;
use crate::exec::{Failure, SealedImage};

/// Inputs that every step works with.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The image that it works in, and whose files it may use.
    pub image: SealedImage<'a>,
    /// Manifest of the image that declares the steps.
    pub manifest: &'a VerifiedManifest,
    /// Values of its templates' names.
    pub bindings: &'a Bindings,
}

/// Result of a step.
pub type StepResult = Result<(), Failure>;

/// Brings about what a step declares, at first boot (`is_first`) or at one that follows it. Then only
/// what lives in memory is brought about again: a started unit, a mounted volume, the host's name.
pub async fn apply(context: &Context<'_>, step: &Step, is_first: bool) -> StepResult {
    match &step.action {
        // Once in the life of a host: what a command did is on the disk.
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
            // Later boots have no secrets, which are not kept: a file with one could not be written again.
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
    }
}
