//! The units of a lock, where a grant opens it and when its time is over.
//!
//! Opened, the units that the image enables start. Shut, all of them stop, with what they left running
//! and with the sessions that came in through them: who is logged in when the time is over is logged out.
//! A process that root started meanwhile in a unit of its own goes on running; that the host was open is
//! told for the whole life of the instance.

use std::collections::BTreeSet;

use earmark_manifest::declaration::{Declaration, LockName};
use earmark_scan::Root;
use rustix::fs::{OFlags, ResolveFlags};

use super::{
    denied,
    item::Unseen,
    list::actions,
    look::{Look, is_of},
};
use crate::exec::live;

/// Directory of logind's files, one for each session.
const SESSIONS: &str = "/run/systemd/sessions";

/// The units of a lock that is denied.
#[derive(Debug)]
pub(super) struct Units {
    lock: LockName,
    except: Vec<String>,
    names: Vec<&'static str>,
}

/// Has the service manager run its generators again.
pub(super) fn reload(root: &Root) -> Result<(), String> {
    live::systemctl(root, &["daemon-reload".to_owned()])
}

impl Units {
    pub fn of(declaration: &Declaration, lock: LockName) -> Option<Self> {
        let units = actions(lock).units?;
        let except = denied(declaration, lock)?;
        let names = units(&except);
        Some(Self {
            lock,
            except,
            names,
        })
    }

    /// Starts those that the image enables. Returns what went wrong.
    pub fn start(&self, root: &Root) -> Vec<String> {
        let enabled = match Look::new(root).enabled(&self.names) {
            Ok(enabled) if enabled.is_empty() => return Vec::new(),
            Ok(enabled) => enabled,
            Err(unseen) => return vec![unseen.into()],
        };
        // One that waits for another to end must not hold this up.
        let mut words = vec!["start".to_owned(), "--no-block".to_owned(), "--".to_owned()];
        words.extend(enabled);
        live::systemctl(root, &words).err().into_iter().collect()
    }

    /// Stops all of them, and whoever came in. Returns what went wrong; what still runs is found by the
    /// probes.
    pub fn stop(&self, root: &Root) -> Vec<String> {
        let stop = |units: BTreeSet<String>| {
            if units.is_empty() {
                return None;
            }
            // Waited for, unlike the start: what is left after that is killed.
            let mut words = vec!["stop".to_owned(), "--".to_owned()];
            words.extend(units);
            live::systemctl(root, &words).err()
        };
        let (units, problem) = self.to_stop(&Look::new(root));
        let mut problems: Vec<String> = problem.into_iter().chain(stop(units)).collect();
        // sshd's unit says that its sessions stay when it stops, and a session is no part of it at all
        // where logind keeps them.
        match self.left(&Look::new(root)) {
            Ok(groups) => {
                problems.extend(groups.iter().filter_map(|group| kill(root, group).err()));
            }
            Err(unseen) => problems.push(unseen.into()),
        }
        problems
    }

    /// Returns the units to stop: those that run, and those that are no template and may listen or wait without
    /// running. If the running ones cannot be listed, returns why, and the rest is stopped all the same.
    fn to_stop(&self, look: &Look<'_>) -> (BTreeSet<String>, Option<String>) {
        let (mut units, mut problem) = (BTreeSet::new(), None);
        match look.running() {
            Ok(running) => {
                let is_ours = |name: &&String| self.names.iter().any(|unit| is_of(unit, name));
                units.extend(running.iter().filter(is_ours).cloned());
            }
            Err(found) => problem = Some(found.into()),
        }
        for name in self.names.iter().filter(|name| !name.contains("@.")) {
            // What may be there is stopped, too.
            if look.has_unit(name).unwrap_or(true) {
                units.insert((*name).to_owned());
            }
        }
        (units, problem)
    }

    /// The control groups of what still runs of them, and of sessions that they let in.
    fn left(&self, look: &Look<'_>) -> Result<Vec<String>, Unseen> {
        let groups = look.groups()?.into_iter();
        let is_left = |path: &String| {
            let name = path.rsplit('/').next().unwrap_or_default();
            self.names.iter().any(|unit| is_of(unit, name))
                || self.lock == LockName::RemoteAccess && self.let_in(look, name)
        };
        Ok(groups.filter(is_left).collect())
    }

    /// Returns whether a control group is that of a session that came in by no way which the image leaves open.
    fn let_in(&self, look: &Look<'_>, group: &str) -> bool {
        let Some(session) = group
            .strip_prefix("session-")
            .and_then(|rest| rest.strip_suffix(".scope"))
        else {
            return false;
        };
        let text = look.text(&format!("{SESSIONS}/{session}"));
        // A session whose way is unknown came in by none that the image leaves open.
        let text = text.ok().flatten().unwrap_or_default();
        let is = |line: &str| text.lines().any(|found| found == line);
        let by = |way: &str, service: &str| {
            self.except.iter().any(|word| word == way) && is(&format!("SERVICE={service}"))
        };
        // pam_systemd gives sessions of cron this class: nobody came in by them.
        let is_job = is("CLASS=background") || is("CLASS=background-light");
        !(is_job || by("sshd", "sshd") || by("getty", "login"))
    }
}

/// Ends every process of a control group, at once and with all that it starts meanwhile.
fn kill(root: &Root, group: &str) -> Result<(), String> {
    let path = format!("{group}/cgroup.kill");
    let failed = |problem: String| format!("failed to end what runs in '/{group}': {problem}");
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let file = earmark_scan::openat2(root.as_fd(), path.as_str(), flags, resolve);
    match file {
        Err(rustix::io::Errno::NOENT) => match Look::new(root).exists(&format!("/{group}")) {
            Ok(true) => Err(failed(
                "this kernel has no cgroup.kill (Linux 5.14)".to_owned(),
            )),
            // It ended meanwhile.
            Ok(false) => Ok(()),
            Err(unseen) => Err(failed(unseen.into())),
        },
        Err(errno) => Err(failed(errno.to_string())),
        Ok(file) => rustix::io::write(file, b"1")
            .map(|_| ())
            .map_err(|errno| failed(errno.to_string())),
    }
}

#[cfg(test)]
mod tests;
