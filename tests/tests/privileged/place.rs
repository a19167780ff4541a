//! Placing a seal: a full disk and a killed signer leave a root that is whole.

use std::fs;

use earmark_tests::{Bench, run};

/// Mounts a small file system and puts the root of a bench on it.
struct Small {
    bench: Bench,
}

impl Small {
    fn new(kibibytes: u64) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "this test needs root: run `cargo xtask test`"
        );
        let bench = Bench::new();
        let (root, real) = (bench.root(), bench.path("real"));
        fs::rename(&root, &real).unwrap();
        fs::create_dir(&root).unwrap();
        let size = format!("size={kibibytes}k,mode=755");
        run(
            "mount",
            ["-t", "tmpfs", "-o", &size, "tmpfs", root.to_str().unwrap()],
            None,
        )
        .must(0);
        let small = Self { bench };
        run(
            "cp",
            [
                "-a",
                &format!("{}/.", real.display()),
                root.to_str().unwrap(),
            ],
            None,
        )
        .must(0);
        small
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        run("umount", [self.bench.root()], None);
    }
}

#[test]
fn privileged_seal_on_a_full_disk_leaves_the_root_unchanged() {
    let small = Small::new(600);
    let bench = &small.bench;
    bench.seal().must(0);
    bench.verify().must(0);
    bench.write("usr/bin/web", b"another version\n");
    let filler = bench.root().join("var/lib/filler");
    let free = || {
        let free = rustix::fs::statvfs(bench.root()).unwrap();
        free.f_bfree * free.f_frsize
    };
    fs::write(&filler, vec![0; usize::try_from(free()).unwrap()]).unwrap();
    let listing = || {
        run(
            "find",
            [
                ".",
                "-path",
                "./var/lib",
                "-prune",
                "-o",
                "-printf",
                "%P %m %s\\n",
            ],
            Some(&bench.root()),
        )
        .out
    };
    let before = listing();
    // From nothing free to just enough: it fails whole or works whole, whatever the place.
    let mut outcomes = Vec::new();
    for kept in (0..=40).rev() {
        let size = fs::metadata(&filler).unwrap().len();
        let run = bench.earmark(&[
            "seal",
            "--architecture",
            std::env::consts::ARCH,
            "--root",
            "root",
            "--spec",
            "earmark.toml",
            "--version",
            "2.0",
            "--key",
            "release.key",
            "--trust",
            "trust.toml",
        ]);
        outcomes.push(run.code);
        if run.code == 0 {
            break;
        }
        assert_eq!(listing(), before, "{kept}: {}", run.err);
        fs::File::options()
            .write(true)
            .open(&filler)
            .unwrap()
            .set_len(size.saturating_sub(4096))
            .unwrap();
    }
    assert!(
        outcomes.len() > 2 && outcomes.last() == Some(&0),
        "{outcomes:?}"
    );
    bench.verify().must(0);
}

#[test]
fn privileged_killed_signer_leaves_the_old_or_the_new_seal() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test needs root: run `cargo xtask test`"
    );
    let sealed = Bench::sealed();
    let program = earmark_tests::program("earmark");
    let mut killed = 0;
    for call in [
        "renameat2",
        "renameat",
        "fsync",
        "fchmod",
        "unlinkat",
        "mkdirat",
        "openat2",
    ] {
        for when in 1..=12 {
            let bench = sealed.copy();
            let inject = format!("inject={call}:signal=SIGKILL:when={when}");
            let seal = [
                "seal",
                "--architecture",
                std::env::consts::ARCH,
                "--root",
                "root",
                "--spec",
                "earmark.toml",
                "--version",
                "1.0",
                "--key",
                "release.key",
                "--trust",
                "trust.toml",
            ];
            let strace = [
                "-f",
                "-qq",
                "-o",
                "/dev/null",
                "-e",
                &inject,
                program.to_str().unwrap(),
            ];
            let run = run(
                "strace",
                strace.into_iter().chain(seal),
                Some(&bench.path("")),
            );
            if run.code == 0 {
                break;
            }
            killed += 1;
            // The same version seals to the same bytes, so that old and new both verify; what a kill
            // may leave beside them is named, and the next run clears it away.
            let after = bench.verify();
            assert!(
                after.code == 0
                    || after
                        .violations()
                        .iter()
                        .all(|found| found.starts_with("added ")),
                "{call} {when}: {}",
                after.out
            );
            bench.seal().must(0);
            bench.verify().must(0);
        }
    }
    assert!(
        killed >= 10,
        "only {killed} runs were killed: the calls are others now"
    );
}
