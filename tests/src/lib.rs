//! Shared helpers for tests of the programs: small roots, keys, and the programs as they ship.
//!
//! Tests whose name starts with `privileged_` need root, and those with `vm_` a virtual machine;
//! `cargo xtask test` runs them in tiers of their own. They fail where they cannot run.

#![allow(
    clippy::missing_panics_doc,
    clippy::return_self_not_must_use,
    reason = "a test helper panics to fail its test"
)]

pub mod aws;
pub mod boot;
pub mod container;
pub mod emulated;
pub mod facts;
pub mod fleet;
pub mod golden;
pub mod imds;
pub mod overlay;
pub mod packer;
pub mod peak;
pub mod prometheus;
pub mod rpm;
pub mod vm;

use std::{
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use serde_json::Value;
use tempfile::TempDir;

/// A root of a few files, keys for it, and everything that `earmark seal` needs.
#[derive(Debug)]
pub struct Bench {
    directory: TempDir,
}

/// Exit code and output of a program.
#[derive(Debug)]
pub struct Run {
    /// Its exit code.
    pub code: i32,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

/// For declarations whose test is not about locks.
pub const NO_LOCKS: &str = "
[lockdown]
remote_access = \"allow\"
packages = \"allow\"
filesystems = \"allow\"
kernel = \"allow\"
cloud_init = \"allow\"
schedules = \"allow\"
accounts = \"allow\"
imds = \"allow\"
";

/// The declaration of [`Bench`]'s root.
pub const SPEC: &str = r#"
[image]
name = "web"
epoch = 3
platform = "file"

[tree]
mutable = ["/etc/resolv.conf", "/etc/alternatives/editor"]
generated = ["/etc/ssh/ssh_host_*_key"]
state = ["/var/lib", "/run", "/srv/data"]

[verify]
gate = "full"

[[first_boot]]
name = "render"
file = { path = "/etc/web/config.toml", template = "/usr/share/web/config.toml.j2", mode = "0640", owner = "root" }
"#;

/// Splits a command line of `earmark` at its blanks. Names the architecture where a root is measured: that of a
/// [`Bench`] has no first process to tell it.
pub fn words(command: &str) -> Vec<&str> {
    let mut words: Vec<&str> = command.split(' ').collect();
    if matches!(words.first(), Some(&("seal" | "measure"))) {
        words.extend(["--architecture", std::env::consts::ARCH]);
    }
    words
}

/// Returns the root that a variable of `cargo xtask test` names.
pub fn prepared_root(variable: &str) -> PathBuf {
    let root = std::env::var_os(variable);
    PathBuf::from(root.unwrap_or_else(|| panic!("{variable}: run `cargo xtask test`")))
}

impl Bench {
    /// A bench whose root is a copy of the one that a variable of `cargo xtask test` names, not sealed.
    pub fn of_root(variable: &str) -> Self {
        let bench = Self::new();
        let copy = bench.root();
        fs::remove_dir_all(&copy).expect("the bench's own root away");
        let from = prepared_root(variable);
        let words = ["-a".as_ref(), from.as_os_str(), copy.as_os_str()];
        run("cp", words, None).must(0);
        bench
    }

    /// A new root, not sealed, with a key `release.key` and a trust file for it.
    pub fn new() -> Self {
        let bench = Self {
            directory: TempDir::new().expect("a temporary directory"),
        };
        let root = bench.root();
        let owner = fs::metadata(bench.path("")).expect("the directory");
        let passwd = format!("root:x:{}:{}::/root:/bin/sh\n", owner.uid(), owner.gid());
        for directory in [
            "etc/systemd/system",
            "etc/ssh",
            "etc/web",
            "etc/cron.d",
            "etc/alternatives",
            "usr/bin",
            "usr/lib",
            "usr/share/web",
            "var/lib",
            "run",
            "opt",
        ] {
            fs::create_dir_all(root.join(directory)).expect("a directory");
        }
        for (path, content, mode) in [
            ("usr/bin/web", "#!/bin/true\n", 0o755),
            ("usr/bin/helper", "helper\n", 0o755),
            ("usr/bin/Helper", "another, by case\n", 0o755),
            ("usr/lib/os-release", "ID=test\nNAME=\"Test\"\n", 0o644),
            (
                "usr/share/web/config.toml.j2",
                "image = {{ image_name }}\n",
                0o644,
            ),
            // Whoever runs the test is the root of this root.
            ("etc/passwd", passwd.as_str(), 0o644),
            ("etc/shadow", "root:*:1::::::\n", 0o600),
            ("etc/resolv.conf", "nameserver 192.0.2.1\n", 0o644),
            (
                "etc/systemd/system/web.service",
                "[Service]\nExecStart=/usr/bin/web\n",
                0o644,
            ),
            ("usr/lib/\n\x1b[31mred\\ name", "hostile name\n", 0o644),
            ("usr/lib/empty", "", 0o644),
        ] {
            bench.write(path, content.as_bytes());
            bench.chmod(path, mode);
        }
        bench.write("usr/lib/large", &vec![7; 300_000]);
        fs::hard_link(root.join("usr/bin/helper"), root.join("usr/bin/helper-2"))
            .expect("a hard link");
        symlink("usr/bin", root.join("bin")).expect("a link");
        symlink("../usr/lib/os-release", root.join("etc/os-release")).expect("a link");
        symlink("/usr/bin/web", root.join("etc/alternatives/editor")).expect("a link");
        let name = [&b"usr/lib/"[..], &[0xff; 200]].concat();
        let name = OsStr::from_bytes(&name);
        fs::write(root.join(name), b"name of other bytes").expect("a file");
        fs::write(bench.path("earmark.toml"), SPEC).expect("a declaration");
        bench.keygen("release");
        bench
            .earmark(&["trust", "--key", "release.pub", "--out", "trust.toml"])
            .must(0);
        bench
    }

    /// A new root, sealed.
    pub fn sealed() -> Self {
        let bench = Self::new();
        bench.seal().must(0);
        bench
    }

    /// A copy of everything, so that a test can change one and keep the other as its control.
    pub fn copy(&self) -> Self {
        let copy = Self {
            directory: TempDir::new().expect("a temporary directory"),
        };
        let from = format!("{}/.", self.directory.path().display());
        run(
            "cp",
            ["-a", &from, &copy.directory.path().display().to_string()],
            None,
        )
        .must(0);
        copy
    }

    /// Seals the root with `release.key`.
    pub fn seal(&self) -> Run {
        self.command("seal --root root --spec earmark.toml --version 1.0 --key release.key --trust trust.toml")
    }

    /// Measures the root into `OUT`.
    pub fn measure(&self) -> Run {
        self.command("measure --root root --spec earmark.toml --version 1.0 --out OUT")
    }

    /// Makes a key pair `NAME.key` and `NAME.pub`.
    pub fn keygen(&self, name: &str) {
        self.earmark(&["keygen", "--out", &format!("{name}.key")])
            .must(0);
    }

    /// Runs `earmark` in this directory.
    pub fn earmark(&self, args: &[&str]) -> Run {
        run(program("earmark"), args, Some(self.directory.path()))
    }

    /// Runs a command line of `earmark` in this directory. See [`words`].
    pub fn command(&self, command: &str) -> Run {
        self.earmark(&words(command))
    }

    /// Runs `earmark-agent` in this directory.
    pub fn agent(&self, args: &[&str]) -> Run {
        run(program("earmark-agent"), args, Some(self.directory.path()))
    }

    /// The agent's full verification of the root.
    pub fn verify(&self) -> Run {
        self.agent(&["verify", "--gate", "full", "--root", "root", "--json"])
    }

    /// The agent's full verification at boot, before first boot, with the record that it left as its output.
    pub fn verify_at_boot(&self) -> Run {
        let run = self.agent(&["verify", "--boot", "--gate", "full", "--root", "root"]);
        let record = fs::read_to_string(self.root().join("run/earmark/status.json"));
        Run {
            out: record.expect("a record"),
            ..run
        }
    }

    /// The signer's full verification of the root, by the trust file beside it.
    pub fn verify_offline(&self) -> Run {
        self.command("verify --root root --trust trust.toml --json")
    }

    /// Runs a program of the workspace in this directory as an account without rights.
    pub fn as_nobody(&self, name: &str, args: &[&str]) -> Run {
        // That account may reach neither this directory nor the one that programs are built in.
        let everybody = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.path(""), everybody).expect("a mode");
        let copy = self.path(name);
        if !copy.exists() {
            fs::copy(program(name), &copy).expect("a copy of the program");
        }
        let words = "--reuid=65534 --regid=65534 --clear-groups --no-new-privs --bounding-set=-all";
        let copy = copy.to_str().expect("a path in UTF-8");
        let words = words.split(' ').chain([copy]).chain(args.iter().copied());
        run("setpriv", words, Some(self.directory.path()))
    }

    /// The root.
    pub fn root(&self) -> PathBuf {
        self.path("root")
    }

    /// A path beside the root.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file of the root, in place where it exists.
    pub fn write(&self, path: &str, content: &[u8]) {
        fs::write(self.root().join(path), content).expect("a file of the root");
    }

    /// Sets the mode of a file of the root.
    pub fn chmod(&self, path: &str, mode: u32) {
        fs::set_permissions(self.root().join(path), fs::Permissions::from_mode(mode))
            .expect("a mode");
    }
}

impl Default for Bench {
    fn default() -> Self {
        Self::new()
    }
}

impl Run {
    /// The same, if it ended with `code`.
    #[track_caller]
    pub fn must(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }

    /// Its standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.err))
    }

    /// The violations that it reports, as `KIND PATH`.
    #[track_caller]
    pub fn violations(&self) -> Vec<String> {
        let report = self.json();
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let list = report["violations"].as_array().expect("violations");
        list.iter()
            .map(|one| format!("{} {}", text(&one["kind"]), text(&one["path"])))
            .collect()
    }
}

