//! The one place that starts processes: this program again, programs of the signed image, and what stands behind a name.
//!
//! A program that can be started is an enumeration or a file of the signed tree, the environment is what is given and
//! nothing else, the status is looked at, and there is a time after which it is killed. No stage of the boot is known here.

mod descendants;
pub mod executable;
mod hand_over;
pub mod live;
mod modprobe;
mod names;
mod output;
pub mod sealed;
mod step;
pub mod systemctl;
pub mod tool;
mod verify;

use std::fmt;

use earmark_scan::Root;

use self::sealed::SealedFiles;
pub use self::{
    hand_over::hand_over,
    names::addresses,
    step::{Finished, StepRun, run_step},
    verify::{Ended, Program, run},
};

/// Image whose programs are run: its root, and what of its signed tree can be.
#[derive(Debug, Clone, Copy)]
pub struct SealedImage<'a> {
    /// Root of the running host.
    pub root: &'a Root,
    /// Files and links of the signed tree.
    pub sealed: &'a SealedFiles,
}

/// Failure of a program, or of the step that runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// In a line.
    pub reason: String,
    /// The last lines of what it printed, if it printed.
    pub tail: Vec<String>,
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self {
            reason,
            tail: Vec::new(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}
