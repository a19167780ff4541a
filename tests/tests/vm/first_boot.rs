//! Real first boots: of five steps, with the power cut at twenty-five points of them, and with values
//! that come from a metadata service at its address.

use std::{fs, time::Duration};

use earmark_tests::{
    boot::{Boot, Disk, QUARANTINE, READY, REPORT, Running, Sealing, Seen, image},
    imds::{Imds, UPLINK},
};
use serde_json::Value;
use tempfile::TempDir;

/// One that the kernel calls as it likes.
const VOLUME: &str = "vol0123456789abcdef0";
const VOLUME_SIZE: u64 = 64 << 20;

const VALUES: &str = "[parameters]\nenvironment = \"prod\"\n";
/// Its effects, each on the disk before the next.
const JOIN: &str = "#!/bin/sh
set -eu
echo \"begin $1\" >> /srv/data/joined
echo \"$1\" >> /srv/volume/joined
sync
sleep 0.5
echo \"end $1\" >> /srv/data/joined
sync
";
const WEB: &str = "\
[Unit]
Requires=earmark-ready.target
After=earmark-ready.target
[Service]
ExecStart=/bin/sleep infinity
[Install]
WantedBy=multi-user.target
";
const FILES: &[(&str, &str, u32)] = &[
    ("etc/web/README", "Rendered at first boot.\n", 0o644),
    ("usr/lib/systemd/system/web.service", WEB, 0o644),
    ("usr/lib/web/join", JOIN, 0o755),
    (
        "usr/share/web/config.toml.tpl",
        "environment = \"{{ environment }}\"\n",
        0o644,
    ),
    ("usr/share/web/values.toml", VALUES, 0o644),
];
/// A volume's device is there for systemd when udev says so. And without sshd: a power cut leaves it
/// without its host key, for which ssh-keygen does not wait until the disk has it.
const MASKED: &[&str] = &[
    "etc/systemd/system/multi-user.target.wants/ssh.service",
    "etc/systemd/system/systemd-udev-trigger.service",
    "etc/systemd/system/systemd-udevd-control.socket",
    "etc/systemd/system/systemd-udevd-kernel.socket",
    "etc/systemd/system/systemd-udevd.service",
];

macro_rules! steps {
    ($values:literal, $hostname:literal, $interrupted:literal) => {
        concat!(
            "[parameters.environment]\ntype = \"enum\"\nvalues = [\"prod\", \"staging\"]\nrequired = true\n\
             [values]\nfrom = [\"",
            $values,
            "\"]\n[[first_boot]]\nname = \"name\"\nhostname = { template = \"",
            $hostname,
            "\" }\n\
             [[first_boot]]\nname = \"render\"\nfile = { path = \"/etc/web/config.toml\", \
             template = \"/usr/share/web/config.toml.tpl\", mode = \"0640\", owner = \"root\" }\n\
             [[first_boot]]\nname = \"volume\"\nvolume = { device = \"vol-0123456789abcdef0\", \
             filesystem = \"ext4\", mount = \"/srv/volume\", grow = true }\n\
             [[first_boot]]\nname = \"join\"\ninterrupted = \"",
            $interrupted,
            "\"\ncommand = { argv = [\"/usr/lib/web/join\", \"{{ environment }}\"], timeout = \"5m\" }\n\
             [[first_boot]]\nname = \"serve\"\nunit = { enable = [\"web.service\"] }\n"
        )
    };
}

const RETRY: Sealing = Sealing {
    name: "first-boot-retry",
    rest: steps!(
        "/usr/share/web/values.toml",
        "web-{{ environment }}",
        "retry"
    ),
    files: FILES,
    without: MASKED,
    ..QUARANTINE
};
/// Under `report`, so that there is a host left to be looked at.
const FAIL: Sealing = Sealing {
    name: "first-boot-fail",
    rest: steps!(
        "/usr/share/web/values.toml",
        "web-{{ environment }}",
        "fail"
    ),
    files: FILES,
    without: MASKED,
    ..REPORT
};
const EC2: Sealing = Sealing {
    name: "first-boot-ec2",
    platform: "ec2",
    rest: steps!("user-data", "web-{{ instance_id }}", "retry"),
    files: FILES,
    without: MASKED,
    ..QUARANTINE
};

