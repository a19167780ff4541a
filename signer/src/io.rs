//! Ground of every command: files of this host and beneath a root, programs, progress, the terminal. It knows no
//! command.

pub mod beneath;
pub mod files;
pub mod output;
pub mod progress;
pub mod run;
