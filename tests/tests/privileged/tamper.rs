//! Changes that only root can make, each with its control.

use std::{
    fs,
    os::unix::fs::{chown, lchown},
    path::Path,
};

use earmark_tests::{Bench, run};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

/// A root with everything that only root can put there: owners, devices, capabilities, ACLs.
fn unsealed() -> Bench {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test needs root: run `cargo xtask test`"
    );
    let bench = Bench::new();
    let at = |path: &str| bench.root().join(path);
    node(&at("opt/null"), FileType::CharacterDevice, (1, 3));
    node(&at("opt/disk"), FileType::BlockDevice, (7, 0));
    node(&at("opt/pipe"), FileType::Fifo, (0, 0));
    node(&at("opt/socket"), FileType::Socket, (0, 0));
    chown(at("etc/shadow"), Some(0), Some(42)).unwrap();
    tool("setcap", &["cap_net_raw+ep", "usr/bin/web"], &bench);
    tool("setfacl", &["-m", "u:1000:r", "etc/shadow"], &bench);
    tool("setfacl", &["-d", "-m", "g:1000:rx", "etc/cron.d"], &bench);
    tool(
        "setfattr",
        &[
            "-n",
            "security.selinux",
            "-v",
            "system_u:object_r:bin_t:s0",
            "usr/bin/helper",
        ],
        &bench,
    );
    bench
}

fn node(path: &Path, file_type: FileType, (major, minor): (u32, u32)) {
    mknodat(
        CWD,
        path,
        file_type,
        Mode::from_raw_mode(0o600),
        makedev(major, minor),
    )
    .unwrap();
}

fn replace_node(path: &Path, file_type: FileType, device: (u32, u32)) {
    fs::remove_file(path).unwrap();
    node(path, file_type, device);
}

fn tool(program: &str, args: &[&str], bench: &Bench) {
    run(program, args, Some(&bench.root())).must(0);
}

type Tamper = fn(&Bench);

const CASES: &[(&str, Tamper, &str)] = &[
    (
        "owner",
        |bench| chown(bench.root().join("usr/bin/web"), Some(1000), None).unwrap(),
        "owner /usr/bin/web",
    ),
    (
        "group",
        |bench| chown(bench.root().join("etc/shadow"), None, Some(43)).unwrap(),
        "owner /etc/shadow",
    ),
    (
        "owner of a directory",
        |bench| chown(bench.root().join("etc"), Some(1000), None).unwrap(),
        "owner /etc",
    ),
    (
        "owner of a link",
        |bench| lchown(bench.root().join("bin"), Some(1000), None).unwrap(),
        "owner /bin",
    ),
    (
        "owner of a mutable file",
        |bench| chown(bench.root().join("etc/resolv.conf"), Some(1000), None).unwrap(),
        "owner /etc/resolv.conf",
    ),
    (
        "capability added",
        |bench| tool("setcap", &["cap_sys_admin+ep", "usr/lib/large"], bench),
        "xattr /usr/lib/large",
    ),
    (
        "capability raised",
        |bench| {
            tool(
                "setcap",
                &["cap_net_raw,cap_sys_admin+ep", "usr/bin/web"],
                bench,
            );
        },
        "xattr /usr/bin/web",
    ),
    (
        "capability removed",
        |bench| tool("setcap", &["-r", "usr/bin/web"], bench),
        "xattr /usr/bin/web",
    ),
    (
        "capability on a mutable file",
        |bench| tool("setcap", &["cap_net_raw+ep", "etc/resolv.conf"], bench),
        "xattr /etc/resolv.conf",
    ),
    (
        "ACL changed",
        |bench| tool("setfacl", &["-m", "u:1001:r", "etc/shadow"], bench),
        "xattr /etc/shadow",
    ),
    (
        "ACL removed",
        |bench| tool("setfacl", &["-x", "u:1000", "etc/shadow"], bench),
        "xattr /etc/shadow",
    ),
    (
        "default ACL removed",
        |bench| tool("setfacl", &["-k", "etc/cron.d"], bench),
        "xattr /etc/cron.d",
    ),
    (
        "label changed",
        |bench| {
            tool(
                "setfattr",
                &["-n", "security.selinux", "-v", "evil_t", "usr/bin/helper"],
                bench,
            );
        },
        "xattr /usr/bin/helper",
    ),
    (
        "device number",
        |bench| {
            replace_node(
                &bench.root().join("opt/null"),
                FileType::CharacterDevice,
                (1, 1),
            );
        },
        "device /opt/null",
    ),
    (
        "character device made a block device",
        |bench| {
            replace_node(
                &bench.root().join("opt/null"),
                FileType::BlockDevice,
                (1, 3),
            );
        },
        "type /opt/null",
    ),
    (
        "pipe made a socket",
        |bench| replace_node(&bench.root().join("opt/pipe"), FileType::Socket, (0, 0)),
        "type /opt/pipe",
    ),
    (
        "file made a device",
        |bench| {
            replace_node(
                &bench.root().join("usr/bin/web"),
                FileType::CharacterDevice,
                (1, 3),
            );
        },
        "type /usr/bin/web",
    ),
    (
        "seal given to another user",
        |bench| {
            chown(
                bench.root().join("usr/lib/earmark/seal/tree.zst"),
                Some(1000),
                None,
            )
            .unwrap();
        },
        "owner /usr/lib/earmark/seal/tree.zst",
    ),
];

