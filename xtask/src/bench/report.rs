//! Results of the measurements, as Markdown: for the terminal and for `docs/benchmarks.md`.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail};

use crate::bench::contestants::{self, Contestant, Role};
use crate::bench::facts::Facts;
use crate::bench::sample::{Sample, Spread, spread};

/// The samples of each contestant that ran, in the order of the table.
pub type Results = Vec<(&'static Contestant, Vec<Sample>)>;

/// The gate critical of revision 5a08be272c1a on this root and this kind of machine, as the benchmarks of then have it.
const BY_HAND: &str = "| a list by hand (revision 5a08be272c1a, measured then, which left out what runs before ready) | 0.32 | 0.80 |\n";

/// Warm and cold results, and what the numbers must be read with.
#[derive(Debug)]
pub struct Report {
    pub facts: Facts,
    pub warm: Results,
    pub cold: Results,
}

impl Report {
    pub fn markdown(&self) -> String {
        let mut text =
            "# Benchmarks\n\nWritten by `cargo xtask bench`, all of it in one run on one \
             machine; quote the ratios, not the seconds.\n\n"
                .to_owned();
        text += &self.facts.markdown();
        text += &table("Warm page cache", &self.warm);
        text += &table("Cold: page cache dropped before each run", &self.cold);
        text += &self.bound_markdown();
        text += &self.critical_markdown();
        text += &self.claims_markdown();
        text += &self.lines_markdown();
        text
    }

    /// Reading, hashing on every core, and a walk, one after the other.
    fn bound_s(&self) -> Option<f64> {
        let read = median(&self.warm, contestants::READ)?;
        let walk = median(&self.warm, contestants::WALK)?;
        Some(read + self.facts.hash_all_s() + walk)
    }

    fn bound_markdown(&self) -> String {
        let Some(bound) = self.bound_s() else {
            return String::new();
        };
        format!(
            "## The bound\n\nReading alone, plus bytes / (cores x SHA-256 rate) = {:.2} s, plus a \
             bare walk: **{bound:.2} s** warm.\n\n",
            self.facts.hash_all_s()
        )
    }

    /// The cost of the derived critical set beside that of the list by hand that was before it, which only a past
    /// revision can be measured with.
    fn critical_markdown(&self) -> String {
        let Some(content) = self.facts.critical_markdown() else {
            return String::new();
        };
        let seconds = |results| median(results, contestants::CRITICAL);
        let mut text = format!(
            "## The gate critical\n\nThe set is derived from the image ([ADR 15](adr/0015-derived-critical-set.md)): \
             {content} of this root.\n\n| | warm s | cold s |\n|---|---|---|\n"
        );
        let cell = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
        let _ = writeln!(
            text,
            "| derived | {} | {} |",
            cell(seconds(&self.warm)),
            cell(seconds(&self.cold))
        );
        text + BY_HAND + "\n"
    }

    fn claims_markdown(&self) -> String {
        let claims = self.claims();
        if claims.is_empty() {
            return String::new();
        }
        let mut text =
            "## What is claimed\n\nThe memory of the largest and of hostile roots: [bounds.md](bounds.md).\n\n| claim | at most | measured | |\n|---|---|---|---|\n"
                .to_owned();
        for (claim, limit, measured, unit) in claims {
            let verdict = if measured <= limit {
                "met"
            } else {
                "**not met**"
            };
            let _ = writeln!(
                text,
                "| {claim} | {limit}{unit} | {measured:.2}{unit} | {verdict} |"
            );
        }
        text + "\n"
    }

    /// Claim, limit, measured value, unit; only those whose contestants ran.
    fn claims(&self) -> Vec<(String, f64, f64, &'static str)> {
        let warm = |name| median(&self.warm, name);
        let cold = |name| median(&self.cold, name);
        let mut claims = Vec::new();
        let mut claim = |text: &str, limit: f64, measured: Option<f64>, unit| {
            claims.extend(measured.map(|measured| (text.to_owned(), limit, measured, unit)));
        };
        let ratio = |a: Option<f64>, b: Option<f64>| Some(a? / b?);
        let full = warm(contestants::FULL);
        for (peer, limit) in [
            (contestants::AIDE, 0.1),
            (contestants::HASHDEEP, 0.25),
            (contestants::OPENSSL, 0.75),
        ] {
            let text = format!("warm: full verification / {peer}");
            claim(&text, limit, ratio(full, warm(peer)), "");
        }
        claim(
            "warm: full verification / the bound",
            1.15,
            ratio(full, self.bound_s()),
            "",
        );
        let peers = [
            contestants::AIDE,
            contestants::MTREE,
            contestants::HASHDEEP,
            contestants::B3SUM,
            contestants::OPENSSL,
        ];
        let best = peers.into_iter().filter_map(cold).min_by(f64::total_cmp);
        claim(
            "cold: full verification / the best of aide, mtree, hashdeep, b3sum, openssl",
            0.5,
            ratio(cold(contestants::FULL), best),
            "",
        );
        claim(
            "warm: seal / full verification",
            1.8,
            ratio(warm(contestants::SEAL), full),
            "",
        );
        let signature_ms = warm(contestants::SIGNATURE).map(|wall_s| wall_s * 1000.0);
        claim("warm: gate signature", 20.0, signature_ms, " ms");
        let critical_s = self.facts.critical_hash_s();
        let allowed = warm(contestants::WALK)
            .zip(critical_s)
            .map(|(walk, hash)| walk + hash);
        claim(
            "warm: gate critical / (bare walk + hashing the critical content)",
            1.0,
            ratio(warm(contestants::CRITICAL), allowed),
            "",
        );
        claim(
            "peak memory of a full verification",
            64.0,
            peak(&self.warm, contestants::FULL),
            " MiB",
        );
        claim(
            "stored tree, bytes an entry",
            90.0,
            self.facts.tree_bytes_per_entry(),
            "",
        );
        claims
    }

    fn lines_markdown(&self) -> String {
        let mut text =
            "## Command lines\n\n`$ROOT` is the root, `$WORK` a scratch directory, `$BIN` \
             the programs; `files0` names the regular files.\n\n```sh\n"
                .to_owned();
        for (contestant, _) in &self.warm {
            let _ = writeln!(text, "# {}", contestant.name);
            for line in [contestant.prepare, contestant.line]
                .iter()
                .filter(|line| !line.is_empty())
            {
                let _ = writeln!(text, "{line}");
            }
        }
        text + "```\n"
    }
}

fn table(title: &str, results: &Results) -> String {
    if results.is_empty() {
        return String::new();
    }
    let full = median(results, contestants::FULL);
    let mut text = format!(
        "## {title}\n\n| | wall s (min to max) | CPU s | peak MiB | wall, of a full verification |\n|---|---|---|---|---|\n"
    );
    for (contestant, samples) in results {
        let wall = spread(samples, |sample| sample.wall_s);
        let cpu = spread(samples, |sample| sample.cpu_s);
        let peak = spread(samples, |sample| sample.peak_mib);
        let ratio = full.map_or("-".to_owned(), |full| format!("{:.2}", wall.median / full));
        let name = match contestant.role {
            Role::Ours => format!("**{}**", contestant.name),
            Role::Peer => contestant.name.to_owned(),
            Role::Part => format!("_{}_", contestant.name),
        };
        let _ = writeln!(
            text,
            "| {name} | {} | {:.2} | {:.0} | {ratio} |",
            seconds(wall),
            cpu.median,
            peak.max
        );
    }
    text + "\n"
}

fn samples<'a>(results: &'a Results, name: &str) -> Option<&'a [Sample]> {
    results
        .iter()
        .find(|(contestant, _)| contestant.name == name)
        .map(|(_, samples)| &samples[..])
}