/// Runs a program with an environment of its own, and waits for it.
pub fn run<S: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = S>,
    directory: Option<&Path>,
) -> Run {
    run_with(program, args, directory, &[])
}

/// Like [`run`], with environment variables.
pub fn run_with<S: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = S>,
    directory: Option<&Path>,
    environment: &[(&str, &str)],
) -> Run {
    let mut command = command(program.as_ref());
    command.args(args).envs(environment.iter().copied());
    if let Some(directory) = directory {
        command.current_dir(directory);
    }
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap_or_else(|error| {
        panic!("failed to start '{}': {error}", program.as_ref().display())
    });
    Run {
        code: status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&stdout).into_owned(),
        err: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// A program with an environment of its own.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the helper that starts processes"
)]
fn command(program: &OsStr) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C.UTF-8");
    command
}

/// Directory in which [`program`] finds programs; a caller that is no test sets it first.
static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();

/// Has all programs be those of a directory. To be said before any is asked for.
pub fn use_programs(directory: &Path) {
    let said = PROGRAMS.set(directory.to_owned());
    said.expect("a program was asked for already");
}

/// A program of the workspace: from `EARMARK_BIN_DIR`, or beside the test that asks.
pub fn program(name: &str) -> PathBuf {
    let directory = PROGRAMS.get_or_init(|| {
        let named = std::env::var_os("EARMARK_BIN_DIR").map(PathBuf::from);
        named.unwrap_or_else(|| {
            let test = std::env::current_exe().expect("the path of this test");
            let target = test.ancestors().nth(2);
            target.expect("the target directory").to_owned()
        })
    });
    let program = directory.join(name);
    assert!(
        program.is_file(),
        "'{}' is not built: run `cargo xtask test`",
        program.display()
    );
    program
}
