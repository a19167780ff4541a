//! Packages of suites that the machine does not install from, by lists of packages that leave its own alone. They are
//! from the machine's own mirror, and their signatures are checked as the machine's are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::apt::{INSTALL, LOCK, Source, apt_get, machine_sources};
use crate::prepare::lock;
use crate::run::Run;

/// A suite besides, and lists of packages that have it.
#[derive(Debug)]
pub struct Suite {
    name: String,
    private: PathBuf,
    sources: Vec<Source>,
}

impl Suite {
    /// Backports of the machine's release, beside the release itself.
    pub fn backports() -> Result<Self> {
        let (mut sources, own) = machine_sources()?;
        let main = sources.iter().find(|source| source.suite == own);
        let mut backports = main.context("no main suite to find backports by")?.clone();
        backports.suite = format!("{own}-backports");
        sources.push(backports);
        Ok(Self {
            name: format!("{own}-backports"),
            private: crate::state_dir()?.join("apt-backports"),
            sources,
        })
    }

    /// Installs a package of it, with what it needs of it.
    pub fn install(&self, package: &str) -> Result<()> {
        self.update()?;
        self.apt_get(INSTALL)
            .arg(format!("--target-release={}", self.name))
            .arg(package)
            .step()
    }

    /// Downloads a package of it into the directory `to`, and says why.
    pub fn download(&self, package: &str, to: &Path, why: &str) -> Result<()> {
        let _lock = lock(LOCK)?;
        eprintln!("==> apt: downloading {package} of {} ({why})", self.name);
        self.update()?;
        // apt's own user may not look into the directory.
        self.apt_get("-o APT::Sandbox::User=root download")
            .arg(format!("{package}/{}", self.name))
            .dir(to)
            .step()
    }

    fn update(&self) -> Result<()> {
        let parts = self.private.join("sources");
        for dir in [&parts, &self.private.join("lists")] {
            std::fs::create_dir_all(dir)
                .with_context(|| format!("failed to make \"{}\"", dir.display()))?;
        }
        let text: Vec<String> = self.sources.iter().map(Source::line).collect();
        std::fs::write(parts.join("earmark.list"), text.join("\n") + "\n")
            .with_context(|| format!("failed to write sources in \"{}\"", parts.display()))?;
        self.apt_get("update").step()
    }

    fn apt_get(&self, words: &str) -> Run {
        let at = |name: &str| self.private.join(name).display().to_string();
        apt_get("-o Dir::Etc::sourcelist=/dev/null")
            .arg(format!("-oDir::Etc::sourceparts={}", at("sources")))
            .arg(format!("-oDir::State::lists={}", at("lists")))
            .args(words.split_whitespace())
    }
}
