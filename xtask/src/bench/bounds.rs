//! Peak memory of a verification: of the largest honest roots that the contract speaks of, and of what
//! somebody could make of a small one.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use earmark_tests::{Bench, peak::run_watched, program};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, mkdirat, openat};

use crate::tools;

/// A root, how the verification of it ends, and how many MiB it may take.
struct Case {
    name: &'static str,
    make: fn(&Path) -> Result<()>,
    /// Made before it is sealed, or after.
    is_honest: bool,
    at_most: u64,
}

const CASES: &[Case] = &[
    Case {
        name: "120,000 entries",
        make: |root| honest(root, 110_000),
        is_honest: true,
        at_most: 64,
    },
    Case {
        name: "1,000,000 entries",
        make: |root| honest(root, 900_000),
        is_honest: true,
        at_most: 128,
    },
    Case {
        name: "600,000 entries in one directory",
        make: |root| names(&directory(&root.join("opt"))?, 600_000, 20),
        is_honest: true,
        at_most: 128,
    },
    Case {
        name: "600,000 long names in one directory",
        make: |root| names(&directory(&root.join("usr/lib"))?, 600_000, 230),
        is_honest: false,
        at_most: 128,
    },
    Case {
        name: "200,000 hard links in a deep directory",
        make: hard_links,
        is_honest: false,
        at_most: 128,
    },
    Case {
        name: "4,000 levels",
        make: |root| levels(root, 4_000, 3, 1),
        is_honest: false,
        at_most: 128,
    },
    Case {
        name: "300 levels, each with 3,000 long names",
        make: |root| levels(root, 300, 3_000, 200),
        is_honest: false,
        at_most: 128,
    },
    Case {
        name: "tree.zst of 600 MB",
        make: |root| large(root, "tree.zst", 600),
        is_honest: false,
        at_most: 128,
    },
    Case {
        name: "tree.zst of 500 MB",
        make: |root| large(root, "tree.zst", 500),
        is_honest: false,
        at_most: 128,
    },
    Case {
        name: "manifest.json of 600 MB",
        make: |root| large(root, "manifest.json", 600),
        is_honest: false,
        at_most: 128,
    },
];

/// Makes each root, verifies it once, and writes what it took. A bound that is not kept is an error.
pub fn run(out: &Path) -> Result<()> {
    earmark_tests::use_programs(&tools::programs()?);
    let mut rows = String::new();
    let mut over = Vec::new();
    for case in CASES {
        let bench = Bench::new();
        if case.is_honest {
            (case.make)(&bench.root()).context(case.name)?;
        }
        bench.seal().must(0);
        if !case.is_honest {
            (case.make)(&bench.root()).context(case.name)?;
        }
        let start = Instant::now();
        let words = ["verify", "--gate", "full", "--root", "root"];
        let (run, kib) = run_watched(program("earmark-agent"), words, &bench.path(""));
        let seconds = start.elapsed().as_secs_f64();
        let run = run.must(if case.is_honest { 0 } else { 10 });
        let reason = run.out.lines().find(|line| line.contains(" verdict "));
        let verdict = reason.unwrap_or_default().trim();
        let mib = kib.div_ceil(1024);
        eprintln!("    {mib:>4} MiB  {seconds:>7.2} s  {}", case.name);
        let _ = writeln!(
            rows,
            "| {} | {} | {mib} | {seconds:.2} | {} |",
            case.name,
            verdict.trim_start_matches("verdict").trim().to_lowercase(),
            case.at_most
        );
        if mib > case.at_most {
            over.push(case.name);
        }
        // Deeper than the standard library removes.
        let root = bench.root();
        earmark_tests::run("rm", ["-rf".as_ref(), root.as_os_str()], None).must(0);
    }
    let text = format!(
        "# The bounds of a verification\n\n\
         Written by `cargo xtask bench --bounds`: one run of `earmark-agent verify --gate full` on each root. The memory is a\n\
         promise, the time is what this machine took.\n\n\
         | root | verdict | peak MiB | s | at most, MiB |\n|---|---|---|---|---|\n{rows}"
    );
    println!("{text}");
    fs::write(out, &text).with_context(|| format!("failed to write \"{}\"", out.display()))?;
    if over.is_empty() {
        Ok(())
    } else {
        bail!("over the bound: {}", over.join(", "))
    }
}

/// Files with a name and a content each, nine in a directory.
fn honest(root: &Path, files: u32) -> Result<()> {
    let mut place = root.join("opt");
    for number in 0..files {
        if number % 9 == 0 {
            let (above, below) = (number / 900, number / 9);
            place = root.join(format!("opt/package{above:04}/directory{below:06}"));
            fs::create_dir_all(&place)?;
        }
        fs::write(
            place.join(format!("some-file-{number:07}.dat")),
            number.to_string(),
        )?;
    }
    Ok(())
}

fn names(directory: &OwnedFd, count: u32, length: usize) -> Result<()> {
    for number in 0..count {
        let name = format!("{number:0>7}{}", "x".repeat(length.saturating_sub(7)));
        let flags = OFlags::WRONLY | OFlags::CREATE;
        drop(openat(directory, name, flags, Mode::from_raw_mode(0o644))?);
    }
    Ok(())
}

fn hard_links(root: &Path) -> Result<()> {
    let mut deep = directory(&root.join("usr/lib"))?;
    for _ in 0..18 {
        deep = enter(&deep, &"d".repeat(200))?;
    }
    for number in 0..200_000 {
        // A file has 65,000 names at most.
        let first = format!("first{}", number / 60_000);
        if number % 60_000 == 0 {
            let flags = OFlags::WRONLY | OFlags::CREATE;
            drop(openat(&deep, &first, flags, Mode::from_raw_mode(0o644))?);
        }
        linkat(
            &deep,
            first,
            &deep,
            format!("{number:06}"),
            AtFlags::empty(),
        )?;
    }
    Ok(())
}

fn levels(root: &Path, levels: u32, count: u32, length: usize) -> Result<()> {
    let mut level = directory(&root.join("usr/lib"))?;
    for _ in 0..levels {
        names(&level, count, length)?;
        level = enter(&level, "d")?;
    }
    Ok(())
}

fn large(root: &Path, name: &str, megabytes: u64) -> Result<()> {
    let path = root.join("usr/lib/earmark/seal").join(name);
    let file = File::options().write(true).open(path)?;
    Ok(file.set_len(megabytes * 1_000_000)?)
}

fn directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    Ok(openat(CWD, path, flags, Mode::empty())?)
}

fn enter(directory: &OwnedFd, name: &str) -> Result<OwnedFd> {
    mkdirat(directory, name, Mode::from_raw_mode(0o755))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    Ok(openat(directory, name, flags, Mode::empty())?)
}
