//! `earmark-agent run` as the service manager runs it, on a root that is not the machine's own.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    process::{Child, Command, ExitStatus},
    time::{Duration, Instant},
};

use earmark_tests::{Bench, SPEC, facts::host::NEXT_VERIFICATION, program};
use rustix::process::{Pid, Signal, kill_process};

/// The service, and what it tells its manager.
struct Service {
    child: Child,
    socket: UnixDatagram,
}

/// Longest wait for anything, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_mins(1);

fn sealed(verify: &str) -> Bench {
    let bench = Bench::new();
    let spec = SPEC.replace("gate = \"full\"", verify);
    assert_ne!(spec, SPEC);
    fs::write(bench.path("earmark.toml"), spec).unwrap();
    bench.seal().must(0);
    bench
}

impl Service {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is a test's own service manager"
    )]
    fn start(bench: &Bench) -> Self {
        let path = bench.path("notify");
        let _ = fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let child = Command::new(program("earmark-agent"))
            .args(["run", "--root"])
            .arg(bench.root())
            .env_clear()
            .env("NOTIFY_SOCKET", path)
            .env("WATCHDOG_USEC", "150000")
            .spawn()
            .unwrap();
        let service = Self { child, socket };
        service.wait_for("READY=1");
        service
    }

    /// Waits until it tells this.
    #[track_caller]
    fn wait_for(&self, part: &str) -> String {
        let mut buffer = [0; 4096];
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < PATIENCE, "it never told '{part}'");
            let length = self.socket.recv(&mut buffer).expect(part);
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if message.contains(part) {
                return message;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let process = Pid::from_child(&self.child);
        kill_process(process, signal).unwrap();
    }

    /// The process that it verifies in.
    fn verification(&self) -> Pid {
        let id = self.child.id();
        let children = format!("/proc/{id}/task/{id}/children");
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < PATIENCE, "it never started a process");
            let listed = fs::read_to_string(&children).unwrap();
            if let Some(child) = listed.split_whitespace().next() {
                return Pid::from_raw(child.parse().unwrap()).unwrap();
            }
        }
    }

    fn ended(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

/// A test that fails must not leave it running.
impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn record(bench: &Bench) -> String {
    let bytes = fs::read(bench.root().join("run/earmark/status.json")).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    record["verdict"].as_str().unwrap().to_owned()
}

#[test]
fn agent_service_completes_the_verification_and_stops_on_sigterm() {
    let bench = sealed("gate = \"critical\"\nrate = \"64GiB\"\nevery = \"1d\"");
    bench.agent(&["verify", "--root", "root"]).must(0);
    assert_eq!(record(&bench), "partial");
    let mut service = Service::start(&bench);
    let status = service.wait_for("STATUS=web 1.0: VERIFIED");
    NEXT_VERIFICATION.of(&["1 day"]).must_be_in(&status);
    assert_eq!(record(&bench), "verified");
    let today = fs::read_to_string(bench.root().join("run/earmark/motd")).unwrap();
    assert_eq!(today, "This host is web 1.0: VERIFIED\n");
    service.wait_for("WATCHDOG=1");
    service.signal(Signal::TERM);
    service.wait_for("STOPPING=1");
    assert_eq!(service.ended().code(), Some(0));
}

#[test]
fn agent_service_under_report_names_the_violation_and_keeps_running() {
    let bench = sealed("gate = \"critical\"");
    let mut service = Service::start(&bench);
    service.wait_for("VERIFIED");
    bench.write("usr/share/web/config.toml.j2", b"changed\n");
    service.signal(Signal::HUP);
    service.wait_for("VIOLATED: /usr/share/web/config.toml.j2");
    assert_eq!(record(&bench), "violated");
    service.signal(Signal::HUP);
    service.wait_for("VIOLATED");
    service.signal(Signal::TERM);
    assert_eq!(service.ended().code(), Some(0));
}

#[test]
fn agent_service_under_quarantine_triggers_the_policy_once() {
    for (path, content, code) in [
        ("usr/share/web/config.toml.j2", Some("changed\n"), 10),
        ("usr/lib/earmark/seal/tree.zst", None, 11),
    ] {
        let bench = sealed("on_failure = \"quarantine\"");
        let mut service = Service::start(&bench);
        service.wait_for("VERIFIED");
        match content {
            Some(content) => bench.write(path, content.as_bytes()),
            None => fs::remove_file(bench.root().join(path)).unwrap(),
        }
        service.signal(Signal::HUP);
        assert_eq!(service.ended().code(), Some(code), "{path}");

        let mut service = Service::start(&bench);
        service.wait_for("(policy quarantine)");
        service.signal(Signal::HUP);
        service.wait_for("verifying");
        service.wait_for("(policy quarantine)");
        service.signal(Signal::TERM);
        assert_eq!(service.ended().code(), Some(0), "{path}");
    }
}

/// Whoever can kill the process that verifies does not get the policy carried out by it.
#[test]
fn killed_background_verification_leaves_the_verdict_unchanged() {
    let bench = sealed("gate = \"critical\"\nrate = \"64KiB\"\non_failure = \"halt\"");
    bench.agent(&["verify", "--root", "root"]).must(0);
    let mut service = Service::start(&bench);
    service.wait_for("verifying");
    kill_process(service.verification(), Signal::KILL).unwrap();
    service.wait_for("next verification in 1 minute");
    assert_eq!(record(&bench), "partial");
    service.signal(Signal::TERM);
    assert_eq!(service.ended().code(), Some(0));
}

#[test]
fn rate_limit_slows_the_verification_without_changing_the_verdict() {
    let bench = sealed("gate = \"full\"\nevery = \"1d\"");
    let start = Instant::now();
    let run = bench
        .agent(&[
            "verify", "--gate", "full", "--rate", "256KiB", "--root", "root", "--json",
        ])
        .must(0);
    // The root has 300,000 bytes and a little in it.
    assert!(
        start.elapsed() > Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(run.json()["verdict"], "verified");
    bench
        .agent(&["verify", "--rate", "20MB", "--root", "root"])
        .must(2);
}
