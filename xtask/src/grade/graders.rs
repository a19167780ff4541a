//! The graders: what each does on a host, and what its answer says.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use earmark_tests::boot::Seen;
use serde_json::Value;

use crate::run::Run;

/// Of the content for Debian.
const PROFILES: [&str; 2] = ["standard", "anssi_np_nt28_high"];
const CONTENT: &str = "/usr/share/xml/scap/ssg/content/ssg-debian11-ds.xml";

/// Lynis keeps its report in a file.
const LYNIS: &str = "lynis audit system --quiet --no-colors > /dev/null 2>&1
    grep -E '^(lynis_version|hardening_index|warning\\[\\]|suggestion\\[\\])' /var/log/lynis-report.dat";
/// The content that Debian 12 has is for Debian 11 and says of every rule that it is not for this host: it is
/// told otherwise, by mounts that it alone sees.
const DEBIAN_11: &str = "cd /tmp && echo 11.11 > debian_version &&
    sed 's/VERSION_ID=.*/VERSION_ID=\"11\"/; s/bookworm/bullseye/; s/Linux 12/Linux 11/' /usr/lib/os-release > os-release &&
    mount --bind os-release /usr/lib/os-release && mount --bind debian_version /etc/debian_version";

/// Grade of a host by one grader.
#[derive(Debug)]
pub struct Grade {
    /// Name of the grader and of its rules.
    pub name: String,
    /// Unit of the score, such as `rules passed`.
    pub unit: &'static str,
    pub score: String,
    /// The names of what it complains about, sorted.
    pub complaints: Vec<String>,
}

impl Grade {
    /// Returns the complaints of this grade that the other does not have.
    pub fn mended_in<'a>(&'a self, other: &Self) -> Vec<&'a str> {
        let is_mended = |name: &&String| !other.complaints.contains(name);
        let mended = self.complaints.iter().filter(is_mended);
        mended.map(String::as_str).collect()
    }
}

/// The steps of the observer of a boot.
pub fn look() -> String {
    let mut look = String::new();
    let mut step = |name: &str, command: &str| {
        let quoted = command.replace('\'', "'\\''");
        look.push_str(&format!("step {name} sh -c '{quoted}'\n"));
    };
    step("cmdline", "cat /proc/cmdline");
    step("sysctl", "sysctl --all 2> /dev/null");
    step("lynis", LYNIS);
    for profile in PROFILES {
        let eval = format!(
            "{DEBIAN_11} && oscap --version | head --lines=1 && \
             oscap xccdf eval --profile xccdf_org.ssgproject.content_profile_{profile} {CONTENT}"
        );
        let quoted = eval.replace('\'', "'\\''");
        step(profile, &format!("unshare --mount sh -c '{quoted}'"));
    }
    look
}

/// Returns the grades by all graders, always in the same order.
pub fn grades(seen: &Seen, root: &Path, checker: Option<&Path>) -> Result<Vec<Grade>> {
    let mut grades = vec![lynis(&seen.step("lynis").out)?];
    for profile in PROFILES {
        grades.push(openscap(profile, &seen.step(profile).out)?);
    }
    match checker {
        Some(checker) => grades.extend(kernel(seen, root, checker)?),
        None => eprintln!(
            "==> grade: kernel-hardening-checker is left out: no registry has it. Give a checkout of it \
             with --kernel-hardening-checker"
        ),
    }
    Ok(grades)
}

fn lynis(said: &str) -> Result<Grade> {
    let value = |name: &str| said.lines().find_map(|line| line.strip_prefix(name));
    let index = value("hardening_index=").context("Lynis gave no index")?;
    let mut complaints: Vec<String> = said
        .lines()
        .filter_map(|line| {
            line.strip_prefix("warning[]=")
                .or(line.strip_prefix("suggestion[]="))
        })
        .filter_map(|line| Some(line.split('|').next()?.to_owned()))
        .collect();
    complaints.sort();
    complaints.dedup();
    Ok(Grade {
        name: format!("Lynis {}", value("lynis_version=").unwrap_or_default()),
        unit: "hardening index of 100",
        score: index.to_owned(),
        complaints,
    })
}

