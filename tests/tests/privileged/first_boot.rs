//! First boot under the service manager, in containers: what a new host becomes, what becomes of one
//! whose first boot fails, and what no volume step ever formats. Power cuts are in `vm/first_boot`.

use std::{
    fs,
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
};

use earmark_tests::{
    container::{Host, QUARANTINED, READY, Seen},
    facts::host::{
        DEVICE_IN_USE, EXIT_STATUS, FIRST_BOOT_DONE, FIRST_BOOT_FAILED, STEP, UNIT_NOT_SEALED,
    },
    overlay::Overlay,
    run,
};
use serde_json::Value;
use tempfile::TempDir;

const VALUES: &str = "
[parameters.environment]
type = \"enum\"
values = [\"prod\", \"staging\"]
required = true
[values]
from = [\"/usr/share/web/values.toml\"]
";
const STEPS: &str = "
[[first_boot]]
name = \"name\"
hostname = { template = \"web-{{ environment }}\" }
[[first_boot]]
name = \"render\"
file = { path = \"/etc/web/config.toml\", template = \"/usr/share/web/config.toml.tpl\", mode = \"0640\", owner = \"root\" }
[[first_boot]]
name = \"join\"
command = { argv = [\"/usr/lib/web/join\", \"{{ environment }}\"] }
[[first_boot]]
name = \"serve\"
unit = { enable = [\"web.service\"] }
";
/// Says where it was begun, and what is declared for it is there.
const JOIN: &str = "#!/bin/sh
set -eu
echo \"joins $1\"
echo \"$1\" >> /srv/data/joined
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
/// Shell commands that a test runs in each boot.
const LOOK: &str = "
cat /proc/sys/kernel/hostname
cat /etc/web/config.toml
cat /srv/data/joined
systemctl is-active web.service
systemctl is-enabled web.service
";

fn bake(image: &Overlay) {
    for directory in [
        "srv/data",
        "srv/volume",
        "etc/web",
        "usr/share/web",
        "usr/lib/web",
    ] {
        fs::create_dir_all(image.at(directory)).unwrap();
    }
    let values = "[parameters]\nenvironment = \"prod\"\n";
    fs::write(image.at("usr/share/web/values.toml"), values).unwrap();
    let template = "environment = \"{{ environment }}\"\n";
    fs::write(image.at("usr/share/web/config.toml.tpl"), template).unwrap();
    fs::write(image.at("usr/lib/systemd/system/web.service"), WEB).unwrap();
    script(image, "usr/lib/web/join", JOIN);
}

fn script(image: &Overlay, path: &str, text: &str) {
    fs::write(image.at(path), text).unwrap();
    fs::set_permissions(image.at(path), fs::Permissions::from_mode(0o755)).unwrap();
}

/// Returns the host's own journal of first boot, without its first line.
fn journal(host: &Host) -> Value {
    let text = fs::read_to_string(host.at("var/lib/earmark/first-boot.journal")).unwrap();
    let (_, body) = text.split_once('\n').unwrap();
    serde_json::from_str(body).unwrap()
}

fn attempts(host: &Host) -> Vec<u64> {
    let journal = journal(host);
    let steps = journal["steps"].as_array().unwrap();
    steps
        .iter()
        .map(|step| step["attempts"].as_u64().unwrap())
        .collect()
}

#[test]
fn privileged_first_boot_runs_once_and_volatile_state_is_reapplied_at_each_boot() {
    const EXPECTED: &str = "web-prod\nenvironment = \"prod\"\nprod\nactive\nenabled-runtime\n";
    let host = Host::declared("quarantine", &format!("{VALUES}{STEPS}"), bake);
    for boot in 1..=2 {
        let seen = host.boot_and_look(&format!("{READY} && verdict verified"), LOOK);
        assert_eq!(seen.looked, EXPECTED, "boot {boot}: {}", seen.journal);
        assert_eq!(attempts(&host), [1, 1, 1, 1], "boot {boot}");
        assert_eq!(journal(&host)["is_complete"], true);
        seen.in_order(&[
            "earmark-verified.target",
            "earmark-first-boot.service",
            "earmark-ready.target",
            "workload.service",
        ]);
        assert_eq!(seen.journal.contains("joins prod"), boot == 1);
    }
    // What a step wrote is held to it: another host's file is not this one's.
    host.write("etc/web/config.toml", "environment = \"staging\"\n");
    assert_quarantined(&host.boot(QUARANTINED), true);
}

/// Something that fails, in each way that there is.
const FAILING: &str = "
[[first_boot]]
name = \"fails\"
command = { argv = [\"/usr/lib/web/fails\"], timeout = \"20s\" }
";

fn bake_failing(image: &Overlay) {
    bake(image);
    let text = "#!/bin/sh\necho 'the cluster is full' >&2\nexit 7\n";
    script(image, "usr/lib/web/fails", text);
}

#[track_caller]
fn assert_quarantined(seen: &Seen, was_verified: bool) {
    assert_eq!(
        seen.state("earmark-quarantine.target"),
        "active",
        "{}",
        seen.journal
    );
    for unit in ["earmark-ready.target", "workload.service", "login.service"] {
        assert_ne!(seen.state(unit), "active", "{unit}: {}", seen.journal);
    }
    assert!(
        !seen.workload_started && !seen.listens(),
        "{}",
        seen.journal
    );
    let violated = seen.status["verdict"] == "violated";
    assert_eq!(violated, was_verified, "{:#}", seen.status);
}

#[test]
fn privileged_failed_first_boot_triggers_the_policy() {
    let declared = format!("{VALUES}{FAILING}{STEPS}");
    let must_say = |seen: &Seen| {
        for fact in [
            FIRST_BOOT_FAILED,
            STEP.of(&["fails"]),
            EXIT_STATUS.of(&["7"]),
        ] {
            fact.must_be_in(&seen.journal);
        }
        // What the step itself says.
        let own = "the cluster is full";
        assert!(seen.journal.contains(own), "{}", seen.journal);
        assert!(!seen.journal.contains("joins prod"), "{}", seen.journal);
    };

    let report = Host::declared("report", &declared, bake_failing);
    let seen = report.boot(READY);
    for unit in ["earmark-ready.target", "workload.service", "login.service"] {
        assert_eq!(seen.state(unit), "active", "{unit}: {}", seen.journal);
    }
    must_say(&seen);

    let quarantine = Host::declared("quarantine", &declared, bake_failing);
    // Also at the boot after it, which does not run the step again.
    for boot in 1..=2 {
        let seen = quarantine.boot(QUARANTINED);
        assert_quarantined(&seen, false);
        FIRST_BOOT_FAILED.must_be_in(&seen.journal);
        if boot == 1 {
            must_say(&seen);
        }
        assert_eq!(attempts(&quarantine), [1], "boot {boot}");
    }

    let halt = Host::declared("halt", &declared, bake_failing);
    let seen = halt.boot_until_off();
    assert!(!seen.workload_started, "{}", seen.journal);
    assert_eq!(journal(&halt)["steps"][0]["state"], "failed");
}

#[test]
fn privileged_first_boot_without_steps_writes_no_journal() {
    let host = Host::new("quarantine");
    let seen = host.boot(&format!("{READY} && verdict verified"));
    assert_eq!(
        seen.state("earmark-first-boot.service"),
        "active",
        "{}",
        seen.journal
    );
    assert!(!host.at("var/lib/earmark/first-boot.journal").exists());
}

#[test]
fn privileged_first_boot_refuses_to_start_an_unsealed_unit() {
    let steps = "
[[first_boot]]
name = \"serve\"
unit = { start = [\"other.service\"] }
";
    let host = Host::declared("report", steps, bake);
    // Known to systemd, and no part of the image.
    fs::create_dir_all(host.at("var/lib/test")).unwrap();
    let seen = host.boot(READY);
    UNIT_NOT_SEALED
        .of(&["other.service"])
        .must_be_in(&seen.journal);
}

/// A block device of this machine.
struct Loop {
    directory: TempDir,
    device: String,
}

impl Loop {
    const SIZE: u64 = 64 << 20;

    fn new() -> Self {
        Self::of(Self::SIZE)
    }

    fn of(size: u64) -> Self {
        let directory = TempDir::new().unwrap();
        let file = fs::File::create(directory.path().join("disk")).unwrap();
        file.set_len(size).unwrap();
        let path = directory.path().join("disk");
        let words = ["--find".as_ref(), "--show".as_ref(), path.as_os_str()];
        let device = run("losetup", words, None).must(0).out;
        Self {
            directory,
            device: device.trim().to_owned(),
        }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("disk")
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        let file = fs::File::options().write(true).open(&self.device).unwrap();
        file.write_all_at(bytes, at).unwrap();
        file.sync_all().unwrap();
    }

    fn digest(&self) -> String {
        run("sha256sum", [&self.device], None).must(0).out
    }

    /// A host whose first boot mounts this device.
    fn host(&self, policy: &str, filesystem: &str, bake: impl FnOnce(&Overlay)) -> Host {
        let steps = format!(
            "[[first_boot]]\nname = \"volume\"\nvolume = {{ device = \"{}\", filesystem = \"{filesystem}\", \
             mount = \"/srv/volume\", grow = {} }}\n",
            self.device,
            // Growing ext4 takes a capability that not every container has: `vm/first_boot` does it.
            filesystem == "xfs"
        );
        let host = Host::declared(policy, &steps, bake);
        host.with(&format!("--bind={}", self.device))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // A test that fails says why it failed, not this.
        run("losetup", ["--detach", &self.device], None);
    }
}

const VOLUME: &str = "
grep ' /srv/volume ' /proc/self/mountinfo
echo again >> /srv/volume/kept
cat /srv/volume/kept
systemctl is-active srv-volume.mount
df --output=size -B1M /srv/volume | tail -n 1
";

/// Boots three times: on a blank volume, on the same one, and on the same one made larger, to which an
/// XFS grows.
#[track_caller]
fn formatted_once_and_grown(filesystem: &str, size: u64, bake: impl FnOnce(&Overlay)) {
    let volume = Loop::of(size);
    let host = volume.host("quarantine", filesystem, bake);
    let until = format!("{READY} && verdict verified");
    let mut mebibytes = 0;
    for boot in 1..=3 {
        let seen = host.boot_and_look(&until, VOLUME);
        let lines: Vec<&str> = seen.looked.lines().collect();
        let mount = lines[0];
        assert!(
            mount.contains("nosuid,nodev") && mount.contains(&format!(" - {filesystem} ")),
            "{}",
            seen.looked
        );
        // What was written in the boots before is still there.
        assert_eq!(lines[1..=boot], vec!["again"; boot][..], "{}", seen.looked);
        assert_eq!(lines[boot + 1], "active");
        let now: u64 = lines[boot + 2].trim().parse().unwrap();
        let is_grown = boot == 3 && filesystem == "xfs";
        assert!(
            !is_grown || now > mebibytes * 3 / 2,
            "{now} MiB, {mebibytes} before"
        );
        mebibytes = now;
        assert_eq!(attempts(&host), [1]);
        if boot == 2 {
            // As a volume is made larger.
            let file = fs::File::options().write(true).open(volume.file()).unwrap();
            file.set_len(2 * size).unwrap();
            run("losetup", ["--set-capacity", &volume.device], None).must(0);
        }
    }
}

#[test]
fn privileged_blank_volume_is_formatted_once_mounted_at_each_boot_and_grown() {
    formatted_once_and_grown("ext4", Loop::SIZE, bake);
}

#[test]
fn privileged_blank_volume_is_formatted_as_xfs_when_declared() {
    // The least that XFS is made on.
    formatted_once_and_grown("xfs", 320 << 20, |image| {
        bake(image);
        for program in ["usr/sbin/mkfs.xfs", "usr/sbin/xfs_growfs"] {
            copy_program(image, program);
        }
    });
}

/// Takes a program from the server, with the libraries that this root lacks.
fn copy_program(image: &Overlay, program: &str) {
    let server = PathBuf::from(std::env::var("EARMARK_ROOT_SERVER").expect("EARMARK_ROOT_SERVER"));
    let copy = |path: &str| {
        if !image.at(path).exists() {
            fs::copy(server.join(path.trim_start_matches('/')), image.at(path)).unwrap();
        }
    };
    copy(program);
    let path = format!("/{program}");
    let words = [server.as_os_str(), "ldd".as_ref(), path.as_ref()];
    let needed = run("chroot", words, None).must(0).out;
    needed
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .for_each(copy);
}

/// Puts something on a device.
type Put = fn(&Loop);

#[test]
fn privileged_device_with_any_content_is_never_formatted() {
    // Each as somebody may have it, and the name of what it is.
    const MADE: [(&str, &str, Put); 7] = [
        ("another file system", "ext2", |volume| {
            run("mkfs.ext2", ["-q", &volume.device], None).must(0);
        }),
        ("swap", "swap", |volume| {
            run("mkswap", [&volume.device], None).must(0);
        }),
        ("a partition table", "partition table", |volume| {
            // One partition of Linux's, from the first MiB on.
            let [start, size] = [2048u32, 100_000].map(u32::to_le_bytes);
            let entry = [&[0, 0, 0, 0, 0x83, 0, 0, 0], &start[..], &size[..]].concat();
            volume.write(446, &entry);
            volume.write(510, &[0x55, 0xaa]);
        }),
        ("its first byte", "unknown data", |volume| {
            volume.write(0, b"x");
        }),
        ("its last byte", "unknown data", |volume| {
            volume.write(Loop::SIZE - 1, b"x");
        }),
        ("something between", "unknown data", |volume| {
            volume.write(Loop::SIZE / 2, &[7; 1 << 20]);
        }),
        ("it is encrypted", "crypto_LUKS", |volume| {
            volume.write(0, b"LUKS\xba\xbe\x00\x01");
            volume.write(40, b"sha256");
            volume.write(168, b"01234567-89ab-cdef-0123-456789abcdef");
        }),
    ];
    for (name, words, put) in MADE {
        let volume = Loop::new();
        put(&volume);
        let before = volume.digest();
        let host = volume.host("report", "ext4", bake);
        let seen = host.boot(READY);
        FIRST_BOOT_FAILED
            .of(&["step 'volume'"])
            .must_be_in(&seen.journal);
        assert!(
            seen.journal.contains(words),
            "{name}: {words}: {}",
            seen.journal
        );
        assert_eq!(volume.digest(), before, "{name}");
    }
}

#[test]
fn privileged_mounted_device_is_refused_as_in_use() {
    let volume = Loop::new();
    run("mkfs.ext4", ["-q", &volume.device], None).must(0);
    let mounted = volume.directory.path().join("mounted");
    fs::create_dir(&mounted).unwrap();
    run("mount", [Path::new(&volume.device), &mounted], None).must(0);
    let host = volume.host("report", "xfs", bake);
    let seen = host.boot(READY);
    run("umount", [&mounted], None).must(0);
    DEVICE_IN_USE.must_be_in(&seen.journal);
}

#[test]
fn privileged_format_interrupted_by_a_crash_is_repeated_at_the_next_boot() {
    /// Comes half way, and then the agent is no more.
    const HALF: &str = "#!/bin/sh
set -eu
if [ ! -e /srv/data/crashed ]; then
    touch /srv/data/crashed
    for device in \"$@\"; do :; done
    printf 'half of a file system' > \"$device\"
    sync
    kill -KILL \"$PPID\"
    sleep 10
fi
exec /usr/sbin/mke2fs.whole \"$@\"
";
    let volume = Loop::new();
    let host = volume.host("report", "ext4", |image| {
        bake(image);
        // One inode with several names: only this name goes.
        let tool = image.at("usr/sbin/mke2fs");
        fs::copy(&tool, image.at("usr/sbin/mke2fs.whole")).unwrap();
        for name in ["mke2fs", "mkfs.ext2", "mkfs.ext3", "mkfs.ext4"] {
            let path = image.at(&format!("usr/sbin/{name}"));
            if path.symlink_metadata().is_ok() {
                fs::remove_file(path).unwrap();
            }
        }
        script(image, "usr/sbin/mkfs.ext4", HALF);
    });
    let seen = host.boot(READY);
    // Under `report` the host goes on without.
    FIRST_BOOT_DONE.must_not_be_in(&seen.journal);
    let mut head = [0; 4];
    let device = fs::File::open(&volume.device).unwrap();
    device.read_exact_at(&mut head, 0).unwrap();
    assert_eq!(&head, b"half");
    let marker = fs::read_to_string(host.at("var/lib/earmark/formatting.json")).unwrap();
    assert!(marker.contains("/srv/volume"), "{marker}");

    let seen = host.boot_and_look(&format!("{READY} && verdict verified"), VOLUME);
    assert!(
        seen.looked.contains("\nagain\nactive\n"),
        "{}{}",
        seen.looked,
        seen.journal
    );
    assert_eq!(attempts(&host), [2]);
    let marker = fs::read_to_string(host.at("var/lib/earmark/formatting.json")).unwrap();
    assert!(marker.contains("null"), "{marker}");
}
