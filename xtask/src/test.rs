//! Everything that CI runs, in tiers. A tier that cannot run fails; none is skipped silently.

mod imports;
mod library;
mod prose;
pub mod steps;
mod wording;

use std::time::Instant;

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::run::Run;
use crate::{bless, budget, fuzz, prepare};

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
    /// All of the above
    All,
}

/// Tiers that `all` runs, in this order.
const ALL: &[Tier] = &[Tier::Fast, Tier::Fuzz, Tier::Privileged, Tier::Vm];

struct Step {
    tier: Tier,
    name: &'static str,
    run: fn() -> Result<String>,
}

const STEPS: &[Step] = &[
    Step {
        tier: Tier::Fast,
        name: "fmt",
        run: steps::fmt,
    },
    Step {
        tier: Tier::Fast,
        name: "clippy",
        run: steps::clippy,
    },
    Step {
        tier: Tier::Fast,
        name: "doc",
        run: steps::doc,
    },
    Step {
        tier: Tier::Fast,
        name: "prose",
        run: prose::check,
    },
    Step {
        tier: Tier::Fast,
        name: "wording of tests",
        run: wording::check,
    },
    Step {
        tier: Tier::Fast,
        name: "imports",
        run: imports::check,
    },
    Step {
        tier: Tier::Fast,
        name: "unit tests",
        run: steps::unit_tests,
    },
    Step {
        tier: Tier::Fast,
        name: "manifest as a library",
        run: library::check,
    },
    Step {
        tier: Tier::Fast,
        name: "licences, bans, sources",
        run: steps::deny,
    },
    Step {
        tier: Tier::Fast,
        name: "advisories",
        run: steps::advisories,
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
        name: "unit tests of scan on aarch64",
        run: steps::aarch64,
    },
    Step {
        tier: Tier::Privileged,
        name: "privileged tests",
        run: steps::privileged,
    },
    Step {
        tier: Tier::Vm,
        name: "vm tests",
        run: steps::vm,
    },
];

/// Runs the steps of the tier, all of them even when one fails, and sums up.
pub fn run(args: &Args) -> Result<()> {
    bless::refuse_blessing()?;
    let tiers = if args.tier == Tier::All {
        ALL
    } else {
        &[args.tier]
    };
    let before = checkout();
    let _beside = (args.tier == Tier::All).then(prepare::beside);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tier_has_a_step_and_is_in_all() {
        for tier in Tier::value_variants()
            .iter()
            .filter(|tier| **tier != Tier::All)
        {
            assert!(STEPS.iter().any(|step| step.tier == *tier), "{tier:?}");
            assert!(ALL.contains(tier), "{tier:?}");
        }
    }
}
