//! `unit`: units of the image are enabled, or started.
//!
//! Both last until the next boot, at which the step is applied again: what is enabled for ever is a link
//! in `/etc`, and belongs into the image.

use earmark_manifest::name::UnitName;

use super::{Context, StepResult};
use crate::exec::systemctl;

/// Enables and starts units.
pub async fn apply(context: &Context<'_>, enable: &[UnitName], start: &[UnitName]) -> StepResult {
    systemctl::enable_and_start(context.image, enable, start).await
}
