//! A sealed host of aarch64, and its boots from UEFI firmware on.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{END, LOOK, Mounted, OBSERVE, SYNC, Seen, make_disk};
use crate::{
    Bench, NO_LOCKS, emulated, run,
    vm::{
        DONE, Initrd,
        arm64::{Arm, CONSOLE, PORT, boot_disk},
    },
};

/// The machine's id, as its firmware has it.
pub const UUID: &str = "6a0ff2a4-93c5-4c0e-9f0b-6d1c5c7e8b21";

const WORKLOAD: &str = "\
[Unit]
Description=What this image is for
Requires=earmark-ready.target
After=earmark-ready.target

[Service]
ExecStart=/usr/bin/sleep infinity
";
/// A file of first boot has the instance's id, which comes from the firmware.
const TEMPLATE: &str = "instance = {{ instance_id }}\n";

/// A disk with a sealed root, and one that boots it.
#[derive(Debug)]
pub struct ArmHost {
    bench: Bench,
    directory: TempDir,
}

impl ArmHost {
    /// Bakes and seals the root that `EARMARK_ROOT_ARM64` names, as this machine's architecture does it: no program of
    /// the root is run.
    pub fn new(on_failure: &str) -> Self {
        let original = std::env::var("EARMARK_ROOT_ARM64");
        let original = original.expect("EARMARK_ROOT_ARM64: run `cargo xtask test`");
        let host = Self {
            bench: Bench::new(),
            directory: TempDir::new().expect("a temporary directory"),
        };
        let root = host.at("root");
        run(
            "cp",
            ["-a".as_ref(), original.as_ref(), root.as_os_str()],
            None,
        )
        .must(0);
        let deb = emulated::package("earmark-agent_", "_arm64.deb");
        let words = ["-x".as_ref(), deb.as_os_str(), root.as_os_str()];
        run("dpkg-deb", words, None).must(0);
        // What the package does after it is unpacked.
        let sysroot = format!("--root={}", root.display());
        run("systemd-sysusers", [&sysroot], None).must(0);
        let preset = [
            &*sysroot,
            "preset",
            "earmark-verify.service",
            "earmark-ready.target",
            "earmark-agent.service",
        ];
        run("systemctl", preset, None).must(0);
        let units = root.join("usr/lib/systemd/system");
        fs::write(units.join("workload.service"), WORKLOAD).expect("a unit");
        let wants = root.join("etc/systemd/system/multi-user.target.wants/workload.service");
        symlink("/usr/lib/systemd/system/workload.service", wants).expect("a link");
        for directory in ["etc/web", "usr/share/web"] {
            fs::create_dir_all(root.join(directory)).expect("a directory");
        }
        fs::write(root.join("usr/share/web/id.j2"), TEMPLATE).expect("a template");
        host.seal(&root, on_failure);
        make_disk(&root, &host.at("disk"));
        host.pack(&root);
        host
    }

    fn seal(&self, root: &Path, on_failure: &str) {
        // systemd-boot tells the kernel's own loader where the initrd is; later versions do so without a word.
        let declaration = format!(
            r#"[image]
name = "host"
epoch = 2
platform = "file"

[tree]
profile = "debian-12"

[boot]
cmdline = "{} ?initrd=\\initrd"

[verify]
gate = "full"
on_failure = "{on_failure}"

[[first_boot]]
name = "id"
file = {{ path = "/etc/web/id", template = "/usr/share/web/id.j2", mode = "0644", owner = "root" }}
{NO_LOCKS}"#,
            line()
        );
        fs::write(self.bench.path("host.toml"), declaration).expect("a declaration");
        let root = root.to_str().expect("a path in UTF-8");
        let lint = self.bench.earmark(&["lint", "--fix", "--root", root]);
        let seal = format!(
            "seal --root {root} --spec host.toml --version 1.0.0 --key release.key --trust trust.toml --json"
        );
        let words: Vec<&str> = seal.split(' ').collect();
        let sealed = self.bench.earmark(&words);
        assert_eq!(sealed.code, 0, "{}{}{}", sealed.err, lint.out, lint.err);
        // No option says so: it is what the root's first process was compiled for.
        assert_eq!(sealed.json()["architecture"], "aarch64");
    }

    /// Makes the disk that it boots from.
    fn pack(&self, root: &Path) {
        let initrd = Initrd::with(root, &root.join("usr/bin/busybox"), PORT);
        let packed = self.at("initrd");
        let observe = format!(
            "LIMIT=400\nsettled() {{ idle; }}\n{OBSERVE}{LOOK}\
             step firmware cat /sys/class/dmi/id/product_uuid /sys/class/dmi/id/sys_vendor\n\
             step machine uname -m\n\
             step id cat /etc/web/id\n{SYNC}{END}"
        );
        initrd.pack_boot("", &observe, &packed);
        boot_disk(root, &packed, &line(), &self.at("boot"));
    }

    /// Boots, waits until systemd has no more to do, looks, and cuts the power.
    #[track_caller]
    pub fn boot(&self, name: &str) -> Seen {
        let logs = [log(name, "console"), log(name, "observer")];
        let start = Instant::now();
        let machine = Arm {
            disk: &self.at("disk"),
            boot: &self.at("boot"),
            uuid: UUID,
            logs: [&logs[0], &logs[1]],
            deadline: start + Duration::from_mins(12),
        };
        let mut running = machine.start();
        loop {
            let is_off = running.has_ended(|| machine.tail());
            let [console, steps] = machine.said();
            assert!(!is_off, "it switched itself off: {}", console.0);
            if steps.0.lines().any(|line| line == DONE) {
                let took = start.elapsed();
                eprintln!("boot {name}: {took:.1?}");
                return Seen {
                    console: console.0,
                    steps,
                    took,
                };
            }
            machine.pause("come to what the test waits for");
        }
    }

    /// Changes the file system, as somebody with the disk in their hands does.
    pub fn change<T>(&self, change: impl FnOnce(&Path) -> T) -> T {
        let at = Mounted::new(&self.at("disk"), &self.at("mounted"));
        change(&at.0)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// A file that is kept after the test: a boot that fails is found out about here.
fn log(name: &str, what: &str) -> PathBuf {
    let logs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/earmark/logs-arm64");
    fs::create_dir_all(&logs).expect("a directory");
    logs.join(format!("{name}.{what}.log"))
}

/// The kernel's command line.
fn line() -> String {
    format!(
        "console={CONSOLE} quiet loglevel=1 panic=-1 oops=panic mitigations=off nokaslr audit=0 root=/dev/vda"
    )
}