#[test]
fn privileged_every_change_that_needs_root_is_refused_and_named() {
    let sealed = unsealed();
    sealed.seal().must(0);
    for (name, tamper, reported) in CASES {
        let bench = sealed.copy();
        bench.verify().must(0);
        tamper(&bench);
        let run = bench.verify();
        assert_eq!(run.code, 10, "{name}: {}{}", run.out, run.err);
        let violations = run.violations();
        assert!(
            violations.iter().any(|found| found == reported),
            "{name}: {violations:?}"
        );
    }
}

/// The attributes of files that no gate reads are compared all the same.
#[test]
fn privileged_metadata_is_compared_at_the_gate_critical() {
    let sealed = unsealed();
    sealed.seal().must(0);
    for (name, tamper, reported) in CASES {
        let bench = sealed.copy();
        let critical = ["verify", "--gate", "critical", "--root", "root", "--json"];
        assert_eq!(bench.agent(&critical).must(0).json()["verdict"], "partial");
        tamper(&bench);
        let violations = bench.agent(&critical).must(10).violations();
        assert!(
            violations.iter().any(|found| found == reported),
            "{name}: {violations:?}"
        );
    }
}

#[test]
fn privileged_a_mount_over_a_sealed_path_is_a_violation() {
    let bench = unsealed();
    bench.seal().must(0);
    let root = bench.root().display().to_string();
    let (etc, passwd) = (format!("{root}/etc"), format!("{root}/etc/passwd"));
    let overlay =
        format!("lowerdir={root}/usr/share,upperdir={root}/run/upper,workdir={root}/run/work");
    for directory in ["run/upper", "run/work", "run/etc"] {
        fs::create_dir(bench.root().join(directory)).unwrap();
    }
    run(
        "cp",
        ["-a", &format!("{etc}/."), &format!("{root}/run/etc")],
        None,
    )
    .must(0);
    for (name, mount, target, reported) in [
        (
            "bind",
            vec!["--bind", &*format!("{root}/run/etc"), &etc],
            "etc",
            "mount /etc",
        ),
        (
            "bind of itself",
            vec!["--bind", &*etc, &etc],
            "etc",
            "mount /etc",
        ),
        (
            "bind of a file",
            vec!["--bind", &*format!("{root}/run/etc/passwd"), &passwd],
            "etc/passwd",
            "mount /etc/passwd",
        ),
        (
            "overlay",
            vec![
                "-t",
                "overlay",
                "overlay",
                "-o",
                &overlay,
                &*format!("{root}/usr/share"),
            ],
            "usr/share",
            "mount /usr/share",
        ),
        (
            "tmpfs",
            vec!["-t", "tmpfs", "tmpfs", &*format!("{root}/etc/cron.d")],
            "etc/cron.d",
            "mount /etc/cron.d",
        ),
    ] {
        bench.verify().must(0);
        run("mount", &mount, None).must(0);
        let run_with_mount = bench.verify();
        run("umount", [bench.root().join(target)], None).must(0);
        assert_eq!(run_with_mount.code, 10, "{name}: {}", run_with_mount.out);
        assert!(
            run_with_mount
                .violations()
                .iter()
                .any(|found| found == reported),
            "{name}: {}",
            run_with_mount.out
        );
    }
    // Where a host may mount, it may.
    run(
        "mount",
        ["-t", "tmpfs", "tmpfs", &format!("{root}/var/lib")],
        None,
    )
    .must(0);
    let over_state = bench.verify();
    run("umount", [format!("{root}/var/lib")], None).must(0);
    over_state.must(0);
}