const LOOK: &str = "
step hostname cat /proc/sys/kernel/hostname
step config cat /etc/web/config.toml
step mount grep ' /srv/volume ' /proc/self/mountinfo
step volume cat /srv/volume/joined
step joined cat /srv/data/joined
step size df --output=size -B1M /srv/volume
step web systemctl is-active web.service
step shown earmark-agent first-boot --json
";
/// More steps of the observer for a host whose power was cut. Its disk is not used again.
const CUT_LOOK: &str = "
step status cat /run/earmark/status.json
step states states
";

/// A host with a volume beside its disk.
struct Host {
    disk: Disk<'static>,
    beside: TempDir,
}

impl Host {
    fn new(sealing: &Sealing, name: &str) -> Self {
        let beside = TempDir::new().unwrap();
        let volume = fs::File::create(beside.path().join("volume")).unwrap();
        volume.set_len(VOLUME_SIZE).unwrap();
        Self {
            disk: Disk::new(image(), sealing, name),
            beside,
        }
    }

    fn devices(&self) -> String {
        format!(
            "-drive file={}/volume,format=raw,if=none,id=volume -device nvme,drive=volume,serial={VOLUME}",
            self.beside.path().display()
        )
    }

    #[track_caller]
    fn boot(&self) -> Seen {
        self.boot_and_look(LOOK, false)
    }

    /// The boot after a power cut, and all that is asked of it.
    #[track_caller]
    fn boot_after_cut(&self) -> Seen {
        self.boot_and_look(&format!("{CUT_LOOK}{LOOK}"), true)
    }

    #[track_caller]
    fn boot_and_look(&self, look: &str, only: bool) -> Seen {
        let devices = self.devices();
        let boot = Boot {
            devices: &devices,
            look,
            only,
            until: READY,
            ..Boot::default()
        };
        self.disk.boot(&boot).settled()
    }

    /// Boots, and copies the disks at each of these points, so many fifths into one of the steps: hosts
    /// whose power was cut there. A boot for each, up to the point, would take twelve times as long.
    #[track_caller]
    fn boot_and_cut(&self, durations: &[Duration], points: &[usize]) -> Vec<Self> {
        let (mut cuts, mut still) = (Vec::new(), Duration::ZERO);
        let mut begun = vec![None; STEPS.len()];
        let volume = self.beside.path().join("volume");
        self.boot_telling(|seen, running| {
            // While it stands still for a copy, it does not come nearer to the next.
            let took = seen.took.saturating_sub(still);
            for (step, begun) in begun.iter_mut().enumerate() {
                if begun.is_none() && seen.console.contains(&begins(step)) {
                    *begun = Some(took);
                }
            }
            let Some(point) = points.get(cuts.len()) else {
                return true;
            };
            let (step, fifths) = (point / FIFTHS, point % FIFTHS);
            let after = durations[step] * u32::try_from(fifths).unwrap() / 5;
            if begun[step].is_some_and(|begun| begun + after <= took) {
                let beside = TempDir::new().unwrap();
                let (disk, other) = (beside.path().join("disk"), beside.path().join("volume"));
                still += running.copy(&[(&self.disk.path(), &disk), (&volume, &other)]);
                cuts.push((*point, beside));
            }
            false
        });
        let host = |(point, beside): (usize, TempDir)| {
            let copy = beside.path().join("disk");
            let disk = Disk::moved(&copy, image(), &format!("cut-{point}"));
            Self { disk, beside }
        };
        cuts.into_iter().map(host).collect()
    }

