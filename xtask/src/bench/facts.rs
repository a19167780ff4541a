//! Facts with which the numbers must be read: the machine, the root, the versions of the tools.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::bench::sample::Variables;
use crate::run::Run;

#[derive(Debug)]
pub struct Facts {
    revision: String,
    machine: String,
    load: String,
    entries: u64,
    files: u64,
    bytes: u64,
    cores: u32,
    sha256_bytes_per_s: f64,
    versions: Vec<String>,
    /// Of the sealed root: bytes of `tree.zst` and the number of its entries.
    tree: Option<(u64, u64)>,
    /// Critical content: its files and its bytes.
    critical: Option<(u64, u64)>,
}

const VERSIONS: &[&str] = &[
    "aide --version 2>&1 | head -1",
    "dpkg-query -W -f 'mtree-netbsd ${Version}\n' mtree-netbsd",
    "sha256sum --version | head -1",
    "hashdeep -V | sed 's/^/hashdeep /'",
    "bsdtar --version",
    "fsverity --version",
    "openssl version",
    "\"$B3SUM\" --version",
    "find --version | head -1",
];

impl Facts {
    pub fn collect(variables: &Variables) -> Result<Self> {
        let sh = |line: &str| shell(line, variables);
        let number = |line: &str| -> Result<u64> {
            let answer = sh(line)?;
            answer
                .trim()
                .parse()
                .with_context(|| format!("`{line}` says \"{}\"", answer.trim()))
        };
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            let line = cpu.lines().find(|line| line.starts_with(name))?;
            line.split_once(':')
                .map(|(_, value)| value.trim().to_owned())
        };
        let flags = field("flags").unwrap_or_default();
        let sha_ni = if flags.split(' ').any(|flag| flag == "sha_ni") {
            "with"
        } else {
            "without"
        };
        let memory = sh("sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo")?;
        let memory_gib = memory.trim().parse::<f64>().unwrap_or(0.0) / 1024.0 / 1024.0;
        let cores = u32::try_from(std::thread::available_parallelism()?.get())?;
        let machine = format!(
            "{}, {cores} cores, {sha_ni} SHA-NI, {memory_gib:.0} GiB, kernel {}, {}",
            field("model name").unwrap_or_else(|| "CPU of an unnamed model".to_owned()),
            sh("uname -r")?.trim(),
            sh("findmnt -n -o FSTYPE --target \"$ROOT\"")?.trim(),
        );
        let versions = VERSIONS.iter().map(|line| Ok(sh(line)?.trim().to_owned()));
        Ok(Self {
            revision: revision(),
            machine,
            load: fs::read_to_string("/proc/loadavg")?
                .split(' ')
                .take(2)
                .collect::<Vec<_>>()
                .join(" "),
            entries: number("find \"$ROOT\" -xdev -printf x | wc -c")?,
            files: number("tr -cd '\\0' < \"$WORK/files0\" | wc -c")?,
            bytes: number(
                "find \"$ROOT\" -xdev -type f -printf '%s\\n' | awk '{s+=$1} END {printf \"%.0f\", s}'",
            )?,
            cores,
            sha256_bytes_per_s: sha256_rate(&sh(
                "openssl speed -mr -elapsed -seconds 2 -bytes 65536 -evp sha256 2>/dev/null",
            )?)?,
            versions: versions.collect::<Result<_>>()?,
            tree: None,
            critical: None,
        })
    }

    /// Adds the facts of the sealed root: the size of its tree, the cost of its critical content.
    pub fn add_seal(&mut self, root: &Path, variables: &Variables) -> Result<()> {
        let tree = root.join("usr/lib/earmark/seal/tree.zst");
        let tree_bytes = fs::metadata(&tree)
            .with_context(|| format!("failed to find \"{}\"", tree.display()))?
            .len();
        let verify = "\"$BIN/earmark-agent\" verify --gate critical --json --root \"$ROOT\"";
        let report: Verification = serde_json::from_str(&shell(verify, variables)?)
            .context("failed to understand what the agent reports as JSON")?;
        self.tree = Some((tree_bytes, report.counts.entries));
        self.critical = Some((report.counts.files_read, report.counts.bytes_read));
        Ok(())
    }

    pub fn hash_all_s(&self) -> f64 {
        self.hash_s(self.bytes)
    }

    /// Seconds to hash the critical content on all cores.
    pub fn critical_hash_s(&self) -> Option<f64> {
        self.critical.map(|(_, bytes)| self.hash_s(bytes))
    }

    /// Critical content in words, beside all of it.
    pub fn critical_markdown(&self) -> Option<String> {
        let (files, bytes) = self.critical?;
        Some(format!(
            "{files} of {} files, {:.2} of {:.2} GB",
            self.files,
            float(bytes) / 1e9,
            float(self.bytes) / 1e9
        ))
    }

    pub fn tree_bytes_per_entry(&self) -> Option<f64> {
        self.tree
            .map(|(bytes, entries)| float(bytes) / float(entries))
    }

    pub fn markdown(&self) -> String {
        let mut text = format!(
            "- Revision: {}.\n- Machine: {}. Load when it began: {}.\n- Root: {} entries, {} regular files, {:.2} GB \
             (`cargo xtask roots server`).\n- SHA-256 on one core: {:.2} GB/s (openssl, 64 KiB).\n- ",
            self.revision,
            self.machine,
            self.load,
            self.entries,
            self.files,
            float(self.bytes) / 1e9,
            self.sha256_bytes_per_s / 1e9,
        );
        let _ = writeln!(text, "Versions: {}.\n", self.versions.join("; "));
        text
    }

    fn hash_s(&self, bytes: u64) -> f64 {
        float(bytes) / (f64::from(self.cores) * self.sha256_bytes_per_s)
    }
}

/// Returns the measured revision, as `git describe` names it; `unknown` for a source tree without git.
fn revision() -> String {
    let describe = || {
        let describe = Run::words("git describe --always --dirty --abbrev=12");
        describe.dir(crate::workspace()?).quiet().output()
    };
    describe().map_or_else(|_| "unknown".to_owned(), |said| said.trim().to_owned())
}

/// Part of the agent's report that we read.
#[derive(Deserialize)]
struct Verification {
    counts: Counts,
}

#[derive(Deserialize)]
struct Counts {
    entries: u64,
    files_read: u64,
    bytes_read: u64,
}

/// A shell line's standard output.
pub fn shell(line: &str, variables: &Variables) -> Result<String> {
    let mut run = Run::new("sh").args(["-e", "-c", line]).quiet();
    for (name, value) in variables {
        run = run.env(name, value);
    }
    run.output()
}

/// From `openssl speed -mr`: the last field of the line `+F:22:sha256:1767000000.00`.
fn sha256_rate(text: &str) -> Result<f64> {
    let line = text.lines().find(|line| line.starts_with("+F:"));
    let rate = line.and_then(|line| line.rsplit(':').next()?.trim().parse().ok());
    rate.context("failed to find a rate in what `openssl speed -mr` said")
}

#[expect(
    clippy::cast_precision_loss,
    reason = "sizes and counts here are far below 2^52"
)]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "the value is exact in binary")]
    fn openssl_speed_sha256_rate_is_parsed() {
        assert_eq!(
            sha256_rate("+H:65536\n+F:22:sha256:1767000000.00\n").unwrap(),
            1_767_000_000.0
        );
        assert!(sha256_rate("nothing").is_err());
    }
}
