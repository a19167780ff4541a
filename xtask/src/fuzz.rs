//! A short run of each fuzz target: what half a minute of random input breaks, it breaks in CI.

use std::sync::Mutex;

use anyhow::{Context, Result, bail};

use crate::apt;
use crate::run::Run;
use crate::tools;

/// For all targets together, so that another one makes CI no slower.
const SECONDS: usize = 600;
/// A target that gets less has learned nothing.
const LEAST_SECONDS: usize = 20;
const AT_A_TIME: usize = 5;

/// Runs each target of `fuzz/` for its part of the time, five at a time, which share the processors.
pub fn smoke() -> Result<String> {
    apt::need(&["g++"], "links libFuzzer into the fuzz targets")?;
    tools::cargo_tool(tools::CARGO_FUZZ)?;
    let listed = cargo_fuzz("list")?.output()?;
    let targets: Vec<&str> = listed.split_whitespace().collect();
    if targets.is_empty() {
        bail!("fuzz/Cargo.toml names no target: a smoke test of nothing is no test");
    }
    cargo_fuzz("build")?.step()?;
    let seconds = (SECONDS / targets.len()).max(LEAST_SECONDS);

    let queue = Mutex::new(targets.iter());
    let work = || -> Result<Vec<String>> {
        let mut done = Vec::new();
        loop {
            let next = queue.lock().ok().and_then(|mut targets| targets.next());
            let Some(target) = next else { return Ok(done) };
            done.push(run(target, seconds)?);
        }
    };
    let results: Vec<Result<Vec<String>>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| bail!("a worker panicked")))
            .collect()
    });
    let runs = results.into_iter().collect::<Result<Vec<_>>>()?.concat();
    Ok(runs.join(", "))
}

fn run(target: &str, seconds: usize) -> Result<String> {
    let fuzz = crate::workspace()?.join("fuzz");
    // libFuzzer writes what it finds into the first directory and only reads the others.
    let corpus = fuzz.join("corpus").join(target);
    std::fs::create_dir_all(&corpus)
        .with_context(|| format!("failed to make \"{}\"", corpus.display()))?;
    let seeds = Some(fuzz.join("seeds").join(target)).filter(|dir| dir.is_dir());
    let finished = cargo_fuzz("run")?
        .arg(target)
        .arg(&corpus)
        .args(seeds)
        .args([
            "--",
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
        ])
        .arg(format!("-max_total_time={seconds}"))
        .capture()?;
    let executions = finished.stderr.lines().find_map(|line| {
        line.strip_prefix("stat::number_of_executed_units:")?
            .trim()
            .parse::<u64>()
            .ok()
    });
    match executions {
        Some(count) if finished.status.success() && count > 0 => Ok(format!("{target} {count}")),
        _ => {
            let tail: Vec<&str> = finished.stderr.lines().rev().take(60).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            bail!("fuzz target {target} failed:\n{}", tail.join("\n"))
        }
    }
}

/// cargo-fuzz needs unstable flags for the sanitizer. The pinned stable compiler takes them when told.
fn cargo_fuzz(task: &str) -> Result<Run> {
    let program = tools::cargo_tool(tools::CARGO_FUZZ)?;
    Ok(Run::new(program)
        .args(["fuzz", task])
        .env("RUSTC_BOOTSTRAP", "1")
        .dir(crate::workspace()?))
}