/// `Rule` and `Result` lines, one after the other.
fn openscap(profile: &str, said: &str) -> Result<Grade> {
    let (mut passed, mut failed, mut other, mut rule) = (0, Vec::new(), 0, "");
    for line in said.lines() {
        match line.split_once('\t') {
            Some(("Rule", name)) => {
                rule = name
                    .strip_prefix("xccdf_org.ssgproject.content_rule_")
                    .unwrap_or(name);
            }
            Some(("Result", "pass")) => passed += 1,
            Some(("Result", "fail")) => failed.push(rule.to_owned()),
            Some(("Result", _)) => other += 1,
            _ => {}
        }
    }
    if passed + failed.len() == 0 {
        bail!("OpenSCAP judged nothing of the profile {profile}: {said}");
    }
    failed.sort();
    Ok(Grade {
        name: format!("OpenSCAP, `{profile}`"),
        unit: "rules passed",
        score: format!("{passed} of {} ({other} not judged)", passed + failed.len()),
        complaints: failed,
    })
}

/// It is for the kernel's own files, wherever they are read.
fn kernel(seen: &Seen, root: &Path, checker: &Path) -> Result<Vec<Grade>> {
    let dir = crate::state_dir()?.join("grade");
    fs::create_dir_all(&dir)?;
    let mut check = Run::new("/usr/bin/python3")
        .arg(checker.join("bin/kernel-hardening-checker"))
        .args(["--mode", "json", "--config"])
        .arg(config(root)?);
    for (option, step) in [("--cmdline", "cmdline"), ("--sysctl", "sysctl")] {
        let file = dir.join(step);
        // The steps of a boot end with an empty line, which is none of the kernel's.
        fs::write(&file, format!("{}\n", seen.step(step).out.trim()))?;
        check = check.arg(option).arg(file);
    }
    let said = check.finish()?.stdout;
    let items: Vec<Value> =
        serde_json::from_str(&said).with_context(|| format!("kernel-hardening-checker: {said}"))?;
    let of_kind = |kind: &str| {
        let of_kind = items.iter().filter(|item| item["type"] == kind);
        let (good, bad): (Vec<_>, Vec<_>) = of_kind.partition(|item| {
            let result = item["check_result"].as_str().unwrap_or_default();
            result.starts_with("OK")
        });
        let name = |item: &&Value| item["option_name"].as_str().unwrap_or_default().to_owned();
        // The other two are the kernel's and the machine's: no lock is about them.
        let is_ours = kind == "sysctl";
        let complaints = bad.iter().filter(|_| is_ours).map(name);
        let complaints: BTreeSet<String> = complaints.collect();
        Grade {
            name: format!("kernel-hardening-checker, {kind}"),
            unit: "items",
            score: format!("{} of {}", good.len(), good.len() + bad.len()),
            complaints: complaints.into_iter().collect(),
        }
    };
    Ok(["kconfig", "cmdline", "sysctl"].map(of_kind).into())
}

fn config(root: &Path) -> Result<std::path::PathBuf> {
    let mut entries = fs::read_dir(root.join("boot"))?.filter_map(Result::ok);
    let config = entries.find(|entry| entry.file_name().to_string_lossy().starts_with("config-"));
    Ok(config
        .context("the root has no configuration of a kernel")?
        .path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lynis_and_openscap_reports_are_parsed() {
        let said = "lynis_version=3.0.8\nwarning[]=A-1|x|-|\nsuggestion[]=B-2|y|\n\
            suggestion[]=B-2|z|\nhardening_index=61\n";
        let grade = lynis(said).unwrap();
        assert_eq!((grade.score.as_str(), grade.complaints.len()), ("61", 2));
        assert!(lynis("").is_err());
        let said = "Title\ta\nRule\txccdf_org.ssgproject.content_rule_a\nResult\tpass\n\
            Rule\tb\nResult\tfail\nRule\tc\nResult\tnotapplicable\n";
        let before = openscap("standard", said).unwrap();
        assert_eq!(before.score, "1 of 2 (1 not judged)");
        let after = openscap("standard", &said.replace("\tfail", "\tpass")).unwrap();
        assert_eq!(before.mended_in(&after), ["b"]);
        assert!(openscap("standard", "Rule\tc\nResult\tnotapplicable\n").is_err());
    }
}
