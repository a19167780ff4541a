//! Two releases of an image on real machines, and what the channel says of them: current, behind, revoked, rolled
//! back; what the hosts report of it, and what the fleet is then.

use std::{
    fs,
    path::{Path, PathBuf},
};

use earmark_tests::{
    boot::{Boot, Disk, QUARANTINE, Sealing, Seen, image},
    program, run,
};
use serde_json::Value;
use tempfile::TempDir;

/// A unit of the image drains a host that no host should run; one that has the time does so within an hour.
const DECLARED: &str = r#"[channel]
url = "file:///srv/data/web/stable.json"
on_revoked = { start = "drain.service" }
share = 100
jitter = "1s"
[report]
to = ["file:///srv/data/reports", "https://192.0.2.1/reports/"]
every = "1m"
"#;
const DRAIN: &str =
    "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/touch /srv/data/drained\n";
/// In this image nobody else makes the directory for reports, and belongs to its group.
const REPORTS: &str = "d /srv/data/reports 0755 earmark-fetch earmark-fetch\n";
const FILES: &[(&str, &str, u32)] = &[
    ("usr/lib/systemd/system/drain.service", DRAIN, 0o644),
    ("usr/lib/tmpfiles.d/reports.conf", REPORTS, 0o644),
];
const V1: Sealing = Sealing {
    name: "fleet-1",
    rest: DECLARED,
    files: FILES,
    ..QUARANTINE
};
const V2: Sealing = Sealing {
    name: "fleet-2",
    version: "2.0.0",
    ..V1
};
/// What the firmware calls the machine.
const INSTANCE: &str = "6b1f0c52-3a57-4c0e-9d56-0123456789ac";
const DEVICES: &str = "-uuid 6b1f0c52-3a57-4c0e-9d56-0123456789ac";

const LOOK: &str = r"
settled() {
    systemctl start earmark-fetch.service
    systemctl start earmark-follow.service
    systemctl start earmark-report.service
}
settled
step reports sh -c 'cat /srv/data/reports/*.json'
step screen-of-channel earmark-agent status
";

/// A channel on this machine, and what the hosts reported.
struct Fleet {
    directory: TempDir,
}

impl Fleet {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        fs::create_dir(directory.path().join("reports")).unwrap();
        let inventory = format!("[\"{INSTANCE}\"]");
        fs::write(directory.path().join("inventory.json"), inventory).unwrap();
        Self { directory }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn earmark(&self, words: &[&str], code: i32) -> String {
        run(program("earmark"), words, Some(self.directory.path()))
            .must(code)
            .out
    }

    fn channel(&self, step: &str, words: &[&str]) {
        let key = image().grant_key(&V1).display().to_string();
        let words = [&["channel", step, "stable.json", "--key", &key], words].concat();
        self.earmark(&words, 0);
    }

    /// Boots a disk that has the channel as it is now, and takes its report.
    #[track_caller]
    fn boot(&self, disk: &Disk<'_>, look: &str) -> (Seen, Value) {
        let put = |root: &Path| {
            let directory = root.join("srv/data/web");
            fs::create_dir_all(&directory).unwrap();
            fs::copy(self.at("stable.json"), directory.join("stable.json")).unwrap();
        };
        disk.change(put);
        let boot = Boot {
            devices: DEVICES,
            look: &format!("{LOOK}{look}"),
            ..Boot::default()
        };
        let seen = disk.boot(&boot).settled();
        let said = seen.step("reports").out;
        // Those of earlier boots lie there, too.
        let boot = seen.status()["boot_id"].clone();
        let mut reports = said
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let report: Value = reports
            .find(|report: &Value| report["boot_id"] == boot)
            .unwrap_or_else(|| panic!("no report of {boot}: {said}"));
        let name = format!(
            "{}.{}.json",
            report["instance"].as_str().unwrap(),
            report["boot_id"].as_str().unwrap()
        );
        fs::write(self.at("reports").join(name), format!("{report}\n")).unwrap();
        (seen, report)
    }

