//! Cost of a look at a fleet: reports of many hosts in a directory, and in a store, summarised.

mod store;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use earmark_tests::fleet::{Fleet, report};
use serde_json::{Value, json};

use self::store::Store;
use crate::bench::sample::{self, Sample, Variables, spread};
use crate::{apt, tools};

/// Numbers of hosts: twice as many show what one more costs.
const HOSTS: [u32; 3] = [25_000, 50_000, 100_000];
/// Answer times of a store, in milliseconds: AWS's guide to S3 speaks of 100 ms and more; and much less than that.
const ANSWER_MS: [u64; 2] = [100, 20];
const LINE: &str = "\"$BIN/earmark\" fleet status --reports \"$REPORTS\" --channel \"$WORK/stable.json\" \
    --trust \"$WORK/c.toml\" --silent-after 1d";

/// Makes reports, looks at them `runs` times, and writes what it cost.
pub fn run(runs: u32, out: &Path) -> Result<()> {
    apt::need(&["time"], "GNU time")?;
    let programs = tools::program("earmark")?;
    earmark_tests::use_programs(&programs);
    let fleet = Fleet::new(&["1.4.0", "1.5.0"]);
    let work = fleet.bench.path("");
    let reports = fleet.bench.path("reports");
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    let (mut local, mut remote) = (String::new(), String::new());
    let (mut made, mut bytes) = (0, 0);
    for hosts in HOSTS {
        bytes += make(&reports, made..hosts)?;
        made = hosts;
        let variables = |at: &std::ffi::OsStr| {
            [
                ("BIN", programs.clone().into_os_string()),
                ("REPORTS", at.to_owned()),
                ("WORK", work.clone().into_os_string()),
            ]
        };
        // Round 0 fills the cache.
        let samples = look(hosts, runs + 1, &variables(reports.as_os_str()), &work)?;
        let warm = cost(hosts, samples.get(1..).unwrap_or_default());
        let _ = writeln!(local, "| {hosts} | {} MB | {warm} |", bytes / 1_000_000);

        // One that is slow, and one that refuses what is asked too fast.
        for answer_ms in ANSWER_MS {
            let store = Store::start(&reports, Duration::from_millis(answer_ms))?;
            let mut variables = variables(store::URL.as_ref()).to_vec();
            variables.extend(
                [
                    ("AWS_ENDPOINT_URL", store.endpoint.as_str()),
                    ("AWS_REGION", "eu-central-1"),
                    ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
                    ("AWS_SECRET_ACCESS_KEY", "secret"),
                ]
                .map(|(name, value)| (name, value.into())),
            );
            let samples = look(hosts, runs, &variables, &work)?;
            let [requests, refused, most] = store.requests();
            let wall = spread(&samples, |sample| sample.wall_s).median;
            let [requests, refused] = [requests, refused].map(|number| number / samples.len());
            let _ = writeln!(
                remote,
                "| {answer_ms} ms | {hosts} | {requests} | {refused} | {most} | {:.0} | {} |",
                f64::from(u32::try_from(requests)?) / wall,
                cost(hosts, &samples)
            );
        }
    }
    let text = format!(
        "# The cost of a look at a fleet\n\n\
         Written by `cargo xtask bench --fleet`: `earmark fleet status` on reports as hosts write them, each with an\n\
         identity document and bytes in the place of its signature. Median (min to max).\n\n\
         - {cores} cores; load when it began: {load}; {runs} runs each.\n\n\
         In a directory, with a warm page cache:\n\n\
         | hosts | bytes | {COST} |\n|---|---|{RULE}\n{local}\n\
         In a store that is asked as S3 is, on the same machine, which takes its time for each answer, and refuses more than\n\
         {} requests a second:\n\n\
         | answers after | hosts | requests | refused | at once | a second | {COST} |\n|---|---|---|---|---|---|{RULE}\n{remote}",
        store::RATE
    );
    println!("{text}");
    fs::write(out, &text).with_context(|| format!("failed to write \"{}\"", out.display()))
}

/// Looks as often.
fn look(hosts: u32, times: u32, variables: &Variables, work: &Path) -> Result<Vec<Sample>> {
    let look = |round| {
        let sample = sample::take(LINE, variables, work)?;
        eprintln!(
            "    {hosts} hosts {round}/{times}  {:>8.3} s",
            sample.wall_s
        );
        Ok(sample)
    };
    (1..=times).map(look).collect()
}

const COST: &str = "wall s | CPU s | peak MiB | CPU µs a host";
const RULE: &str = "---|---|---|---|";

fn cost(hosts: u32, samples: &[Sample]) -> String {
    let wall = spread(samples, |sample| sample.wall_s);
    let cpu = spread(samples, |sample| sample.cpu_s);
    let peak = spread(samples, |sample| sample.peak_mib);
    format!(
        "{:.2} ({:.2} to {:.2}) | {:.2} | {:.0} | {:.1}",
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
