//! One timed run, and what several of them say together.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::run::Run;

/// Cost of one run: wall-clock and processor time in seconds, peak memory in MiB.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub wall_s: f64,
    pub cpu_s: f64,
    pub peak_mib: f64,
}

/// Names and values for the shell lines: `ROOT`, `WORK`, `BIN`.
pub type Variables = [(&'static str, std::ffi::OsString)];

/// Runs the shell line once under GNU time.
pub fn take(line: &str, variables: &Variables, scratch: &Path) -> Result<Sample> {
    let usage = scratch.join("usage");
    let mut run = Run::words("/usr/bin/time --format %U,%S,%M --output").quiet();
    run = run.arg(&usage).args(["sh", "-c", line]);
    for (name, value) in variables {
        run = run.env(name, value);
    }
    let start = Instant::now();
    let finished = run.capture()?;
    let wall_s = start.elapsed().as_secs_f64();
    if !finished.status.success() {
        bail!(
            "`{line}` exits {}: {}{}",
            finished.code(),
            finished.stdout,
            finished.stderr
        );
    }
    let text = std::fs::read_to_string(&usage).context("failed to read what GNU time wrote")?;
    let numbers: Vec<f64> = text
        .trim()
        .split(',')
        .filter_map(|part| part.parse().ok())
        .collect();
    let [user_s, system_s, peak_kib] = numbers[..] else {
        bail!(
            "GNU time wrote \"{}\" instead of three numbers",
            text.trim()
        );
    };
    Ok(Sample {
        wall_s,
        cpu_s: user_s + system_s,
        peak_mib: peak_kib / 1024.0,
    })
}

/// Empties the page cache, so that the next run reads from the disk.
pub fn drop_caches() -> Result<()> {
    Run::new("sync").quiet().step()?;
    std::fs::write("/proc/sys/vm/drop_caches", "3\n")
        .context("failed to drop the page cache, which needs root on the machine itself")
}

/// Median, least and greatest of a quantity.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

/// The spread of `quantity` over `samples`, of which there is at least one.
pub fn spread(samples: &[Sample], quantity: fn(&Sample) -> f64) -> Spread {
    let mut values: Vec<f64> = samples.iter().map(quantity).collect();
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    let middle = values.len() / 2;
    let median = if values.len() % 2 == 1 {
        at(middle)
    } else {
        f64::midpoint(at(middle.wrapping_sub(1)), at(middle))
    };
    Spread {
        median,
        min: at(0),
        max: at(values.len().wrapping_sub(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walls(walls: &[f64]) -> Vec<Sample> {
        walls
            .iter()
            .map(|wall_s| Sample {
                wall_s: *wall_s,
                cpu_s: 0.0,
                peak_mib: 0.0,
            })
            .collect()
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "the values are exact in binary")]
    fn spread_gives_min_median_and_max() {
        let odd = spread(&walls(&[3.0, 1.0, 2.0]), |sample| sample.wall_s);
        assert_eq!((odd.min, odd.median, odd.max), (1.0, 2.0, 3.0));
        assert_eq!(
            spread(&walls(&[1.0, 2.0]), |sample| sample.wall_s).median,
            1.5
        );
    }
}