#[test]
fn privileged_another_file_system_is_crossed_into_only_when_declared() {
    let bench = unsealed();
    let boot = bench.root().join("boot");
    fs::create_dir(&boot).unwrap();
    run(
        "mount",
        ["-t", "tmpfs", "tmpfs", boot.to_str().unwrap()],
        None,
    )
    .must(0);
    fs::write(boot.join("vmlinuz"), "kernel").unwrap();
    let undeclared = bench.seal();
    let spec = fs::read_to_string(bench.path("earmark.toml")).unwrap();
    fs::write(
        bench.path("earmark.toml"),
        spec.replace("[tree]", "[tree]\nmounts = [\"/boot\"]"),
    )
    .unwrap();
    let declared = bench.seal();
    let verified = bench.verify();
    fs::write(boot.join("vmlinuz"), "evil!!").unwrap();
    let tampered = bench.verify();
    run("umount", [&boot], None).must(0);
    assert_ne!(undeclared.code, 0);
    assert!(
        undeclared.err.contains("mounted here"),
        "{}",
        undeclared.err
    );
    declared.must(0);
    verified.must(0);
    assert_eq!(tampered.must(10).violations(), ["content /boot/vmlinuz"]);
}

/// Files that come, go and change while they are read: never a crash, and only a code of a verdict.
#[test]
fn privileged_a_root_that_changes_meanwhile_is_never_verified_wrongly() {
    let bench = unsealed();
    let names: Vec<String> = (0..400)
        .map(|number| format!("opt/file-{number:03}"))
        .collect();
    let content = vec![b'x'; 200_000];
    for name in &names {
        bench.write(name, &content);
    }
    bench.seal().must(0);
    bench.verify().must(0);
    let codes: Vec<i32> = while_another(
        || {
            for name in &names {
                let path = bench.root().join(name);
                let _ = fs::rename(&path, bench.root().join("run/away"));
                fs::write(&path, &content).unwrap();
            }
        },
        || (0..12).map(|_| bench.verify().code).collect(),
    );
    assert!(
        codes.iter().all(|code| [0, 10, 11].contains(code)),
        "{codes:?}"
    );
    fs::remove_file(bench.root().join("run/away")).unwrap();
    // The content is the same again, and so is everything that is compared.
    for name in &names {
        bench.chmod(name, 0o644);
    }
    bench.verify().must(0);
}

/// A file that is written while it is read is undecided, by name, also if the bytes that were read
/// are the signed ones: what was read was no one state of the file.
#[test]
fn privileged_a_file_that_is_written_while_it_is_read_is_undecided() {
    use std::os::unix::fs::FileExt as _;

    let bench = unsealed();
    // Large enough that its reading takes longer than a tick of the clock that stamps files.
    bench.write("opt/large", &vec![b'x'; 128 << 20]);
    bench.seal().must(0);
    bench.verify().must(0);
    let file = fs::OpenOptions::new()
        .write(true)
        .open(bench.root().join("opt/large"))
        .unwrap();
    // On a busy machine the writer may have no turn during a reading: then there is another one.
    let seen = while_another(
        || file.write_all_at(b"x", 1 << 20).unwrap(),
        || {
            (0..50).map(|_| bench.verify()).find(|run| {
                assert!([0, 11].contains(&run.code), "{}{}", run.out, run.err);
                run.code == 11
            })
        },
    );
    let seen = seen.expect("50 verifications, and in none of them was the file seen to change");
    let said = format!("{}{}", seen.out, seen.err);
    assert!(said.contains("/opt/large"), "{said}");
    bench.verify().must(0);
}

