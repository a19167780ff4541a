//! Observations of a boot.

use std::time::Duration;

use serde_json::Value;

use crate::{Run, vm::Console};

/// Output of a machine on its console, and of its observer.
#[derive(Debug)]
pub struct Seen {
    /// The console.
    pub console: String,
    /// The observer's steps.
    pub steps: Console,
    /// Time since the start of QEMU, on this machine.
    pub took: Duration,
}

impl Seen {
    /// The same, if what was waited for came.
    #[track_caller]
    pub fn settled(self) -> Self {
        let settled = self.step("settled");
        assert_eq!(settled.code, 0, "{}\n{}", self.console, self.steps.0);
        self
    }

    /// Returns the exit code and the output of a step of the observer.
    #[track_caller]
    pub fn step(&self, name: &str) -> Run {
        self.steps.step(name)
    }

    /// Returns `/run/earmark/status.json`, which the agent keeps for other programs.
    #[track_caller]
    pub fn status(&self) -> Value {
        self.step("status").must(0).json()
    }

    /// The violations of the status, as `KIND PATH`.
    #[track_caller]
    pub fn violations(&self) -> Vec<String> {
        self.step("status").must(0).violations()
    }

    /// Returns whether a unit is active. One that systemd never loaded is not.
    #[track_caller]
    pub fn is_active(&self, unit: &str) -> bool {
        let kinds = [".service", ".target", ".socket"];
        assert!(kinds.iter().any(|kind| unit.ends_with(kind)), "{unit}");
        let said = self.step("states").must(0).out;
        let mut lines = said.lines().map(|line| line.split_whitespace());
        // Its name, whether it is loaded, whether it is active.
        lines.any(|mut words| words.next() == Some(unit) && words.nth(1) == Some("active"))
    }

    /// Microseconds after the kernel's start, of a property whose name ends with `Monotonic`; 0 is never.
    #[track_caller]
    pub fn micros(&self, unit: &str, name: &str) -> u64 {
        let said = self.step("units").must(0).out;
        let id = format!("Id={unit}");
        let mut blocks = said.split("\n\n");
        let block = blocks.find(|block| block.lines().any(|line| line == id));
        let block = block.unwrap_or_else(|| panic!("the observer does not ask for {unit}"));
        let value = |line: &str| {
            let value = line.strip_prefix(name)?.strip_prefix('=')?;
            value.parse().ok()
        };
        block.lines().find_map(value).unwrap_or(0)
    }

    /// Returns whether systemd has begun to start a unit at any time in this boot, by its journal messages:
    /// systemd forgets the state of a unit that it unloads.
    #[track_caller]
    pub fn has_started(&self, unit: &str) -> bool {
        let said = self.step("started").must(0).out;
        said.contains(&format!("\"UNIT\":\"{unit}\""))
    }

    /// Returns the listening TCP and UDP sockets, each as a line of `ss`.
    #[track_caller]
    pub fn listening(&self) -> Vec<String> {
        let said = self.step("listening").must(0).out;
        let lines = said.lines().map(str::trim);
        lines
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// The host does what it is for: nothing that Earmark keeps from running is kept.
    #[track_caller]
    pub fn must_be_at_work(&self) {
        for unit in ["earmark-ready.target", "workload.service", "ssh.service"] {
            assert!(self.is_active(unit), "{unit}: {}", self.steps.0);
        }
        assert!(!self.has_started("earmark-quarantine.target"));
        let listening = self.listening().join("\n");
        assert!(listening.contains(":22 "), "{listening}");
        assert!(self.console.contains("login:"), "{}", self.console);
    }

    /// The same, and nothing was found as far as was looked by now.
    #[track_caller]
    pub fn must_be_good(&self) {
        self.must_be_at_work();
        let status = self.status();
        let verdict = status["verdict"].as_str().unwrap_or_default();
        assert!(["partial", "verified"].contains(&verdict), "{status:#}");
        assert!(self.violations().is_empty(), "{status:#}");
    }

    /// The same, and everything was looked at.
    #[track_caller]
    pub fn must_be_verified(&self) {
        self.must_be_good();
        let status = self.status();
        assert_eq!(status["verdict"], "verified", "{status:#}");
    }

    /// Verified, at work, and shut: every lock is enforced, and nobody can log in.
    #[track_caller]
    pub fn must_be_locked_down(&self) {
        let status = self.status();
        assert_eq!(status["verdict"], "verified", "{status:#}");
        assert_eq!(status["lockdown"]["is_enforced"], true, "{status:#}");
        for unit in ["earmark-ready.target", "workload.service"] {
            assert!(self.is_active(unit), "{unit}: {}", self.steps.0);
        }
        for unit in ["ssh.service", "console-getty.service"] {
            assert!(!self.has_started(unit), "{unit}: {}", self.steps.0);
        }
        let listening = self.listening();
        assert!(listening.is_empty(), "{listening:?}");
    }

    /// No workload, no login, no open port, and none of it was there before, either.
    #[track_caller]
    pub fn must_be_quarantined(&self) {
        self.must_be_shut();
        for unit in [
            "earmark-ready.target",
            "multi-user.target",
            "ssh.service",
            "workload.service",
        ] {
            assert!(!self.has_started(unit), "{unit}: {}", self.steps.0);
        }
        assert!(!self.console.contains("login:"), "{}", self.console);
    }

    /// No workload, no login and no open port, now.
    #[track_caller]
    pub fn must_be_shut(&self) {
        assert!(self.is_active("earmark-quarantine.target"));
        for unit in ["earmark-ready.target", "ssh.service", "workload.service"] {
            assert!(!self.is_active(unit), "{unit}: {}", self.steps.0);
        }
        let processes = self.step("processes").must(0).out;
        for program in ["agetty", "login", "sulogin", "sshd", "sleep", "bash"] {
            let found = processes
                .lines()
                .any(|line| line.ends_with(&format!("/{program}")));
            assert!(!found, "{program} runs: {processes}");
        }
        let listening = self.listening();
        assert!(listening.is_empty(), "{listening:?}");
    }

    /// The console's lines from the agent.
    pub fn said(&self) -> Vec<&str> {
        let lines = self.console.lines();
        lines.filter(|line| line.contains("earmark")).collect()
    }
}
