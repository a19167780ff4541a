//! Ordinary faults of a host (a full disk, a broken one, too many open files, no more threads) end with a
//! documented exit code and a next step, never with 1, which says that the program has a defect.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use earmark_tests::{
    Bench,
    facts::signer::{MAKE_ROOM, MOUNT_WRITABLE},
    fleet::Fleet,
    program, run,
};

use crate::strace;

/// Documented: usage, not verified, cannot decide. A fault that is survived ends with 0.
const DOCUMENTED: [i32; 4] = [0, 2, 10, 11];

const SEAL: &str =
    "seal --root root --spec earmark.toml --version 2.0 --key release.key --trust trust.toml";
const VERIFY: &str = "verify --root root --trust trust.toml";

/// Commands of the signer, each with the faults of the calls that it makes.
const COMMANDS: [&str; 11] = [
    SEAL,
    VERIFY,
    "measure --root root --spec earmark.toml --version 2.0 --out NEW",
    "sign OUT --key release.key",
    "install SIGNED --root root --trust trust.toml",
    "keygen --out new.key",
    "trust --key release.pub --out new.toml",
    "inspect root",
    "diff root SIGNED",
    "export root --format mtree --out spec",
    "lint --root root --spec earmark.toml",
];

const FAULTS: [(&str, &str); 10] = [
    ("openat", "EMFILE"),
    ("openat", "EACCES"),
    ("openat", "ENOSPC"),
    ("openat2", "EIO"),
    ("openat2", "EMFILE"),
    ("read", "EIO"),
    ("write", "ENOSPC"),
    ("write", "EDQUOT"),
    ("fsync", "EIO"),
    ("getdents64", "EIO"),
];

/// A sealed root, a measurement `OUT` of it and a signed one `SIGNED`.
fn bench() -> Bench {
    let bench = Bench::sealed();
    for command in [
        "measure --root root --spec earmark.toml --version 2.0 --out OUT",
        "measure --root root --spec earmark.toml --version 2.0 --out SIGNED",
        "sign SIGNED --key release.key",
    ] {
        bench.command(command).must(0);
    }
    bench
}

/// The calls of the main thread that are about the command's own files, by their numbers: what the loader
/// and the runtime open is not asked here.
fn calls(bench: &Bench, name: &str, command: &str) -> BTreeMap<String, Vec<usize>> {
    let traced = "openat,openat2,read,write,fsync,getdents64";
    let at = bench.path("").display().to_string();
    let at = at.trim_end_matches('/');
    strace::calls(bench, traced, name, command, |_, arguments| {
        arguments.contains(at)
    })
}

#[test]
fn privileged_injected_io_error_exits_with_a_documented_code_in_every_command() {
    let base = bench();
    let agent = [
        "verify --gate full --root root",
        "verify --gate signature --root root",
    ];
    let commands = COMMANDS
        .iter()
        .map(|command| ("earmark", *command))
        .chain(agent.map(|command| ("earmark-agent", command)));
    let mut jobs = Vec::new();
    for (name, command) in commands {
        let calls = calls(&base.copy(), name, command);
        for (call, error) in FAULTS {
            let numbers = calls.get(call).map(Vec::as_slice).unwrap_or_default();
            let last = numbers.len().saturating_sub(1);
            let mut some: Vec<usize> = [0, last / 2, last]
                .iter()
                .filter_map(|index| numbers.get(*index).copied())
                .collect();
            some.dedup();
            jobs.extend(
                some.into_iter()
                    .map(|when| (name, command, call, error, when)),
            );
        }
    }
    assert!(jobs.len() >= 80, "{}", jobs.len());
    let failed = AtomicUsize::new(0);
    strace::each(&jobs, |(name, command, call, error, when)| {
        let bench = base.copy();
        let injection = format!("{call}:error={error}:when={when}");
        let run = strace::inject(&bench, &injection, name, command);
        let said = format!("{name} {command}: {injection}: {}{}", run.out, run.err);
        assert!(DOCUMENTED.contains(&run.code), "{}: {said}", run.code);
        assert!(!run.err.contains("panicked"), "{said}");
        failed.fetch_add(usize::from(run.code != 0), Ordering::Relaxed);
    });
    let failed = failed.into_inner();
    assert!(
        failed * 2 > jobs.len(),
        "only {failed} of {} faults were met",
        jobs.len()
    );
}

