//! Drop-in that the declared steps need: the network, and time.

use earmark_manifest::declaration::{Action, Declaration, Platform, Step};

/// Seconds for what is not in a step: reading the tree. Asking for values has a time of its own.
const READING: u64 = 14 * 60;
/// Seconds for a step that declares no time: a volume is waited for, and made a file system on.
const VOLUME: u64 = 30 * 60;
/// Seconds for one that only writes, or asks the service manager.
const SHORT: u64 = 2 * 60;
/// Seconds in which a command that is over its time is ended.
const GRACE: u64 = 60;

/// The lines of the drop-in of first boot; none if there is nothing to do at it.
pub(super) fn needs(declaration: &Declaration) -> String {
    let steps = &declaration.first_boot;
    if steps.is_empty() {
        return String::new();
    }
    // The metadata service answers once there is an address. Without one the steps fail, at their own
    // deadline: a wish, not a requirement.
    let network = match declaration.image.platform {
        Platform::Ec2 => "[Unit]\nWants=network-online.target\nAfter=network-online.target\n",
        Platform::File => "",
    };
    let values = declaration.values.timeout.duration().as_secs();
    let before = READING.saturating_add(values);
    let seconds = steps.iter().map(seconds).fold(before, u64::saturating_add);
    format!("{network}[Service]\nTimeoutStartSec={seconds}s\n")
}

/// The most that a step takes. What keeps its own time ends by itself before: this is for a defect.
fn seconds(step: &Step) -> u64 {
    match &step.action {
        Action::Command { timeout, .. } => timeout.duration().as_secs().saturating_add(GRACE),
        Action::Volume { .. } => VOLUME,
        Action::File { .. } | Action::Hostname { .. } | Action::Unit { .. } => SHORT,
    }
}