    /// Measures the duration of each step of such a boot, on this machine.
    #[track_caller]
    fn measure(&self) -> Vec<Duration> {
        let mut told = Vec::new();
        self.boot_telling(|seen, _| {
            while told.len() < STEPS.len() && seen.console.contains(&begins(told.len())) {
                told.push(seen.took);
            }
            let ended = seen.console.contains(ENDS);
            if ended {
                told.push(seen.took);
            }
            ended
        });
        let durations = told.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
        let durations: Vec<Duration> = durations.collect();
        eprintln!("the steps take {durations:.1?}");
        assert_eq!(durations.len(), STEPS.len());
        durations
    }

    /// Boots with the journal on the console, where it is seen when the steps begin.
    #[track_caller]
    fn boot_telling(&self, enough: impl FnMut(&Seen, Running) -> bool) -> Seen {
        let devices = self.devices();
        let boot = Boot {
            devices: &devices,
            append: "systemd.journald.forward_to_console=1",
            ..Boot::default()
        };
        self.disk.boot_with(&boot, enough)
    }
}

const STEPS: [&str; 5] = ["name", "render", "volume", "join", "serve"];
/// In each of them.
const FIFTHS: usize = 5;
const POINTS: usize = STEPS.len() * FIFTHS;

/// Returns the text on the console when a step begins.
fn begins(step: usize) -> String {
    format!("step '{}' begins", STEPS[step])
}

const ENDS: &str = "first boot is done";

/// Checks the results of the steps, but for those that happen once.
#[track_caller]
fn must_have_everything(seen: &Seen, hostname: &str, environment: &str) {
    let said = |name: &str| seen.step(name).must(0).out;
    assert_eq!(said("hostname").trim(), hostname);
    assert_eq!(
        said("config").trim(),
        format!("environment = \"{environment}\"")
    );
    let mount = said("mount");
    assert!(
        mount.contains("nosuid,nodev") && mount.contains(" - ext4 /dev/nvme"),
        "{mount}"
    );
    assert_eq!(said("web").trim(), "active");
    for unit in ["earmark-ready.target", "workload.service"] {
        assert!(seen.is_active(unit), "{unit}: {}", seen.steps.0);
    }
    // What the steps wrote is as it is recorded, and nothing else was.
    assert_eq!(seen.violations(), [""; 0]);
    let status = seen.status();
    let verdict = status["verdict"].as_str().unwrap_or_default();
    assert!(["partial", "verified"].contains(&verdict), "{status:#}");
}

/// Returns how often each step began, in their order, and the output of `earmark-agent first-boot --json`.
#[track_caller]
fn shown(seen: &Seen) -> (Vec<u64>, Value) {
    let shown: Value = serde_json::from_str(&seen.step("shown").out).expect("JSON");
    let steps = shown["steps"].as_array().expect("steps");
    let attempts = steps.iter().map(|step| step["attempts"].as_u64().unwrap());
    (attempts.collect(), shown)
}

fn mebibytes(seen: &Seen) -> u64 {
    let said = seen.step("size").must(0).out;
    said.lines().nth(1).unwrap().trim().parse().unwrap()
}

#[test]
fn vm_first_boot_runs_each_of_five_steps_once() {
    let host = Host::new(&RETRY, "first-boot");
    for boot in 1..=2 {
        let seen = host.boot();
        // At the second boot the volume is larger, and the file system grows to it.
        assert_eq!(mebibytes(&seen) > VOLUME_SIZE >> 20, boot == 2);
        let volume = host.beside.path().join("volume");
        let volume = fs::File::options().write(true).open(volume).unwrap();
        volume.set_len(2 * VOLUME_SIZE).unwrap();
        must_have_everything(&seen, "web-prod", "prod");
        assert_eq!(seen.step("joined").out.trim(), "begin prod\nend prod");
        assert_eq!(seen.step("volume").out.trim(), "prod");
        let (attempts, shown) = shown(&seen);
        assert_eq!(attempts, [1; 5], "boot {boot}: {shown:#}");
        assert_eq!(shown["state"], "done");
        let ready = seen.micros("earmark-ready.target", "ActiveEnterTimestampMonotonic");
        let ended = seen.micros(
            "earmark-first-boot.service",
            "ExecMainExitTimestampMonotonic",
        );
        assert!(ended > 0 && ended <= ready, "{ended}, {ready}");
    }
}