/// A file system that is unmounted with the test.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn tmpfs(at: &'a Path, options: &str) -> Self {
        fs::create_dir(at).unwrap();
        let mount = ["-t", "tmpfs", "-o", options, "tmpfs", at.to_str().unwrap()];
        run("mount", mount, None).must(0);
        Self(at)
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        run("umount", [self.0], None);
    }
}

#[test]
fn privileged_full_or_read_only_file_system_is_named_with_the_next_step() {
    let bench = bench();
    let at = bench.path("disk");
    let _mounted = Mounted::tmpfs(&at, "size=64k,mode=755");
    let commands = [
        "measure --root root --spec earmark.toml --version 2.0 --out disk/NEW",
        "sign disk/OUT --key release.key",
        "keygen --out disk/new.key",
        "trust --key release.pub --out disk/new.toml",
        "export root --format mtree --out disk/spec",
        "public --key release.key --out disk/half.pub",
    ];
    let out = bench.path("OUT").display().to_string();
    run("cp", ["-a", &out, at.to_str().unwrap()], None).must(0);
    let filler = at.join("filler");
    let listing = || run("find", [at.as_os_str()], None).must(0).out;
    fs::write(&filler, vec![0; 1 << 20]).unwrap_err();
    let before = listing();
    for command in commands {
        let full = bench.command(command).must(11);
        MAKE_ROOM.must_be_in(&full.err);
        assert_eq!(listing(), before, "{command}");
    }
    fs::remove_file(&filler).unwrap();
    let remount = |how: &str| {
        let how = format!("remount,{how}");
        run("mount", ["-o", &how, at.to_str().unwrap()], None).must(0);
    };
    remount("ro");
    for command in commands {
        let refused = bench.command(command).must(2);
        MOUNT_WRITABLE.must_be_in(&refused.err);
    }
    // The control: the same on a disk with room.
    remount("rw,size=4m");
    for command in commands {
        bench.command(command).must(0);
    }
}

#[test]
fn privileged_fleet_status_succeeds_when_threads_cannot_start() {
    let fleet = Fleet::new(&["1.0.0"]);
    for number in 0..600u64 {
        let id = format!("i-{number:017x}");
        fleet.report(&id, "1.0.0", serde_json::json!({}));
    }
    let copy = fleet.bench.path("earmark");
    fs::copy(program("earmark"), &copy).unwrap();
    let at = fleet.bench.path("").display().to_string();
    run("chmod", ["-R", "a+rX", &at], None).must(0);
    // A user of the test's own, whose one process this is.
    let limited = |limit: &str| {
        let limit = format!("--nproc={limit}");
        let user = ["--reuid=61187", "--regid=61187", "--clear-groups"];
        let status = "fleet status --reports reports --channel stable.json --trust c.toml --json";
        let before = [limit.as_str(), "setpriv"].into_iter().chain(user);
        let command = before
            .chain([copy.to_str().unwrap()])
            .chain(status.split(' '));
        run("prlimit", command, Some(&fleet.bench.path("")))
    };
    // A control that the limit holds: a shell cannot start another program under it.
    let forks = [
        "--nproc=1",
        "setpriv",
        "--reuid=61187",
        "--regid=61187",
        "--clear-groups",
        "sh",
        "-c",
        "ls; ls",
    ];
    assert_ne!(run("prlimit", forks, None).code, 0);
    for limit in ["1", "2", "64"] {
        let seen = limited(limit).must(0).json();
        assert_eq!(seen["states"]["current"], 600, "{limit}");
    }
}
