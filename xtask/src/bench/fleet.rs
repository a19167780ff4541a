//! What it costs to look at a fleet: reports of many hosts in a directory, summarised.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use earmark_tests::fleet::{Fleet, report};
use serde_json::{Value, json};

use crate::bench::sample::{self, Sample, spread};
use crate::{apt, tools};

/// How many hosts: twice as many show what one more costs.
const HOSTS: [u32; 3] = [25_000, 50_000, 100_000];
const LINE: &str = "\"$BIN/earmark\" fleet status --reports \"$REPORTS\" --channel \"$WORK/stable.json\" \
    --trust \"$WORK/c.toml\" --silent-after 1d";

/// Makes reports, looks at them `runs` times, and writes what it cost.
pub fn run(runs: u32, out: &Path) -> Result<()> {
    apt::need(&["time"], "GNU time")?;
    let programs = tools::program("earmark")?;
    let fleet = Fleet::new(&["1.4.0", "1.5.0"]);
    let mut text = "# The cost of a look at a fleet\n\n\
        Written by `cargo xtask bench --fleet`: `earmark fleet status` on a directory of reports as hosts write them, each\n\
        with an identity document and bytes in the place of its signature; warm page cache. Median (min to max).\n\n"
        .to_owned();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    let _ = writeln!(
        text,
        "- {cores} cores; load when it began: {load}; {runs} runs each.\n"
    );
    text += "| hosts | bytes | wall s | CPU s | peak MiB | CPU µs a host |\n|---|---|---|---|---|---|\n";
    let reports = fleet.bench.path("reports");
    let mut made = 0;
    let mut bytes = 0;
    for hosts in HOSTS {
        bytes += make(&reports, made..hosts)?;
        made = hosts;
        let variables = [
            ("BIN", programs.clone().into_os_string()),
            ("REPORTS", reports.clone().into_os_string()),
            ("WORK", fleet.bench.path("").into_os_string()),
        ];
        let mut samples = Vec::new();
        for round in 0..=runs {
            let sample = sample::take(LINE, &variables, &fleet.bench.path(""))?;
            eprintln!("    {hosts} hosts {round}/{runs}  {:>8.3} s", sample.wall_s);
            // Round 0 fills the cache.
            if round > 0 {
                samples.push(sample);
            }
        }
        text += &row(hosts, bytes, &samples);
    }
    println!("{text}");
    fs::write(out, &text).with_context(|| format!("failed to write \"{}\"", out.display()))
}

fn row(hosts: u32, bytes: u64, samples: &[Sample]) -> String {
    let wall = spread(samples, |sample| sample.wall_s);
    let cpu = spread(samples, |sample| sample.cpu_s);
    let peak = spread(samples, |sample| sample.peak_mib);
    format!(
        "| {hosts} | {} MB | {:.2} ({:.2} to {:.2}) | {:.2} | {:.0} | {:.1} |\n",
        bytes / 1_000_000,
        wall.median,
        wall.min,
        wall.max,
        cpu.median,
        peak.max,
        cpu.median * 1e6 / f64::from(hosts)
    )
}

/// Reports of hosts with these numbers; one in ten is behind. Returns how many bytes they have.
fn make(reports: &Path, numbers: std::ops::Range<u32>) -> Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut bytes = 0;
    for number in numbers {
        let instance = format!("i-{number:017x}");
        let version = if number % 10 == 0 { "1.4.0" } else { "1.5.0" };
        let change = json!({"time": now, "ec2": identity(&instance)});
        let (name, line) = report(&instance, version, change);
        if line.len() > 4096 {
            bail!("a report of {} bytes is none", line.len());
        }
        bytes += u64::try_from(line.len())?;
        fs::write(reports.join(name), line)?;
    }
    Ok(bytes)
}

fn identity(instance: &str) -> Value {
    let document = json!({
        "accountId": "123456789012", "architecture": "x86_64", "availabilityZone": "eu-central-1a",
        "billingProducts": null, "devpayProductCodes": null, "marketplaceProductCodes": null,
        "imageId": "ami-0123456789abcdef0", "instanceId": instance, "instanceType": "m7i.large",
        "kernelId": null, "pendingTime": "2026-11-23T00:00:00Z", "privateIp": "10.0.0.1",
        "ramdiskId": null, "region": "eu-central-1", "version": "2017-09-30",
    });
    // As long as the signature is.
    json!({
        "region": "eu-central-1", "account": "123456789012", "ami": "ami-0123456789abcdef0",
        "document": document.to_string(), "signature": "MIAG".repeat(400),
    })
}
