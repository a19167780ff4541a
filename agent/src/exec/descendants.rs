//! Processes that a step leaves behind. This program is made their parent when their own one ends,
//! so that a process which left its group and its session is still found.

use std::{fs, time::Duration};

use rustix::process::{Pid, Signal, WaitOptions};

/// Rounds of looking for more: what is being killed may still have started another.
const ROUNDS: usize = 50;

/// Has this program be the parent of what its children leave behind, from now on.
pub fn adopt() -> std::io::Result<()> {
    let this = rustix::process::getpid();
    // Without this an orphan goes to PID 1, and one that called setsid() is in no process group of its step either.
    rustix::process::set_child_subreaper(Some(this)).map_err(Into::into)
}

/// Kills all children and what they leave behind, until there are none. Returns how many there were.
pub async fn kill_all() -> usize {
    let mut killed = 0;
    for _ in 0..ROUNDS {
        let children = children();
        if children.is_empty() {
            return killed;
        }
        for child in children {
            // Not SIGTERM: a daemon that ignores it would hold first boot up.
            if rustix::process::kill_process(child, Signal::KILL).is_ok() {
                killed += 1;
            }
            // It is gone in a moment; the next round reaps it, should it not be by then.
            let _ = rustix::process::waitpid(Some(child), WaitOptions::NOHANG);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        children_reaped();
    }
    killed
}

fn children_reaped() {
    while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
}

/// The children of this program, from `/proc`: a process that ends hands its own to this one.
fn children() -> Vec<Pid> {
    let this = rustix::process::getpid().as_raw_nonzero().get();
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let parents = entries.flatten().filter_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name is in parentheses, and may hold anything.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?;
        let parent: i32 = fields.next()?.parse().ok()?;
        // A zombie was not left running: counted, it would be told as a process that was killed.
        (parent == this && state != "Z").then(|| Pid::from_raw(pid))?
    });
    parents.collect()
}
