//! Everything that CI runs, in tiers. A tier that cannot run fails; none is skipped silently.

use std::time::Instant;

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::run::{Run, is_root};
use crate::{apt, budget, fuzz, roots, tools};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which tier to run
    #[arg(long, value_enum, default_value_t = Tier::All)]
    tier: Tier,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tier {
    /// Formatting, lints, docs, unit tests, licences, budget: no root needed
    Fast,
    /// Each fuzz target for a minute
    Fuzz,
    /// Real Debian roots, others' tools, containers: needs root
    Privileged,
    /// Boots of virtual machines
    Vm,
    /// Fast, fuzz and privileged
    All,
}

/// What `all` runs, in this order. `Vm` joins it with the first `vm_` test.
const ALL: &[Tier] = &[Tier::Fast, Tier::Fuzz, Tier::Privileged];

struct Step {
    tier: Tier,
    name: &'static str,
    run: fn() -> Result<String>,
}

const STEPS: &[Step] = &[
    Step {
        tier: Tier::Fast,
        name: "fmt",
        run: fmt,
    },
    Step {
        tier: Tier::Fast,
        name: "clippy",
        run: clippy,
    },
    Step {
        tier: Tier::Fast,
        name: "doc",
        run: doc,
    },
    Step {
        tier: Tier::Fast,
        name: "unit tests",
        run: unit_tests,
    },
    Step {
        tier: Tier::Fast,
        name: "licences, bans, sources",
        run: deny,
    },
    Step {
        tier: Tier::Fast,
        name: "advisories",
        run: advisories,
    },
    Step {
        tier: Tier::Fast,
        name: "budget",
        run: budget::check,
    },
    Step {
        tier: Tier::Fuzz,
        name: "fuzz smoke",
        run: fuzz::smoke,
    },
    Step {
        tier: Tier::Privileged,
        name: "privileged tests",
        run: privileged,
    },
    Step {
        tier: Tier::Vm,
        name: "vm tests",
        run: vm,
    },
];

/// Runs the steps of the tier, all of them even when one fails, and sums up.
pub fn run(args: &Args) -> Result<()> {
    let tiers = if args.tier == Tier::All {
        ALL
    } else {
        &[args.tier]
    };
    let before = checkout();
    let mut summary = Vec::new();
    let mut failed = 0;
    for tier in tiers {
        let tier_start = Instant::now();
        for step in STEPS.iter().filter(|step| step.tier == *tier) {
            eprintln!("==> {}", step.name);
            let start = Instant::now();
            let (word, detail) = match (step.run)() {
                Ok(detail) => ("ok", detail),
                Err(error) => {
                    failed += 1;
                    eprintln!("{}: {error:#}", step.name);
                    (
                        "FAILED",
                        error
                            .to_string()
                            .lines()
                            .next()
                            .unwrap_or_default()
                            .to_owned(),
                    )
                }
            };
            let seconds = start.elapsed().as_secs();
            summary.push(format!("{word:<7} {seconds:>5} s  {}: {detail}", step.name));
        }
        summary.push(format!(
            "        {:>5} s  tier {tier:?}",
            tier_start.elapsed().as_secs()
        ));
    }
    // Generated files are committed: a run that changes one shows that it was stale.
    if checkout() == before {
        summary.push("ok               checkout: unchanged by this run".to_owned());
    } else {
        failed += 1;
        summary.push("FAILED           checkout: this run changed files (git status)".to_owned());
    }
    println!("\n{}", summary.join("\n"));
    if failed > 0 {
        bail!("{failed} of the steps above failed");
    }
    Ok(())
}

/// State of the checkout; of a source tree without git, nothing.
fn checkout() -> Option<String> {
    let root = crate::workspace().ok()?;
    let status = Run::words("git status --porcelain")
        .dir(root)
        .quiet()
        .output()
        .ok()?;
    let diff = Run::words("git diff HEAD --raw --no-abbrev")
        .dir(root)
        .quiet()
        .output()
        .ok()?;
    Some(status + &diff)
}

fn fmt() -> Result<String> {
    done(tools::cargo("fmt --all --check"))
}

fn clippy() -> Result<String> {
    done(tools::cargo(
        "clippy --workspace --all-targets --locked --quiet -- -D warnings",
    ))
}

fn doc() -> Result<String> {
    let doc = tools::cargo("doc --workspace --no-deps --document-private-items --locked --quiet");
    done(doc.env("RUSTDOCFLAGS", "-Dwarnings"))
}

