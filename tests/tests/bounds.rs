//! A verification stays within its memory, whatever a root holds. Each hostile root is a sealed one that verifies,
//! and something in it. The largest roots are measured by `cargo xtask bench --bounds`.

use std::{
    fs::{self, File},
    os::fd::OwnedFd,
    path::Path,
};

use earmark_tests::{Bench, Run, facts::host::SEAL_NOT_BELIEVED, peak::run_watched, program, run};
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};

/// Bound of docs/bounds.md for 120,000 honest entries, in KiB. These roots have fewer than 40, and each of the
/// floods here took more while the walk was kept as a whole.
const BOUND: u64 = 64 * 1024;

fn verify(bench: &Bench) -> (Run, u64) {
    let root = bench.root();
    let directory = root.parent().unwrap();
    let words = ["verify", "--gate", "full", "--root", "root", "--json"];
    run_watched(program("earmark-agent"), words, directory)
}

/// Verifies the root that `spoil` was let loose on: violated, or `code`, and within the bound.
#[track_caller]
fn flooded(spoil: impl FnOnce(&Path)) -> Run {
    let bench = Bench::sealed();
    let (control, _) = verify(&bench);
    control.must(0);
    spoil(&bench.root());
    let (verified, peak) = verify(&bench);
    // By a program that has no descriptor open for each level.
    let root = bench.root();
    run::<&std::ffi::OsStr>("rm", ["-rf".as_ref(), root.as_os_str()], None).must(0);
    assert!(peak < BOUND, "{peak} KiB");
    verified.must(10)
}

#[track_caller]
fn violations(run: &Run) -> u64 {
    run.json()["counts"]["violations"].as_u64().unwrap()
}

fn directory(path: &Path) -> OwnedFd {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    openat(CWD, path, flags, Mode::empty()).unwrap()
}

fn file(directory: &OwnedFd, name: &str) {
    let flags = OFlags::WRONLY | OFlags::CREATE;
    drop(openat(directory, name, flags, Mode::from_raw_mode(0o644)).unwrap());
}

fn enter(directory: &OwnedFd, name: &str) -> OwnedFd {
    mkdirat(directory, name, Mode::from_raw_mode(0o755)).unwrap();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    openat(directory, name, flags, Mode::empty()).unwrap()
}

#[test]
fn directory_flooded_with_names_is_violated_within_bounds_and_each_is_counted() {
    let run = flooded(|root| {
        let flood = directory(&root.join("usr/bin"));
        for number in 0..200_000 {
            file(&flood, &format!("{number:06}{}", "x".repeat(200)));
        }
        fs::write(root.join("usr/bin/web"), "#!/bin/tru!\n").unwrap();
        fs::remove_file(root.join("usr/bin/Helper")).unwrap();
    });
    assert_eq!(violations(&run), 200_002);
    let found = run.violations();
    assert!(found[0].starts_with("added /usr/bin/000000x"), "{found:?}");
}

#[test]
fn signed_names_in_a_flooded_directory_are_still_compared() {
    let run = flooded(|root| {
        let flood = directory(&root.join("etc/web"));
        for number in 0..40_000 {
            file(&flood, &format!("zz{number:06}{}", "x".repeat(200)));
        }
        let shadow = root.join("etc/shadow");
        fs::write(shadow, "root:*:2::::::\n").unwrap();
        fs::remove_file(root.join("etc/passwd")).unwrap();
    });
    assert_eq!(violations(&run), 40_002);
    let found = run.violations();
    for expected in ["content /etc/shadow", "missing /etc/passwd"] {
        assert!(found.iter().any(|one| one == expected), "{found:?}");
    }
}

#[test]
fn hard_links_in_a_deep_directory_are_violated_within_bounds() {
    let run = flooded(|root| {
        let mut deep = directory(&root.join("usr/lib"));
        for _ in 0..18 {
            deep = enter(&deep, &"d".repeat(190));
        }
        file(&deep, "first");
        for number in 0..60_000 {
            rustix::fs::linkat(
                &deep,
                "first",
                &deep,
                format!("{number:05}"),
                rustix::fs::AtFlags::empty(),
            )
            .unwrap();
        }
    });
    assert_eq!(violations(&run), 60_000 + 1 + 18);
}

#[test]
fn deep_levels_each_with_many_names_are_violated_within_bounds() {
    for (levels, names, length) in [(4_000, 1, 1), (100, 1_000, 180)] {
        let run = flooded(|root| {
            let mut level = directory(&root.join("usr/lib"));
            for _ in 0..levels {
                for number in 0..names {
                    file(&level, &format!("z{number:04}{}", "x".repeat(length)));
                }
                level = enter(&level, "d");
            }
        });
        // What is beneath a directory that was not signed need not be looked at: the directory is the finding.
        assert!(violations(&run) >= 1, "{}", run.out);
    }
}

#[test]
fn all_changed_entries_are_counted_within_memory_bound() {
    let bench = Bench::new();
    let target = "/x".repeat(2_000);
    for number in 0..3_000 {
        let path = bench.root().join(format!("opt/link{number:04}"));
        std::os::unix::fs::symlink(&target, path).unwrap();
    }
    bench.seal().must(0);
    verify(&bench).0.must(0);
    for number in 0..3_000 {
        let path = bench.root().join(format!("opt/link{number:04}"));
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(format!("{target}y"), path).unwrap();
    }
    let (run, peak) = verify(&bench);
    assert!(peak < BOUND, "{peak} KiB");
    assert_eq!(violations(&run.must(10)), 3_000);
}

#[test]
fn inflated_seal_files_are_refused_within_memory_bound() {
    let sparse = |root: &Path, name: &str, size: u64| {
        let path = root.join("usr/lib/earmark/seal").join(name);
        let file = File::options().write(true).open(path).unwrap();
        file.set_len(size).unwrap();
    };
    for (name, size) in [
        ("tree.zst", 600 << 20),
        // Within what a tree can have: its digest is taken, and it is not held.
        ("tree.zst", 400 << 20),
        ("manifest.json", 600 << 20),
        ("earmark.toml", 600 << 20),
    ] {
        let run = flooded(|root| sparse(root, name, size));
        SEAL_NOT_BELIEVED.must_be_in(&run.json()["reason"].to_string());
    }
    // The gate that does not look into the tree refuses it, too.
    let bench = Bench::sealed();
    let words = ["verify", "--gate", "signature", "--root", "root"];
    bench.agent(&words).must(0);
    sparse(&bench.root(), "tree.zst", 600 << 20);
    bench.agent(&words).must(10);
}
