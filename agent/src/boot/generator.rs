//! The stage `generator`: before any unit starts, it puts the image's policy into the service
//! manager's hands.
//!
//! systemd runs it as `earmark-generator NORMAL EARLY LATE`. It reads the envelope and the
//! declaration, not the tree, and writes into EARLY alone, which comes before `/etc`: an override,
//! a drop-in or a mask of one of our units has no effect, wherever in the image or on the kernel's
//! command line it is.
//!
//! Protects against whatever is configured against our units. Does not protect against a generator
//! of the same name in `/etc/systemd/system-generators`, nor against units in
//! `/etc/systemd/system.control`, which come before EARLY: the verification finds both as `added`,
//! if they let it run (tier T0).

mod apply;
mod check;
mod early;
mod needs;
mod overrides;
mod plan;
mod reports;

use std::{
    ffi::OsString, fs::OpenOptions, io::Write, os::unix::fs::OpenOptionsExt, path::Path,
    process::ExitCode,
};

use earmark_scan::{Root, cmdline::CommandLine};
use rustix::fs::OFlags;

use crate::{boot::policy::Policy, exit::Exit, fleet::grants::Opened, status::summary::clean};

pub use check::violations;

/// The name that this program is installed under as a generator.
pub const NAME: &str = "earmark-generator";

/// Runs as systemd runs generators.
pub fn run(arguments: &[OsString]) -> ExitCode {
    let [_normal, early, _late] = arguments else {
        say("expected the three directories that systemd names");
        return Exit::Usage.into();
    };
    let root = match Root::open(Path::new("/")) {
        Ok(root) => root,
        Err(error) => {
            say(&error.to_string());
            return Exit::Undecided.into();
        }
    };
    let (told, exit) = generate(&root, Path::new(early));
    for line in told {
        say(&line);
    }
    exit.into()
}

/// The kernel's log is the one place that there is yet, and the journal takes what is in it. A
/// generator's standard error leads nowhere at boot, and to a person who runs it by hand.
fn say(line: &str) {
    /// Facility "daemon", priority "notice".
    const PRIORITY: u8 = 3 << 3 | 5;
    let record = format!(
        "<{PRIORITY}>{NAME}[{}]: {}\n",
        std::process::id(),
        clean(line)
    );
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let written = OpenOptions::new()
        .write(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
        .open("/dev/kmsg")
        .and_then(|mut log| log.write_all(record.as_bytes()));
    if written.is_err() {
        complain!("{NAME}: {line}");
    }
}

/// Writes what follows from `root` into the directory `early`. Returns what there is to say.
fn generate(root: &Root, early: &Path) -> (Vec<String>, Exit) {
    let policy = Policy::of(root);
    let mut told = vec![format!(
        "policy {}: {}",
        policy.on_failure().name(),
        policy.reason()
    )];
    let order = early::find(root);
    let (overrides, problems) = overrides::find(root, &order.aliases);
    told.extend(problems);
    let ours = overrides.iter().filter(|found| found.is_for_us);
    told.extend(ours.map(|found| {
        let path = overrides::show(&found.path);
        format!("'{path}' has no effect: the agent's units take no changes")
    }));
    told.extend(order.problems.iter().cloned());
    told.extend(order.early.iter().map(|(unit, later)| {
        format!(
            "'{unit}' is not listed, and would start before the verdict: '{later}' waits for it"
        )
    }));
    let targets = CommandLine::read(root).targets();
    let open = Opened::read(root).open();
    let plan = plan::plan(&policy, &targets, &overrides, &order, &open);
    let problems = apply::apply(&plan, early);
    let exit = if problems.is_empty() {
        Exit::Done
    } else {
        Exit::Undecided
    };
    told.extend(problems);
    (told, exit)
}

#[cfg(test)]
mod tests;
