//! A fleet for tests: a channel with releases, a trust file for it, and reports in a directory.

use std::{
    fs,
    io::Read,
    path::PathBuf,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use crate::{Bench, Run, command, program};

/// A channel `stable.json` of the image `web` with the key `c.key`, the trust file `c.toml`, and `reports/`.
#[derive(Debug)]
pub struct Fleet {
    /// Bench whose directory holds these files.
    pub bench: Bench,
}

/// A program that runs beside the test.
#[derive(Debug)]
pub struct Started(Child);

/// The boot of every host, if a test does not say otherwise.
pub const BOOT: &str = "7e1c9c3e-1b7a-4a0e-9d57-0c4fba6f3a11";

/// The digest of the manifest that stands for a version.
pub fn manifest(version: &str) -> String {
    format!("sha256:{:0>64}", version.replace('.', ""))
}

impl Fleet {
    /// With these releases, promoted in this order.
    pub fn new(versions: &[&str]) -> Self {
        let fleet = Self {
            bench: Bench::new(),
        };
        fleet.bench.keygen("c");
        let trust = ["trust", "--key", "c.pub:channel", "--out", "c.toml"];
        fleet.bench.earmark(&trust).must(0);
        let init = [
            "channel",
            "init",
            "stable.json",
            "--image",
            "web",
            "--key",
            "c.key",
        ];
        fleet.bench.earmark(&init).must(0);
        fs::create_dir(fleet.bench.path("reports")).expect("a directory");
        for version in versions {
            fleet.promote(version);
        }
        fleet
    }

    /// Promotes a release whose manifest is [`manifest`] of its version.
    pub fn promote(&self, version: &str) {
        let digits: String = version.chars().filter(char::is_ascii_digit).collect();
        let packer = json!({
            "builds": [{
                "builder_type": "amazon-ebs", "artifact_id": format!("eu-central-1:ami-{digits:0>17}"),
                "packer_run_uuid": "run",
                "custom_data": {"image": "web", "version": version, "epoch": "3", "manifest": manifest(version)},
            }],
            "last_run_uuid": "run",
        });
        fs::write(self.bench.path("packer.json"), packer.to_string()).expect("a file");
        let words = [
            "channel",
            "promote",
            "stable.json",
            "--key",
            "c.key",
            "--packer",
            "packer.json",
        ];
        self.bench.earmark(&words).must(0);
    }

    /// Revokes a release.
    pub fn revoke(&self, version: &str, reason: &str) {
        let words = [
            "channel",
            "revoke",
            "stable.json",
            "--key",
            "c.key",
            "--release",
            version,
            "--reason",
            reason,
        ];
        self.bench.earmark(&words).must(0);
    }

    /// Puts a report into `reports/`, and says where.
    pub fn report(&self, instance: &str, version: &str, change: Value) -> PathBuf {
        let (name, line) = report(instance, version, change);
        let path = self.bench.path("reports").join(name);
        fs::write(&path, line).expect("a report");
        path
    }

    /// Runs `earmark fleet status` on all of it, with these words more.
    pub fn status(&self, words: &[&str]) -> Run {
        self.run("status", words)
    }

    /// Runs `earmark fleet COMMAND` on all of it, with these words more.
    pub fn run(&self, command: &str, words: &[&str]) -> Run {
        self.bench.earmark(&of(command, words))
    }

    /// Runs `earmark fleet status` with these words alone.
    pub fn earmark(&self, words: &[&str]) -> Run {
        self.bench.earmark(&[&["fleet", "status"], words].concat())
    }

    /// Starts `earmark fleet COMMAND` on all of it.
    pub fn start(&self, name: &str, words: &[&str]) -> Started {
        let mut command = command(program("earmark").as_os_str());
        command
            .args(of(name, words))
            .current_dir(self.bench.path(""))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Started(command.spawn().expect("earmark"))
    }

    /// The same for so long: what it ended with, if it did.
    pub fn run_for(&self, name: &str, words: &[&str], time: Duration) -> Option<Run> {
        let mut started = self.start(name, words);
        let end = Instant::now() + time;
        while Instant::now() < end {
            if started.0.try_wait().expect("a child").is_some() {
                return Some(started.wait());
            }
            thread::sleep(Duration::from_millis(50));
        }
        started.0.kill().expect("a child");
        started.0.wait().expect("a child");
        None
    }
}

impl Started {
    /// Waits until it has ended by itself.
    pub fn wait(mut self) -> Run {
        let (mut out, mut err) = (String::new(), String::new());
        let both = (self.0.stdout.take(), self.0.stderr.take());
        if let (Some(mut stdout), Some(mut stderr)) = both {
            stdout.read_to_string(&mut out).expect("text");
            stderr.read_to_string(&mut err).expect("text");
        }
        let code = self.0.wait().expect("a child").code().unwrap_or(-1);
        Run { code, out, err }
    }
}

fn of<'a>(command: &'a str, words: &[&'a str]) -> Vec<&'a str> {
    let fleet = [
        "fleet",
        command,
        "--reports",
        "reports",
        "--channel",
        "stable.json",
        "--trust",
        "c.toml",
    ];
    [&fleet, words].concat()
}

/// The name and the line of a report that is well, but for what is changed in it.
pub fn report(instance: &str, version: &str, change: Value) -> (String, String) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("a clock").as_secs();
    let mut report = json!({
        "schema": 1, "time": now - 30, "instance": instance, "boot_id": BOOT, "booted": now - 86_400,
        "agent": "0.1.0",
        "image": {"name": "web", "version": version, "epoch": 3, "architecture": "x86_64"},
        "manifest": manifest(version), "tier": "T0", "verdict": "verified", "gate": "full", "reason": null,
        "verified_at": now - 400, "violations": 0, "undecided": 0, "policy": "quarantine",
        "first_boot": "done", "cloned_from": null, "locks": {"packages": "enforced", "kernel": "enforced"}, "locks_told": [],
        "taints": [], "taints_more": 0, "channel": {"state": "current", "latest": "1.5.0"}, "dropped": 0,
        "ec2": null,
    });
    if let Value::Object(change) = change {
        for (field, value) in change {
            report[field] = value;
        }
    }
    let boot = report["boot_id"].as_str().unwrap_or_default();
    (format!("{instance}.{boot}.json"), format!("{report}\n"))
}