/// Together with the next one at twenty-five points.
#[test]
fn vm_first_boot_with_retry_completes_after_a_power_cut() {
    let durations = Host::new(&RETRY, "cut-retry").measure();
    let mut interrupted = 0;
    let points: Vec<usize> = (0..POINTS).step_by(2).collect();
    let hosts = Host::new(&RETRY, "cut-retry-all").boot_and_cut(&durations, &points);
    assert_eq!(hosts.len(), points.len());
    for (point, host) in points.into_iter().zip(hosts) {
        let seen = host.boot_after_cut();
        must_have_everything(&seen, "web-prod", "prod");
        let (attempts, shown) = shown(&seen);
        eprintln!("point {point}: {attempts:?}");
        assert_eq!(shown["state"], "done", "point {point}: {shown:#}");
        // One power cut falls into one step at most: that one began twice, all others once.
        let total: u64 = attempts.iter().sum();
        let all = attempts.iter().all(|&count| count >= 1);
        assert!(all && total <= 6, "point {point}: {attempts:?}");
        interrupted += total - 5;
        let joined = seen.step("joined").must(0).out;
        let count = |line: &str| joined.lines().filter(|found| *found == line).count();
        let (begun, ended) = (count("begin prod"), count("end prod"));
        let most = usize::try_from(attempts[3]).unwrap();
        assert!(
            (1..=most).contains(&begun) && (1..=begun).contains(&ended),
            "point {point}: {joined}"
        );
        assert!(joined.trim_end().ends_with("end prod"), "{joined}");
        // A volume that was formatted again after it was used would have lost this.
        let kept = seen.step("volume").must(0).out.trim().lines().count();
        assert!(kept >= ended, "point {point}: {kept}, {joined}");
    }
    // Or the power was cut at other times than this test is about.
    assert!(interrupted >= 3, "{interrupted} steps were interrupted");
}

#[test]
fn vm_step_without_retry_begins_at_most_once_across_a_power_cut() {
    let durations = Host::new(&FAIL, "cut-fail").measure();
    let mut failed = 0;
    let points: Vec<usize> = (1..POINTS).step_by(2).collect();
    let hosts = Host::new(&FAIL, "cut-fail-all").boot_and_cut(&durations, &points);
    assert_eq!(hosts.len(), points.len());
    for (point, host) in points.into_iter().zip(hosts) {
        let seen = host.boot_after_cut();
        let (attempts, shown) = shown(&seen);
        eprintln!("point {point}: {attempts:?} {}", shown["state"]);
        let joined = seen.step("joined").out;
        let begun = joined.lines().filter(|line| line.starts_with("begin"));
        let begun = begun.count();
        if shown["state"] == "done" {
            must_have_everything(&seen, "web-prod", "prod");
            assert_eq!(joined.trim(), "begin prod\nend prod", "point {point}");
            let total: u64 = attempts.iter().sum();
            assert!(
                attempts[3] == 1 && total <= 6,
                "point {point}: {attempts:?}"
            );
        } else {
            // It was in that step, which began once, and no step after it did.
            failed += 1;
            assert_eq!(shown["state"], "failed", "point {point}: {shown:#}");
            assert_eq!(attempts, [1, 1, 1, 1, 0], "point {point}");
            assert!(begun <= 1, "point {point}: {joined}");
            let said = seen.said().join("\n");
            let reason = "FIRST BOOT FAILED: step 'join': a crash interrupted the step";
            assert!(said.contains(reason), "{said}");
            assert_eq!(seen.step("hostname").out.trim(), "web-prod");
            assert!(!seen.is_active("web.service"));
        }
    }
    assert!(failed >= 1, "no power cut fell into the step");
}

