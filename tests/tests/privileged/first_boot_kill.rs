//! First boot, killed with SIGKILL at each write of its records: strace ends it at the n-th rename or
//! sync, for every n that there is. A run that follows must find each step done exactly once, or
//! treated as its `interrupted` says.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use earmark_tests::{Bench, Run, facts::host::STEP, program, run};

const STEPS: &str = r#"
[image]
name = "web"
platform = "file"

[tree]
state = [
    { path = "/dev", reason = "Volatile." },
    { path = "/proc", reason = "The kernel's." },
    { path = "/run", reason = "Volatile." },
    "/var/lib",
]
mutable = ["/etc/resolv.conf", "/etc/alternatives/editor"]
generated = ["/etc/ssh/ssh_host_*_key"]

[parameters.environment]
type = "enum"
values = ["prod", "staging"]
required = true

[[first_boot]]
name = "render"
file = { path = "/etc/web/config.toml", template = "/usr/share/web/config.toml.j2", mode = "0640", owner = "root" }
[[first_boot]]
name = "again"
command = { argv = ["/usr/bin/count", "again"] }
interrupted = "retry"
[[first_boot]]
name = "once"
command = { argv = ["/usr/bin/count", "once"] }
[[first_boot]]
name = "second"
file = { path = "/etc/web/second.toml", template = "/usr/share/web/config.toml.j2", mode = "0600", owner = "0" }
[[first_boot]]
name = "last"
command = { argv = ["/usr/bin/count", "last"] }
interrupted = "retry"

[[lint.allow]]
rule = "machine-id"
reason = "Nothing here makes one."
"#;

const COUNT: &str = "#!/usr/bin/busybox sh\nset -e\necho ran >> \"/var/lib/$1\"\n";

/// A root that first boot can run in, with its own `/proc` and `/run`.
struct Host {
    bench: Bench,
}

impl Host {
    fn new() -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "this test needs root: run `cargo xtask test`"
        );
        let bench = Bench::new();
        let root = bench.root();
        for directory in ["dev", "proc", "var/lib/earmark"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        for (from, to) in [
            (PathBuf::from("/bin/busybox"), "usr/bin/busybox"),
            (program("earmark-agent"), "usr/bin/earmark-agent"),
        ] {
            fs::copy(from, root.join(to)).unwrap();
        }
        bench.write("usr/bin/count", COUNT.as_bytes());
        bench.chmod("usr/bin/count", 0o755);
        bench.write("etc/machine-id", b"0123456789abcdef0123456789abcdef\n");
        let values = b"[parameters]\nenvironment = \"prod\"\n";
        bench.write("var/lib/earmark/values.toml", values);
        fs::write(bench.path("earmark.toml"), STEPS).unwrap();
        bench.seal().must(0);
        mount(&["--bind", "/dev"], &root.join("dev"));
        mount(&["--bind", "/proc"], &root.join("proc"));
        mount(&["-t", "tmpfs", "tmpfs"], &root.join("run"));
        Self { bench }
    }

    fn first_boot(&self) -> Run {
        let root = self.bench.root();
        let words = [root.as_os_str(), OsStr::new("/usr/bin/earmark-agent")];
        let words = words
            .into_iter()
            .chain(["first-boot", "--run"].map(OsStr::new));
        run("chroot", words, None)
    }

    /// First boot, killed at its n-th rename or sync.
    fn killed_at(&self, n: usize) -> Run {
        let inject = format!("inject=renameat,renameat2,fsync,fdatasync:signal=SIGKILL:when={n}");
        let root = self.bench.root();
        let words = [
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "trace=renameat,renameat2,fsync,fdatasync",
            "-e",
            &inject,
            "chroot",
            root.to_str().unwrap(),
            "/usr/bin/earmark-agent",
            "first-boot",
            "--run",
        ];
        run("strace", words, None)
    }

    /// Returns how often a step's command ran, by the lines in its file.
    fn count(&self, step: &str) -> usize {
        let file = self.bench.root().join("var/lib").join(step);
        fs::read_to_string(file).map_or(0, |text| text.lines().count())
    }

    fn state(&self, step: &str) -> String {
        let root = self.bench.root();
        let words = ["first-boot", "--json", "--root", root.to_str().unwrap()];
        let shown = self.bench.agent(&words).json();
        let steps = shown["steps"].as_array().unwrap().clone();
        let step = steps.iter().find(|one| one["name"] == step).unwrap();
        step["state"].as_str().unwrap().to_owned()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for directory in ["dev", "proc", "run"] {
            let directory = self.bench.root().join(directory);
            run("umount", ["--lazy".as_ref(), directory.as_os_str()], None);
        }
    }
}

fn mount(words: &[&str], directory: &Path) {
    let words = words.iter().map(OsStr::new);
    run("mount", words.chain([directory.as_os_str()]), None).must(0);
}

#[test]
fn privileged_first_boot_survives_a_kill_at_each_record() {
    // The control: nothing kills it.
    let host = Host::new();
    host.first_boot().must(0);
    assert_eq!(
        ["again", "once", "last"].map(|step| host.count(step)),
        [1, 1, 1]
    );
    host.first_boot().must(0);
    assert_eq!(
        ["again", "once", "last"].map(|step| host.count(step)),
        [1, 1, 1]
    );
    host.bench.verify().must(0);

    let (mut kills, mut failures) = (0, 0);
    for n in 1.. {
        let host = Host::new();
        let killed = host.killed_at(n);
        if killed.code == 0 {
            assert!(n > 20, "strace ended it at no more than {n} places");
            break;
        }
        assert_eq!(killed.code, -1, "at {n}: {}\n{}", killed.out, killed.err);
        kills += 1;
        // What the kill left is what the image's owner signed, or about to be: no boot is refused.
        host.bench.verify_at_boot().must(0);
        let was = host.state("once");
        let next = host.first_boot();
        if was == "interrupted" {
            failures += 1;
            let text = next.must(12).err;
            let is_told = STEP.of(&["once"]).is_in(&text);
            assert!(is_told || host.state("once") == "failed", "{text}");
            assert!(host.count("once") <= 1, "at {n}");
            assert_eq!(host.count("last"), 0, "at {n}");
        } else {
            next.must(0);
            assert_eq!(host.count("once"), 1, "at {n}");
            for step in ["again", "last"] {
                assert!((1..=2).contains(&host.count(step)), "at {n}: {step}");
            }
            host.first_boot().must(0);
            assert_eq!(host.count("once"), 1, "at {n}");
        }
        host.bench.verify().must(0);
    }
    assert!(
        kills > 20 && failures > 0,
        "{kills} kills, {failures} failures"
    );
}