    /// What the fleet is, in numbers of hosts.
    fn status(&self, code: i32, fail_on: &str) -> Value {
        let trust = image()
            .earmark(&V1)
            .join("trust.toml")
            .display()
            .to_string();
        let words = [
            "fleet",
            "status",
            "--reports",
            "reports",
            "--channel",
            "stable.json",
            "--inventory",
            "inventory.json",
            "--trust",
            &trust,
            "--fail-on",
            fail_on,
            "--json",
        ];
        serde_json::from_str(&self.earmark(&words, code)).unwrap()
    }
}

fn state(report: &Value) -> &str {
    report["channel"]["state"].as_str().unwrap_or_default()
}

#[test]
fn vm_a_fleet_is_promoted_revoked_and_rolled_back() {
    let fleet = Fleet::new();
    let (old, new) = (
        Disk::new(image(), &V1, V1.name),
        Disk::new(image(), &V2, V2.name),
    );
    let seal = |sealing: &Sealing| image().earmark(sealing).join("seal").display().to_string();
    fleet.channel("init", &["--image", "host"]);
    fleet.channel("promote", &["--seal", &seal(&V1)]);
    let (seen, report) = fleet.boot(&old, "");
    seen.must_be_good();
    assert_eq!(state(&report), "current", "{report}");
    assert_eq!(report["image"]["version"], "1.0.0");
    fleet.status(0, "behind,revoked,violated,silent");

    fleet.channel("promote", &["--seal", &seal(&V2)]);
    let (_, report) = fleet.boot(&old, "");
    assert_eq!(
        (state(&report), &report["channel"]["behind"]),
        ("behind", &1.into()),
        "{report}"
    );
    fleet.status(16, "behind");

    // The host is replaced: the same instance to its owner, on the disk of the new release.
    let (_, report) = fleet.boot(&new, "");
    assert_eq!(
        (state(&report), &report["image"]["version"]),
        ("current", &"2.0.0".into()),
        "{report}"
    );
    fleet.status(0, "behind,revoked,violated,silent");

    // What no host should run is drained in its turn, once, by the image's own unit.
    fleet.channel(
        "revoke",
        &["--release", "2.0.0", "--reason", "it forgets its sessions"],
    );
    let later = "step before systemctl is-active drain.service\ndate -s '+61 minutes'\n\
                 settled\nstep after systemctl is-active drain.service\n\
                 systemctl stop drain.service; rm /srv/data/drained\nsettled\n\
                 step again systemctl is-active drain.service\nstep screen earmark-agent status\n";
    let (seen, report) = fleet.boot(&new, later);
    assert_eq!(state(&report), "revoked", "{report}");
    assert_eq!(seen.step("before").out.trim(), "inactive");
    assert_eq!(
        seen.step("after").out.trim(),
        "active",
        "{}",
        seen.step("screen").out
    );
    assert_eq!(seen.step("again").out.trim(), "inactive");
    fleet.status(16, "revoked");

    // A document of before the revocation is not believed any more, a rollback is.
    fs::copy(fleet.at("stable.json"), fleet.at("revoked.json")).unwrap();
    fleet.channel("rollback", &["--to", "1.0.0"]);
    let (_, report) = fleet.boot(&old, "");
    assert_eq!(
        (state(&report), &report["image"]["version"]),
        ("current", &"1.0.0".into()),
        "{report}"
    );
    fs::copy(fleet.at("stable.json"), fleet.at("kept.json")).unwrap();
    fs::copy(fleet.at("revoked.json"), fleet.at("stable.json")).unwrap();
    let (_, report) = fleet.boot(&old, "");
    assert_eq!(state(&report), "current", "{report}");
    let problem = report["channel"]["problem"].as_str().unwrap_or_default();
    assert!(problem.contains("was seen before"), "{report}");
    fs::copy(fleet.at("kept.json"), fleet.at("stable.json")).unwrap();
    fleet.status(0, "behind,revoked,violated,silent");
}