#[test]
fn vm_parameters_come_from_imds_and_a_clone_is_detected() {
    const INSTANCE: &str = "i-0123456789abcdef0";
    let user_data = "[parameters]\nenvironment = \"staging\"\n";
    let imds = Imds::of_instance(INSTANCE, user_data);
    // It is of no use for half a minute: a new instance waits for it, a minute at most.
    imds.fail_for(30);
    let host = Host::new(&EC2, "imds");
    let devices = format!("{} {}", host.devices(), imds.network(host.beside.path()));
    let boot = Boot {
        devices: &devices,
        prepare: UPLINK,
        // The card keeps the name that the kernel gives it.
        append: "net.ifnames=0",
        look: &format!("{LOOK}step identity cat /var/lib/earmark/identity.json\n"),
        ..Boot::default()
    };
    let seen = host.disk.boot(&boot).settled();
    must_have_everything(&seen, &format!("web-{INSTANCE}"), "staging");
    let (errors, asked): (Vec<String>, Vec<String>) = imds
        .asked()
        .into_iter()
        .partition(|line| line.ends_with(" 500"));
    // It waits longer from one to the next, so as to do no harm to a service that has trouble.
    assert!(
        (5..=60).contains(&errors.len()),
        "{} requests in half a minute",
        errors.len()
    );
    assert_eq!(
        asked.first().map(String::as_str),
        Some("PUT /latest/api/token 200"),
        "{asked:?}"
    );
    for request in [
        "GET /latest/user-data 200",
        "GET /latest/dynamic/instance-identity/document 200",
    ] {
        assert!(asked.iter().any(|line| line == request), "{asked:?}");
    }
    // Never as version 1 asks, without a token.
    assert!(!asked.iter().any(|line| line.ends_with("401")), "{asked:?}");

    // AWS's word on which instance this is, for whoever reads its reports.
    let kept = seen.step("identity").must(0).out;
    let kept: Value = serde_json::from_str(&kept).expect("JSON");
    assert_eq!(kept["instance"], INSTANCE);
    let document: Value = serde_json::from_str(kept["document"].as_str().unwrap()).unwrap();
    assert_eq!(document["instanceId"], INSTANCE);
    assert_eq!(kept["signature"], "MIAGCSqGSIb3DQEHAqCAMIACAQExDzAN");

    // The same disk, started as another instance: a clone, which begins afresh and says so.
    let clone = Imds::of_instance("i-0fedcba9876543210", user_data);
    let devices = format!("{} {}", host.devices(), clone.network(host.beside.path()));
    let seen = host
        .disk
        .boot(&Boot {
            devices: &devices,
            ..boot
        })
        .settled();
    must_have_everything(&seen, "web-i-0fedcba9876543210", "staging");
    let (attempts, shown) = shown(&seen);
    assert_eq!(attempts, [1; 5], "{shown:#}");
    assert_eq!(shown["cloned_from"], INSTANCE, "{shown:#}");
    assert_eq!(seen.step("joined").out.trim().lines().count(), 4);
    let screen = seen.step("screen").must(0).out;
    assert!(screen.contains("this host is a"), "{screen}");
}

/// A script where values belong is refused before any step, with the way to do it right.
#[test]
fn vm_script_in_user_data_is_refused_before_any_step() {
    const SCRIPT: &str = "#!/bin/sh\ntouch /srv/data/evil\n";
    let imds = Imds::of_instance("i-0123456789abcdef0", SCRIPT);
    let host = Host::new(&EC2, "imds-script");
    let devices = format!("{} {}", host.devices(), imds.network(host.beside.path()));
    let boot = Boot {
        devices: &devices,
        prepare: UPLINK,
        append: "net.ifnames=0",
        until: earmark_tests::boot::QUARANTINED,
        look: LOOK,
        ..Boot::default()
    };
    let seen = host.disk.boot(&boot).settled();
    seen.must_be_shut();
    let said = seen.said().join("\n");
    assert!(
        said.contains("FIRST BOOT FAILED") && said.contains("script"),
        "{said}"
    );
    assert_ne!(seen.step("hostname").out.trim(), "web-i-0123456789abcdef0");
    host.disk.change(|root| {
        assert!(!root.join("srv/data/evil").exists());
        assert!(!root.join("etc/web/config.toml").exists());
    });
}