/// What `work` gives while another thread does `meddle` again and again.
fn while_another<T>(meddle: impl Fn() + Sync, work: impl FnOnce() -> T) -> T {
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Ends the other thread also when `work` panics, which would otherwise hang the test.
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    let stop = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                meddle();
            }
        });
        let _stop = Stop(&stop);
        work()
    })
}

#[test]
fn privileged_what_cannot_be_read_is_undecided() {
    let bench = unsealed();
    bench.seal().must(0);
    run("chmod", ["755", bench.path("").to_str().unwrap()], None).must(0);
    let program = earmark_tests::program("earmark-agent");
    let copy = bench.path("agent");
    fs::copy(program, &copy).unwrap();
    let root = bench.root();
    let as_nobody = |gate: &str| {
        let args = [
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            copy.to_str().unwrap(),
        ];
        let verify = [
            "verify",
            "--gate",
            gate,
            "--json",
            "--root",
            root.to_str().unwrap(),
        ];
        run("setpriv", args.into_iter().chain(verify), None)
    };
    let refused = as_nobody("full").must(11);
    assert_eq!(refused.json()["verdict"], "undecided");
    assert!(
        refused.json()["reason"]
            .as_str()
            .unwrap()
            .contains("/etc/shadow"),
        "{}",
        refused.out
    );
    as_nobody("signature").must(0);
}

/// Runs the agent as an account without rights, which cannot look at everything.
fn verify_as_nobody(bench: &Bench) -> earmark_tests::Run {
    let agent = earmark_tests::program("earmark-agent");
    let agent = agent.to_str().unwrap();
    let words = ["--reuid=65534", "--regid=65534", "--clear-groups", agent];
    let verify = ["verify", "--gate", "full", "--root", "root", "--json"];
    run(
        "setpriv",
        words.into_iter().chain(verify),
        Some(&bench.path("")),
    )
}

#[test]
fn privileged_hard_link_whose_other_name_is_hidden_is_a_doubt() {
    let bench = unsealed();
    let at = |path: &str| bench.root().join(path);
    fs::create_dir(at("opt/private")).unwrap();
    fs::hard_link(at("usr/bin/helper"), at("opt/private/helper")).unwrap();
    bench.chmod("opt/private", 0o700);
    fs::set_permissions(
        bench.path(""),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    bench.seal().must(0);
    bench.verify().must(0);
    let doubted = verify_as_nobody(&bench).must(11);
    assert_eq!(doubted.violations(), [""; 0], "{}", doubted.out);
    // A name too many is seen in the link count, wherever it is.
    fs::hard_link(at("usr/bin/helper"), at("var/lib/helper")).unwrap();
    let more = verify_as_nobody(&bench).must(10);
    assert_eq!(more.violations(), ["hard-link /usr/bin/helper"]);
    fs::remove_file(at("var/lib/helper")).unwrap();
    // A name that is gone is missing, also where others are hidden.
    fs::remove_file(at("usr/bin/helper-2")).unwrap();
    let gone = verify_as_nobody(&bench).must(10);
    assert_eq!(gone.violations(), ["missing /usr/bin/helper-2"]);
}

#[test]
fn privileged_state_of_another_account_is_undecided() {
    let bench = unsealed();
    bench.seal().must(0);
    let at = |path: &str| bench.root().join(path);
    fs::create_dir(at("var/lib/earmark")).unwrap();
    for name in earmark_manifest::layout::STATE_FILES {
        let path = format!("var/lib/earmark/{name}");
        if name == "rendered.json" {
            continue;
        }
        bench.write(&path, b"");
        bench.verify().must(0);
        chown(at(&path), Some(33), None).unwrap();
        let doubted = bench.verify().must(11);
        let found = doubted.json()["undecided"][0].to_string();
        assert!(found.contains("belongs to user 33"), "{found}");
        fs::remove_file(at(&path)).unwrap();
    }
    chown(at("var/lib/earmark"), Some(33), None).unwrap();
    let doubted = bench.verify().must(11);
    let found = doubted.json()["undecided"][0].to_string();
    assert!(
        found.contains("the directory belongs to user 33"),
        "{found}"
    );
}
