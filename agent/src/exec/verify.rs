//! Starts this very program again.

use std::{path::Path, process::Stdio, time::Duration};

use earmark_manifest::declaration::ByteRate;
use tokio::process::Command;

/// A program that the agent starts.
#[derive(Debug, Clone, Copy)]
pub enum Program<'a> {
    /// This very program, for a full verification that tells what it finds.
    Verify {
        /// The root to verify.
        root: &'a Path,
        /// Most that it reads a second; no limit if absent.
        rate: Option<ByteRate>,
    },
}

/// End of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Code(u8),
    /// Otherwise, or it could not be started; in words.
    Died(String),
}

/// Runs it to its end. What it prints goes where this program's own output goes. If the caller stops
/// waiting, the process is killed.
pub async fn run(program: Program<'_>, timeout: Duration) -> Ended {
    let mut child = match command(program).spawn() {
        Ok(child) => child,
        Err(error) => return Ended::Died(format!("it could not be started: {error}")),
    };
    let status = match tokio::time::timeout(timeout, child.wait()).await {
        Ok(Ok(status)) => status,
        Ok(Err(error)) => return Ended::Died(format!("failed to wait for it: {error}")),
        Err(_) => {
            return Ended::Died(format!(
                "it timed out after {} s and was killed",
                timeout.as_secs()
            ));
        }
    };
    // A signal is no code: it must not be taken for 10 or 11, on which the policy follows.
    match status.code().map(u8::try_from) {
        Some(Ok(code)) => Ended::Code(code),
        // "signal: 9 (SIGKILL)" and the like.
        _ => Ended::Died(format!("it was ended by {status}")),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the helper that starts processes"
)]
fn command(program: Program<'_>) -> Command {
    let mut command = match program {
        Program::Verify { root, rate } => {
            // The file that runs, whatever has its name by now.
            let mut command = Command::new("/proc/self/exe");
            command.arg0("earmark-agent");
            // --again: this is not the verification before first boot, which tolerates what an interrupted one left.
            command.args(["verify", "--boot", "--again", "--gate", "full", "--root"]);
            command.arg(root);
            if let Some(rate) = rate {
                command.args(["--rate", &rate.to_string()]);
            }
            command
        }
    };
    // NOTIFY_SOCKET and WATCHDOG_USEC are the service's own; what `systemd.setenv=` added is nobody's.
    command.env_clear().stdin(Stdio::null()).kill_on_drop(true);
    command
}
