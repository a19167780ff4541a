//! Runs a program of the image for a first-boot step.

use std::{process::Stdio, time::Duration};

use rustix::{
    io::FdFlags,
    process::{Pid, Signal},
};
use tokio::process::{Child, Command};

use super::{descendants, executable::Executable, output::Output};

/// Program of a step, and how to run it.
#[derive(Debug, Clone, Copy)]
pub struct StepRun<'a> {
    /// The program.
    pub executable: &'a Executable,
    /// Its arguments.
    pub arguments: &'a [String],
    /// Its environment, beside `PATH` and `LANG`.
    pub environment: &'a [(String, String)],
    /// Time after which it is ended.
    pub timeout: Duration,
}

/// End of a step's program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Its status, if it ended by itself.
    pub code: Option<i32>,
    /// The same in words, such as "exit status 3".
    pub how: String,
    /// The last lines that it printed.
    pub tail: Vec<String>,
    /// Processes that it left behind, and that were killed.
    pub left_behind: usize,
}

/// Between the asking to end and the killing.
const GRACE: Duration = Duration::from_secs(5);
/// For the rest of the output, once every process is gone.
const DRAIN: Duration = Duration::from_secs(2);

/// Runs it to its end, and ends whatever it started: a daemon is a unit's business. `Err` is a program
/// that could not be started.
pub async fn run_step(run: &StepRun<'_>, label: &str) -> Result<Finished, String> {
    // Before the start: what is orphaned earlier has gone to PID 1, and is not found again.
    descendants::adopt()
        .map_err(|error| format!("failed to become the subreaper of the step: {error}"))?;
    let output = Output::new(label);
    let mut child = start(run)?;
    // Read while it runs: a pipe holds 64 KiB, and a full one would block the step until its time is over.
    let readers = [
        child
            .stdout
            .take()
            .map(|pipe| tokio::spawn(output.clone().take(pipe))),
        child
            .stderr
            .take()
            .map(|pipe| tokio::spawn(output.clone().take(pipe))),
    ];
    let (code, how) = match tokio::time::timeout(run.timeout, child.wait()).await {
        Ok(Ok(status)) => (status.code(), words(status)),
        Ok(Err(error)) => (None, format!("failed to wait for it: {error}")),
        Err(_) => {
            end(&mut child).await;
            (
                None,
                format!(
                    "it timed out after {} s and was killed",
                    run.timeout.as_secs()
                ),
            )
        }
    };
    // Before the pipes are drained: a daemon that inherited them would keep them open.
    let left_behind = descendants::kill_all().await;
    for reader in readers.into_iter().flatten() {
        // Bounded: a process in uninterruptible sleep survives SIGKILL for now, and keeps the pipe open.
        let _ = tokio::time::timeout(DRAIN, reader).await;
    }
    Ok(Finished {
        code,
        how,
        tail: output.tail(),
        left_behind,
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "a part of the helper that starts processes"
)]
fn start(run: &StepRun<'_>) -> Result<Child, String> {
    let (path, name, first) = run.executable.invocation();
    let inherited = run.executable.inherited();
    let keep = |flags| {
        inherited.map_or(Ok(()), |descriptor| {
            rustix::io::fcntl_setfd(descriptor, flags)
        })
    };
    // An interpreter opens the script after exec, which closes descriptors with FD_CLOEXEC.
    keep(FdFlags::empty())
        .map_err(|error| format!("failed to pass the script to its interpreter: {error}"))?;
    // Nothing of this program's environment, which `systemd.setenv=` can add to; no standard input, so that a program
    // that asks gets end-of-file; a group of its own, so that ending it does not end this program.
    let mut command = Command::new(path);
    command
        .arg0(name)
        .args(first)
        .args(run.arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LANG", "C.UTF-8")
        .envs(run.environment.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let spawned = command.spawn();
    // No other program that this one starts has a use for it.
    let _ = keep(FdFlags::CLOEXEC);
    spawned.map_err(|error| {
        let path = run.executable.path();
        if error.kind() == std::io::ErrorKind::PermissionDenied {
            format!(
                "the kernel does not run '{path}': {error}; is it on a file system that is mounted noexec?"
            )
        } else {
            format!("'{path}' could not be started: {error}")
        }
    })
}

/// Asks the whole group to end, and kills it if it does not.
async fn end(child: &mut Child) {
    let group = child
        .id()
        .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    // The group, not the child alone: a shell's own children outlive it.
    let signal = |signal| {
        if let Some(group) = group {
            // Gone already is as good.
            let _ = rustix::process::kill_process_group(group, signal);
        }
    };
    signal(Signal::TERM);
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        signal(Signal::KILL);
        let _ = child.wait().await;
    }
    // Again, also where the child ended at SIGTERM: others of its group may have ignored it.
    signal(Signal::KILL);
}

fn words(status: std::process::ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("exit status {code}"),
        None => format!("it was ended by {status}"),
    }
}
