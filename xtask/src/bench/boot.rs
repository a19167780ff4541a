//! Time that the agent adds until a host works, on real boots, against the same image without it.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use earmark_tests::boot::{Boot, Disk, Image, Inputs, QUARANTINE, Sealing, Seen};

use crate::roots::{self, Kind};
use crate::run::Run;
use crate::{apt, package, tools};

/// Gates that are measured, one after the other in each round.
const GATES: [&str; 3] = ["signature", "critical", "full"];
/// A link that is there as soon as the workload runs: asking systemd would cost what is measured.
const WORKS: &str = "[ -L /run/systemd/units/invocation:workload.service ] && idle";
const LOOK: &str = "step userspace systemctl show --property=UserspaceTimestampMonotonic --value\n";

struct Contestant<'a> {
    name: &'static str,
    disk: Disk<'a>,
    samples: Vec<Sample>,
}

/// One boot, in seconds.
#[derive(Debug, Clone, Copy)]
struct Sample {
    /// From the start of PID 1 to that of the workload.
    workload: f64,
    /// Of that, the run of `earmark-agent verify --boot`.
    verify: f64,
}

/// Boots everything `runs` times, and writes the report.
pub fn run(runs: u32, out: &Path) -> Result<()> {
    apt::need(
        &["busybox-static", "cpio", "e2fsprogs", "kmod"],
        "makes disks and initrds for virtual machines",
    )?;
    apt::need_qemu(apt::QEMU_X86, "runs virtual machines")?;
    let programs = tools::programs()?;
    let image = Image::new(Inputs {
        root: roots::root(Kind::Boot)?,
        packages: package::debs()?,
        programs: programs.clone(),
        cache: crate::state_dir()?.join("images"),
    });
    let mut contestants = vec![Contestant {
        name: "without Earmark",
        disk: Disk::copy_of(&image.plain_disk(), &image, "bench-plain"),
        samples: Vec::new(),
    }];
    for gate in GATES {
        let sealing = Sealing {
            name: gate,
            gate,
            ..QUARANTINE
        };
        contestants.push(Contestant {
            name: gate,
            disk: Disk::new(&image, &sealing, &format!("bench-{gate}")),
            samples: Vec::new(),
        });
    }
    // In rounds, so that whatever else happens on the machine meets all of them alike.
    for round in 0..=runs {
        for contestant in &mut contestants {
            let seen = contestant.disk.boot(&Boot {
                until: WORKS,
                look: LOOK,
                ..Boot::default()
            });
            let sample = Sample::of(&seen.settled())?;
            eprintln!(
                "    {round}/{runs}  {:>6.2} s  {}",
                sample.workload, contestant.name
            );
            // Round 0 makes each disk one that has booted before.
            if round > 0 {
                contestant.samples.push(sample);
            }
        }
    }
    let text = report(&contestants, &image, &programs)?;
    println!("{text}");
    std::fs::write(out, &text).with_context(|| format!("failed to write \"{}\"", out.display()))
}

impl Sample {
    fn of(seen: &Seen) -> Result<Self> {
        let userspace: u64 = seen.step("userspace").out.trim().parse()?;
        let started = seen.micros("workload.service", "InactiveExitTimestampMonotonic");
        if started <= userspace {
            bail!("the workload started at {started} us, and PID 1 at {userspace} us");
        }
        let verify = |name| seen.micros("earmark-verify.service", name);
        let (from, to) = (
            verify("ExecMainStartTimestampMonotonic"),
            verify("ExecMainExitTimestampMonotonic"),
        );
        Ok(Self {
            workload: seconds(started - userspace),
            verify: seconds(to.saturating_sub(from)),
        })
    }
}

fn report(contestants: &[Contestant], image: &Image, programs: &Path) -> Result<String> {
    let mut text = "# The cost of a boot\n\n\
        Written by `cargo xtask bench --boot`: real boots of one image on one emulated processor (QEMU without\n\
        hardware acceleration, which takes several times as long for everything). Quote the differences and\n\
        their ratio to the whole, not the seconds.\n\n"
        .to_owned();
    let runs = contestants.first().map_or(0, |first| first.samples.len());
    let _ = writeln!(
        text,
        "From the start of PID 1 to the start of a workload that waits for `earmark-ready.target`, as systemd\n\
         stamps it; median (min to max) of {runs} boots each, in rounds. *verify* is how long\n\
         `earmark-verify.service` ran, a part of it beside other units. *On this machine* is the same\n\
         verification of the same root without emulation. What is *added* beside it are the generator,\n\
         `earmark-first-boot.service` and the two units of the lockdown, each of them a process or two.\n"
    );
    text += "| gate | workload starts after | added | verify | on this machine | files read | MiB read |\n|---|---|---|---|---|---|---|\n";
    let mut plain = None;
    for contestant in contestants {
        let (median, min, max) = spread(contestant, |sample| sample.workload)?;
        let plain = *plain.get_or_insert(median);
        let (verify, ..) = spread(contestant, |sample| sample.verify)?;
        let _ = write!(
            text,
            "| {} | {median:.2} s ({min:.2} to {max:.2}) | {:+.2} s | ",
            contestant.name,
            median - plain
        );
        if GATES.contains(&contestant.name) {
            let native = Native::measure(contestant.name, image, programs)?;
            let _ = writeln!(
                text,
                "{verify:.2} s | {:.3} s | {} | {:.1} |",
                native.seconds, native.files, native.mib
            );
        } else {
            text += "- | - | - | - |\n";
        }
    }
    Ok(text)
}

/// The same verification, of the same root, where nothing is emulated.
struct Native {
    seconds: f64,
    files: u64,
    mib: f64,
}

impl Native {
    fn measure(gate: &'static str, image: &Image, programs: &Path) -> Result<Self> {
        let sealing = Sealing {
            name: gate,
            gate,
            ..QUARANTINE
        };
        let root = image.sealed_root(&sealing);
        let mut best = f64::INFINITY;
        let mut report = serde_json::Value::Null;
        for _ in 0..5 {
            let start = Instant::now();
            let verify = Run::new(programs.join("earmark-agent")).quiet();
            let said = verify
                .args(["verify", "--json", "--root"])
                .arg(&root)
                .output()?;
            best = best.min(start.elapsed().as_secs_f64());
            report = serde_json::from_str(&said)?;
        }
        let count = |name: &str| report["counts"][name].as_u64().unwrap_or(0);
        Ok(Self {
            seconds: best,
            files: count("files_read"),
            mib: u32::try_from(count("bytes_read") >> 10).map(f64::from)? / 1024.0,
        })
    }
}

fn spread(contestant: &Contestant, of: fn(&Sample) -> f64) -> Result<(f64, f64, f64)> {
    let mut values: Vec<f64> = contestant.samples.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    let median = values
        .get(values.len() / 2)
        .context("nothing was measured")?;
    let (first, last) = (values.first(), values.last());
    Ok((*median, *first.unwrap_or(median), *last.unwrap_or(median)))
}

fn seconds(micros: u64) -> f64 {
    std::time::Duration::from_micros(micros).as_secs_f64()
}
