//! Debian packages: what is missing is installed, and said; the mirror is the machine's own.

pub mod suite;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::apt::suite::Suite;
use crate::prepare::lock;
use crate::run::{Run, is_root};

/// The release whose roots we build. Any Debian machine can build it, from its own mirror.
pub const SUITE: &str = "bookworm";

/// Nothing that the machine has is taken away for what we need.
const INSTALL: &str = "install --yes --no-install-recommends --no-remove";

/// One process at a time asks apt: it waits for dpkg, and not for the lists of packages.
const LOCK: &str = "apt";

/// Installs those of `packages` that are missing, and says why.
pub fn need(packages: &[&str], why: &str) -> Result<()> {
    if missing(packages).is_empty() {
        return Ok(());
    }
    let _lock = lock(LOCK)?;
    // Another process may have installed them meanwhile.
    let missing = missing(packages);
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !is_root() {
        bail!(
            "these Debian packages are missing ({why}), and only root can install them.\n\
             Run as root, or first: apt-get install {list}"
        );
    }
    eprintln!("==> apt: installing {list} ({why})");
    let install = || apt_get(INSTALL).args(&missing);
    // The package lists of a fresh machine are often empty or stale: fetch them only then.
    if install().step().is_err() {
        apt_get("update").step()?;
        install().step()?;
    }
    Ok(())
}

fn missing<'a>(packages: &[&'a str]) -> Vec<&'a str> {
    let missing = packages.iter().filter(|name| !is_installed(name));
    missing.copied().collect()
}

/// Unpacks packages into a new directory, and neither installs them nor runs anything of theirs. What they depend
/// on must be on the machine.
pub fn unpack(packages: &[&str], to: &Path, why: &str) -> Result<()> {
    let list = packages.join(" ");
    let _lock = lock(LOCK)?;
    eprintln!("==> apt: unpacking {list} ({why})");
    let debs = to.join("debs");
    std::fs::create_dir_all(&debs)
        .with_context(|| format!("failed to make \"{}\"", debs.display()))?;
    download_to(packages, &debs)?;
    for entry in std::fs::read_dir(&debs)? {
        Run::words("dpkg-deb --extract")
            .arg(entry?.path())
            .arg(to)
            .step()?;
    }
    Ok(())
}

/// Downloads a package into the directory `to`, and says why.
pub fn download(package: &str, to: &Path, why: &str) -> Result<()> {
    let _lock = lock(LOCK)?;
    eprintln!("==> apt: downloading {package} ({why})");
    download_to(&[package], to)
}

fn download_to(packages: &[&str], to: &Path) -> Result<()> {
    // apt's own user may not look into the directory.
    let download = || {
        apt_get("-o APT::Sandbox::User=root download")
            .args(packages)
            .dir(to)
    };
    if download().step().is_err() {
        apt_get("update").step()?;
        download().step()?;
    }
    Ok(())
}

/// Installs a package of QEMU. A machine that has a part
/// of QEMU from its release's backports cannot take the plain package beside it: there the rest comes from the
/// backports too, by lists of packages that leave the machine's own alone.
pub fn need_qemu(package: &str, why: &str) -> Result<()> {
    let Err(plain) = need(&[package], why) else {
        return Ok(());
    };
    if !is_root() {
        return Err(plain);
    }
    let _lock = lock(LOCK)?;
    let backports = Suite::backports()?;
    eprintln!("==> apt: trying the backports ({plain:#})");
    backports.install(package)
}

/// The package of QEMU that has machines of x86-64.
pub const QEMU_X86: &str = "qemu-system-x86";
/// And of aarch64.
pub const QEMU_ARM: &str = "qemu-system-arm";

fn apt_get(words: &str) -> Run {
    Run::words("apt-get -o DPkg::Lock::Timeout=300 -qq")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(words.split_whitespace())
}

fn is_installed(package: &str) -> bool {
    Run::words("dpkg-query --show --showformat=${db:Status-Status}")
        .arg(package)
        .quiet()
        .capture()
        .is_ok_and(|answer| answer.stdout == "installed")
}

/// One `deb` source of this machine, for one suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub uri: String,
    pub suite: String,
    pub components: Vec<String>,
}

impl Source {
    /// As a line of `sources.list`.
    pub fn line(&self) -> String {
        format!(
            "deb {} {} {}",
            self.uri,
            self.suite,
            self.components.join(" ")
        )
    }
}

/// The machine's own sources, made to be those of [`SUITE`], its updates and its security updates.
pub fn sources() -> Result<Vec<Source>> {
    sources_of(SUITE)
}

/// The same of another release.
pub fn sources_of(suite: &str) -> Result<Vec<Source>> {
    let (sources, own) = machine_sources()?;
    Ok(renamed(sources, &own, suite))
}

fn renamed(mut sources: Vec<Source>, own: &str, suite: &str) -> Vec<Source> {
    for source in &mut sources {
        source.suite = source.suite.replacen(own, suite, 1);
    }
    sources
}

