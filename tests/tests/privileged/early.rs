//! Nothing that is not listed starts before the verdict: on stock roots, by systemd's own record.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use earmark_tests::container::{Host, WAIVER};

/// The units that the verdict lets go on are there.
const LATER: &str = "systemctl is-active --quiet sysinit.target && systemctl is-active --quiet earmark-verify.service";
/// Prints start times of the units that systemd knows, journal entries of those that it has forgotten, and exempt units.
const LOOK: &str = "
systemctl show --property=Id,InactiveExitTimestampMonotonic,ExecMainExitTimestampMonotonic '*'
echo === started
journalctl --boot --quiet --output=json --output-fields=UNIT _PID=1 MESSAGE_ID=7d4958e842da4a758f6c1cdc7b36dcc5 + _PID=1 MESSAGE_ID=39f53479d3a045ac8e11786248231fbf
echo === exempt
find /run/systemd/generator.early -name 50-earmark.conf -lname /dev/null
";
/// Unit types of which nothing runs: the agent's documentation says why each may be early.
const PASSIVE: [&str; 8] = [
    "automount",
    "device",
    "mount",
    "scope",
    "slice",
    "swap",
    "target",
    "snapshot",
];
/// Written by the changed line, with the time since the kernel's start.
const RAN: &str = "ran";

/// Start times of the units of a boot, in microseconds.
struct Record {
    /// Time at which a unit left the state `inactive`.
    started: BTreeMap<String, u64>,
    /// Time at which the verification ended; 0 if it did not.
    verdict: u64,
    exempt: BTreeSet<String>,
}

impl Record {
    fn parse(looked: &str) -> Self {
        let (shown, rest) = looked.split_once("=== started\n").expect("two parts");
        let (told, exempt) = rest.split_once("=== exempt\n").expect("three parts");
        let mut record = Self {
            started: BTreeMap::new(),
            verdict: 0,
            exempt: BTreeSet::new(),
        };
        for block in shown.split("\n\n") {
            let value = |name: &str| {
                let mut lines = block.lines();
                lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            };
            let time = |name: &str| value(name).and_then(|text| text.parse().ok()).unwrap_or(0);
            let Some(id) = value("Id") else { continue };
            if id == "earmark-verify.service" {
                record.verdict = time("ExecMainExitTimestampMonotonic");
            }
            record.add(id, time("InactiveExitTimestampMonotonic"));
        }
        for line in told.lines() {
            let entry: serde_json::Value = serde_json::from_str(line).expect("an entry");
            let time = entry["__MONOTONIC_TIMESTAMP"].as_str().expect("a time");
            let unit = entry["UNIT"].as_str().expect("a unit");
            record.add(unit, time.parse().expect("a number"));
        }
        let names = exempt.lines().filter_map(|path| {
            let directory = path.rsplit('/').nth(1)?;
            directory.strip_suffix(".d")
        });
        record.exempt = names.map(str::to_owned).collect();
        record
    }

    fn add(&mut self, unit: &str, time: u64) {
        if time > 0 {
            let first = self.started.entry(unit.to_owned()).or_insert(time);
            *first = (*first).min(time);
        }
    }

    /// By its name, its template's, or one that ends with a dash.
    fn is_exempt(&self, unit: &str) -> bool {
        let (stem, kind) = unit.rsplit_once('.').expect("a type");
        let template = stem
            .split_once('@')
            .map(|(name, _)| format!("{name}@.{kind}"));
        let mut prefixes = stem
            .match_indices('-')
            .map(|(at, _)| format!("{}.{kind}", &stem[..=at]));
        self.exempt.contains(unit)
            || template.is_some_and(|name| self.exempt.contains(&name))
            || prefixes.any(|name| self.exempt.contains(&name))
    }

    /// The units that run something, started before the verdict and are not exempt.
    fn early(&self) -> Vec<&str> {
        assert!(self.verdict > 0, "the verification did not end");
        let mut early = Vec::new();
        for (unit, time) in &self.started {
            let kind = unit.rsplit_once('.').expect("a type").1;
            let is_early = *time < self.verdict && !PASSIVE.contains(&kind);
            if is_early && !self.is_exempt(unit) {
                early.push(&**unit);
            }
        }
        early
    }