/// Refuses results with a peer that was done before a bare walk is: it looked at nothing, as one does that does not
/// understand its configuration and says so with an exit code of its own.
pub fn refuse_idle_peers(warm: &Results) -> Result<()> {
    let walk = median(warm, contestants::WALK).context("the bare walk was not measured")?;
    for (contestant, _) in warm {
        let wall_s = median(warm, contestant.name).unwrap_or_default();
        if contestant.role == Role::Peer && wall_s < walk {
            bail!(
                "'{}' took {wall_s:.3} s, and a bare walk {walk:.3} s: it looked at nothing",
                contestant.name
            );
        }
    }
    Ok(())
}

fn median(results: &Results, name: &str) -> Option<f64> {
    samples(results, name).map(|samples| spread(samples, |sample| sample.wall_s).median)
}

fn peak(results: &Results, name: &str) -> Option<f64> {
    samples(results, name).map(|samples| spread(samples, |sample| sample.peak_mib).max)
}

fn seconds(wall: Spread) -> String {
    let digits = if wall.median < 0.1 { 4 } else { 2 };
    format!(
        "{:.digits$} ({:.digits$} to {:.digits$})",
        wall.median, wall.min, wall.max
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_faster_than_a_bare_walk_is_refused() {
        let of = |name: &str| {
            let mut all = contestants::ALL.iter();
            all.find(|contestant| contestant.name == name).unwrap()
        };
        let results = |aide_s: f64| {
            let sample = |wall_s| Sample {
                wall_s,
                cpu_s: 0.0,
                peak_mib: 0.0,
            };
            vec![
                (of(contestants::WALK), vec![sample(0.3)]),
                (of(contestants::AIDE), vec![sample(aide_s)]),
                (of(contestants::SIGNATURE), vec![sample(0.01)]),
            ]
        };
        refuse_idle_peers(&results(30.0)).unwrap();
        let refused = refuse_idle_peers(&results(0.005)).unwrap_err().to_string();
        assert!(refused.contains(contestants::AIDE), "{refused}");
        assert!(refuse_idle_peers(&Vec::new()).is_err());
    }
}