fn unit_tests() -> Result<String> {
    let tests = "test --workspace --locked --quiet -- --skip privileged_ --skip vm_";
    counted(tools::cargo(tests))
}

fn deny() -> Result<String> {
    let deny = Run::new(tools::cargo_tool(tools::CARGO_DENY)?).dir(crate::workspace()?);
    done(deny.args(["--locked", "check", "licenses", "bans", "sources"]))
}

/// Known vulnerabilities need a database, which needs a network that CI may not have.
fn advisories() -> Result<String> {
    let Some(database) = std::env::var_os("EARMARK_ADVISORY_DB") else {
        return Ok(
            "NOT CHECKED: EARMARK_ADVISORY_DB names no copy of the advisory database".into(),
        );
    };
    let config = crate::state_dir()?.join("deny-advisories.toml");
    let dir = database.to_string_lossy();
    std::fs::write(&config, format!("[advisories]\ndb-path = {dir:?}\n"))?;
    let deny = Run::new(tools::cargo_tool(tools::CARGO_DENY)?).dir(crate::workspace()?);
    done(
        deny.args(["--locked", "check", "--disable-fetch", "--config"])
            .arg(config)
            .arg("advisories"),
    )
}

fn privileged() -> Result<String> {
    real_tests("privileged_")
}

fn vm() -> Result<String> {
    real_tests("vm_")
}

/// Runs the tests whose names start so, with everything that they are promised; see `tests/`.
fn real_tests(prefix: &str) -> Result<String> {
    if !is_root() {
        bail!("the {prefix} tests need root: run `cargo xtask test` as root, or `--tier fast`");
    }
    apt::need(
        &[
            "acl",
            "attr",
            "e2fsprogs",
            "fsverity",
            "libcap2-bin",
            "mtree-netbsd",
            "openssl",
            "rpm",
            "systemd-container",
        ],
        "the tools that the tests compare with, and containers to boot roots in",
    )?;
    let tests = tools::cargo("test --package earmark-tests --locked --")
        .args([prefix, "--test-threads=2"])
        .env("EARMARK_BIN_DIR", tools::programs()?)
        .env("EARMARK_ROOT_SMALL", roots::root(roots::Kind::Small)?)
        .env("EARMARK_ROOT_SERVER", roots::root(roots::Kind::Server)?)
        .env("EARMARK_XTASK", std::env::current_exe()?)
        .env("EARMARK_PYTHON", tools::python()?);
    counted(tests)
}

fn done(run: Run) -> Result<String> {
    run.step().map(|()| "passed".to_owned())
}

/// Runs tests and counts them: a tier that ran nothing is red.
fn counted(run: Run) -> Result<String> {
    let line = run.line();
    let finished = run.tee()?;
    let count =
        |what: &str| -> u64 { finished.stdout.lines().map(|line| number(line, what)).sum() };
    let counts = format!(
        "{} passed, {} failed, {} ignored",
        count("passed"),
        count("failed"),
        count("ignored")
    );
    if !finished.status.success() {
        bail!("{counts}: `{line}`");
    }
    if count("passed") == 0 {
        bail!("no test ran: `{line}`");
    }
    Ok(counts)
}

/// The number before `what` in `test result: ok. 5 passed; 0 failed; 1 ignored; ...`.
fn number(line: &str, what: &str) -> u64 {
    let Some(counts) = line.strip_prefix("test result: ") else {
        return 0;
    };
    let parse = |part: &str| {
        let number = part.trim().strip_suffix(what)?.trim();
        number.rsplit(' ').next()?.parse().ok()
    };
    counts.split(';').find_map(parse).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_the_test_harness() {
        let line = "test result: ok. 15 passed; 0 failed; 2 ignored; 0 measured; 7 filtered out";
        assert_eq!([number(line, "passed"), number(line, "ignored")], [15, 2]);
        assert_eq!(number("test passed", "passed"), 0);
    }

    #[test]
    fn a_run_without_tests_is_red() {
        let nothing = Run::words("echo test result: ok. 0 passed; 0 failed; 0 ignored").quiet();
        assert!(
            counted(nothing)
                .unwrap_err()
                .to_string()
                .contains("no test ran")
        );
    }

    #[test]
    fn every_tier_has_a_step() {
        for tier in Tier::value_variants()
            .iter()
            .filter(|tier| **tier != Tier::All)
        {
            assert!(STEPS.iter().any(|step| step.tier == *tier), "{tier:?}");
        }
    }
}
