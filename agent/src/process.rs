//! The one helper that starts processes: what can be started is an enumeration or a program of the
//! signed tree, the environment is what is given and nothing else, the status is looked at, and
//! there is a time after which it is killed.

mod descendants;
mod hand_over;
mod names;
mod output;
mod step;
mod verify;

pub use hand_over::hand_over;
pub use names::addresses;
pub use step::{Finished, StepRun, run_step};
pub use verify::{Ended, Program, run};