/// The machine's sources for its own release, its updates and its security updates; and the name of
/// that release.
fn machine_sources() -> Result<(Vec<Source>, String)> {
    let own = os_release_codename(&read(Path::new("/etc/os-release"))?)
        .unwrap_or_else(|| SUITE.to_owned());
    let mut found = Vec::new();
    let mut files = vec![Path::new("/etc/apt/sources.list").to_owned()];
    if let Ok(dir) = std::fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(dir.filter_map(|entry| Some(entry.ok()?.path())));
    }
    files.sort();
    for file in files.iter().filter(|file| file.is_file()) {
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("sources") => found.extend(parse_deb822(&read(file)?)),
            Some("list") => found.extend(parse_one_line(&read(file)?)),
            _ => {}
        }
    }
    let sources = of_release(found, &own);
    if !sources.iter().any(|source| source.suite == own) {
        bail!(
            "the apt sources of this machine (/etc/apt/sources.list, sources.list.d) name no \
             Debian suite \"{own}\", so no mirror for \"{SUITE}\" can be derived from them.\n\
             Add the Debian mirror that this machine should use to its apt sources."
        );
    }
    Ok((sources, own))
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("failed to read \"{}\"", path.display()))
}

fn os_release_codename(text: &str) -> Option<String> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    Some(value.trim_matches('"').to_owned())
}

/// Keeps main, updates and security of the machine's release `own`.
fn of_release(found: Vec<Source>, own: &str) -> Vec<Source> {
    let mut seen = BTreeSet::new();
    found
        .into_iter()
        .filter_map(|mut source| {
            let suffix = source
                .suite
                .strip_prefix(own)?
                .trim_end_matches('/')
                .to_owned();
            if !matches!(suffix.as_str(), "" | "-updates" | "-security") {
                return None;
            }
            source.components.retain(|component| component == "main");
            source.suite = format!("{own}{suffix}");
            let fresh = !source.components.is_empty() && seen.insert(source.line());
            fresh.then_some(source)
        })
        .collect()
}

/// The one-line format: `deb [options] URI SUITE COMPONENT...`.
fn parse_one_line(text: &str) -> Vec<Source> {
    let parse = |line: &str| {
        let rest = line.split('#').next()?.trim().strip_prefix("deb")?;
        let rest = rest.strip_prefix([' ', '\t'])?.trim();
        let rest = if rest.starts_with('[') {
            rest.split_once(']')?.1
        } else {
            rest
        };
        let mut words = rest.split_whitespace().map(str::to_owned);
        Some(Source {
            uri: words.next()?,
            suite: words.next()?,
            components: words.collect(),
        })
    };
    text.lines().filter_map(parse).collect()
}

/// The deb822 format: stanzas of `Field: value`, with continuation lines and comments.
fn parse_deb822(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    for stanza in text.split("\n\n") {
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in stanza.lines().filter(|line| !line.starts_with('#')) {
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = fields.last_mut() {
                    value.push(' ');
                    value.push_str(line.trim());
                }
            } else if let Some((name, value)) = line.split_once(':') {
                fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        let words = |name: &str| -> Vec<String> {
            let field = fields.iter().find(|(field, _)| field == name);
            field
                .map_or("", |(_, value)| value)
                .split_whitespace()
                .map(str::to_owned)
                .collect()
        };
        let off = words("enabled").first().is_some_and(|value| value == "no");
        if off || !words("types").iter().any(|kind| kind == "deb") {
            continue;
        }
        for uri in words("uris") {
            for suite in words("suites") {
                let components = words("components");
                sources.push(Source {
                    uri: uri.clone(),
                    suite,
                    components,
                });
            }
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(sources: Vec<Source>) -> Vec<String> {
        renamed(of_release(sources, "trixie"), "trixie", SUITE)
            .iter()
            .map(Source::line)
            .collect()
    }

    #[test]
    fn one_line_apt_sources_are_parsed_and_switched_to_the_target_suite() {
        let text = "# a\ndeb [arch=amd64 trusted=yes] http://m/debian trixie main contrib # x\n\
            deb-src http://m/debian trixie main\ndeb http://m/other stable main\n\
            deb\thttp://m/debian-security trixie-security main\n";
        assert_eq!(
            lines(parse_one_line(text)),
            [
                "deb http://m/debian bookworm main",
                "deb http://m/debian-security bookworm-security main"
            ]
        );
    }

    #[test]
    fn deb822_apt_sources_are_parsed_and_switched_to_the_target_suite() {
        let text = "Types: deb deb-src\n# a comment\nURIs: http://m/debian\nSuites: trixie\n \
            trixie-updates trixie-backports\nComponents: main\n\nEnabled: no\nTypes: deb\n\
            URIs: http://m/x\nSuites: trixie\nComponents: main\n";
        assert_eq!(
            lines(parse_deb822(text)),
            [
                "deb http://m/debian bookworm main",
                "deb http://m/debian bookworm-updates main"
            ]
        );
    }

    #[test]
    fn os_release_codename_is_parsed() {
        assert_eq!(
            os_release_codename("A=1\nVERSION_CODENAME=trixie\n").as_deref(),
            Some("trixie")
        );
    }
}