    #[track_caller]
    fn must_have_waited(&self, unit: &str) {
        let started = self.started.get(unit);
        let started = started.unwrap_or_else(|| panic!("{unit} did not start: {:?}", self.started));
        assert!(
            *started >= self.verdict,
            "{unit}: {started}, {}",
            self.verdict
        );
    }
}

/// Takes the drop-in away that holds services back, as soon as our generator has written it: generators run at once.
const UNGUARD: &str = "#!/bin/sh
until [ -e /run/systemd/generator.early/service.d/50-earmark.conf ]; do sleep 0.05; done
rm /run/systemd/generator.early/service.d/50-earmark.conf
";

#[test]
fn privileged_no_unlisted_unit_starts_before_the_verdict() {
    for (root, policy, waiting) in [
        (
            "EARMARK_ROOT_SERVER",
            "report",
            &["cloud-init-local.service", "systemd-tmpfiles-setup.service"][..],
        ),
        (
            "EARMARK_ROOT_DEBIAN_13",
            "quarantine",
            &[
                "cloud-init-main.service",
                "systemd-resolved.service",
                "systemd-tmpfiles-setup.service",
            ],
        ),
    ] {
        let host = Host::of_root(root, policy, WAIVER, |_| ());
        let seen = host.boot_and_look(LATER, LOOK);
        let record = Record::parse(&seen.looked);
        assert_eq!(record.early(), [""; 0], "{root}: {}", seen.journal);
        for unit in waiting {
            record.must_have_waited(unit);
        }
        assert!(record.exempt.len() > 40, "{root}: {:?}", record.exempt);
        let cycle = "ordering cycle"; // systemd's words.
        assert!(!seen.journal.contains(cycle), "{}", seen.journal);
    }
}

/// The control of the test above: a generator that waits for ours, and takes what it wrote away.
#[test]
fn privileged_removed_drop_ins_let_units_start_early_and_are_a_violation() {
    let host = Host::of_root("EARMARK_ROOT_DEBIAN_13", "report", WAIVER, |image| {
        let at = image.at("usr/lib/systemd/system-generators/zz-unguarded");
        fs::write(&at, UNGUARD).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&at, mode).unwrap();
    });
    let seen = host.boot_and_look(LATER, LOOK);
    let record = Record::parse(&seen.looked);
    let early = record.early();
    assert!(!early.is_empty(), "{:?}", record.started);
    // And the verification says so.
    let violations = seen.status["violations"].as_array().expect("violations");
    let names = |path: &str| violations.iter().any(|one| one["path"] == path);
    assert!(
        names("/run/systemd/generator.early/service.d/50-earmark.conf"),
        "{violations:#?}"
    );
}

/// One line of cloud-init, which is no part of the gate `critical`.
fn change(host: &Host) {
    let path = "usr/lib/python3/dist-packages/cloudinit/cmd/main.py";
    let text = fs::read_to_string(host.at(path)).unwrap();
    host.write(path, &changed(&text));
}

fn changed(text: &str) -> String {
    let line = "open('/run/test/ran', 'w').write(open('/proc/uptime').read())\n";
    let at = text.find("\nimport ").expect("an import") + 1;
    format!("{}{line}{}", &text[..at], &text[at..])
}

#[test]
fn privileged_changed_code_of_cloud_init_does_not_run_under_halt() {
    // The control: signed with that line, the image runs it, once it is verified.
    let host = Host::gated("EARMARK_ROOT_DEBIAN_13", "full", "halt", WAIVER, |image| {
        let path = image.at("usr/lib/python3/dist-packages/cloudinit/cmd/main.py");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, changed(&text)).unwrap();
    });
    let seen = host.boot_and_look(&format!("{LATER} && [ -s /run/test/ran ]"), LOOK);
    let ran = fs::read_to_string(host.shared(RAN)).unwrap();
    let seconds: f64 = ran.split(' ').next().unwrap().parse().unwrap();
    let verdict = Record::parse(&seen.looked).verdict;
    // Both clocks are the machine's; one has hundredths of a second.
    let verdict = std::time::Duration::from_micros(verdict).as_secs_f64();
    assert!(seconds + 0.01 >= verdict, "{seconds}, {verdict}");

    let host = Host::gated("EARMARK_ROOT_DEBIAN_13", "full", "halt", WAIVER, |_| ());
    change(&host);
    host.boot_until_off();
    assert!(!host.shared(RAN).exists(), "the changed line ran");
}
