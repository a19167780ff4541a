//! Verification side by side with its peers and its bound, in one run on one real root.

mod boot;
mod bounds;
mod contestants;
mod facts;
mod fleet;
mod report;
mod sample;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::bench::contestants::{Contestant, Role};
use crate::bench::facts::{Facts, shell};
use crate::bench::report::{Report, Results};
use crate::roots::{self, Kind};
use crate::run::is_root;
use crate::{apt, files, tools};

#[derive(Debug, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub struct Args {
    /// The root to measure on, which is copied first; by default the server root
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// How many runs of each, in rounds
    #[arg(long, value_name = "N", default_value_t = 5)]
    runs: u32,
    /// Measure with a dropped page cache, too
    #[arg(long)]
    cold: bool,
    /// Leave Earmark's own programs out
    #[arg(long)]
    peers_only: bool,
    /// Measure real boots instead, against the same image without Earmark
    #[arg(long, conflicts_with_all = ["root", "cold", "peers_only"])]
    boot: bool,
    /// Measure a look at the reports of a fleet instead
    #[arg(long, conflicts_with_all = ["root", "cold", "peers_only", "boot"])]
    fleet: bool,
    /// Measure the memory that the largest and the most hostile roots take instead
    #[arg(long, conflicts_with_all = ["root", "cold", "peers_only", "boot", "fleet"])]
    bounds: bool,
    /// File for the report; by default docs/benchmarks.md, docs/boot-cost.md,
    /// docs/fleet-cost.md or docs/bounds.md
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Measures, prints the report, and writes it.
pub fn run(args: &Args) -> Result<()> {
    if !is_root() {
        bail!("the bench reads every file of a root and drops the page cache: run it as root");
    }
    if args.runs == 0 {
        bail!("--runs 0 measures nothing: give at least 1");
    }
    let docs = crate::workspace()?.join("docs");
    let out = |name: &str| args.out.clone().unwrap_or(docs.join(name));
    if args.boot {
        return boot::run(args.runs, &out("boot-cost.md"));
    }
    if args.fleet {
        return fleet::run(args.runs, &out("fleet-cost.md"));
    }
    if args.bounds {
        return bounds::run(&out("bounds.md"));
    }
    let out = out("benchmarks.md");
    apt::need(
        &[
            "aide",
            "attr",
            "fsverity",
            "hashdeep",
            "libarchive-tools",
            "mtree-netbsd",
            "openssl",
            "time",
        ],
        "the tools that the bench compares with, and GNU time",
    )?;
    // AIDE follows no links to what it is to look at.
    let state = crate::state_dir()?;
    let state = state
        .canonicalize()
        .with_context(|| format!("failed to find \"{}\"", state.display()))?;
    let work = state.join("bench");
    files::remove_tree(&work)?;
    let original = args
        .root
        .clone()
        .map_or_else(|| roots::root(Kind::Server), Ok)?;
    let root = work.join("root");
    files::copy(&original, &root)?;
    fs::write(work.join("earmark.toml"), contestants::DECLARATION)?;
    fs::write(work.join("aide.in"), contestants::AIDE_CONF)?;

    let chosen = |contestant: &&Contestant| !args.peers_only || contestant.role != Role::Ours;
    let chosen: Vec<&Contestant> = contestants::ALL.iter().filter(chosen).collect();
    let variables = [
        ("ROOT", root.clone().into_os_string()),
        ("B3SUM", tools::cargo_tool(tools::B3SUM)?.into_os_string()),
        (
            "BIN",
            if args.peers_only {
                "".into()
            } else {
                tools::programs()?.into_os_string()
            },
        ),
        ("WORK", work.clone().into_os_string()),
    ];
    if !args.peers_only {
        eprintln!("==> sealing the root");
        shell(contestants::MAKE_IMAGE, &variables)?;
    }
    shell(contestants::PREPARE_ALL, &variables)?;
    for contestant in chosen
        .iter()
        .filter(|contestant| !contestant.prepare.is_empty())
    {
        eprintln!("==> preparing {}", contestant.name);
        shell(contestant.prepare, &variables)?;
    }
    let mut facts = Facts::collect(&variables)?;
    if !args.peers_only {
        facts.add_seal(&root, &variables)?;
    }
    let warm = rounds("warm", &chosen, args.runs, &variables, &work, || Ok(()))?;
    report::refuse_idle_peers(&warm)?;
    let cold = if args.cold {
        rounds(
            "cold",
            &chosen,
            args.runs,
            &variables,
            &work,
            sample::drop_caches,
        )?
    } else {
        Results::new()
    };
    let text = Report { facts, warm, cold }.markdown();
    println!("{text}");
    fs::write(&out, &text).with_context(|| format!("failed to write \"{}\"", out.display()))?;
    eprintln!("written to {}", out.display());
    Ok(())
}

/// Each contestant once a round: whatever else happens on the machine meets all of them alike.
fn rounds(
    name: &str,
    chosen: &[&'static Contestant],
    runs: u32,
    variables: &sample::Variables,
    work: &Path,
    before: fn() -> Result<()>,
) -> Result<Results> {
    let mut results: Results = chosen
        .iter()
        .map(|contestant| (*contestant, Vec::new()))
        .collect();
    for round in 0..=runs {
        for (contestant, samples) in &mut results {
            // Where the agent keeps its status: the peers would call it a change.
            files::remove_tree(&work.join("root/run/earmark"))?;
            before()?;
            let sample = sample::take(contestant.line, variables, work)?;
            eprintln!(
                "    {name} {round}/{runs}  {:>8.3} s  {}",
                sample.wall_s, contestant.name
            );
            // Round 0 warms up: the cache, and what the tools keep.
            if round > 0 {
                samples.push(sample);
            }
        }
    }
    Ok(results)
}
