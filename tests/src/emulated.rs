//! Programs for aarch64, run on this machine's kernel by QEMU's user mode.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{Bench, Run, run};

/// The programs of the `.deb` packages for aarch64.
#[derive(Debug)]
pub struct Aarch64 {
    directory: TempDir,
}

impl Aarch64 {
    /// Unpacks them.
    pub fn new() -> Self {
        let programs = Self {
            directory: TempDir::new().expect("a temporary directory"),
        };
        for prefix in ["earmark_", "earmark-agent_"] {
            let deb = package(prefix, "_arm64.deb");
            let to = programs.directory.path();
            let words = ["-x".as_ref(), deb.as_os_str(), to.as_os_str()];
            run("dpkg-deb", words, None).must(0);
        }
        programs
    }

    /// The path of a program.
    pub fn path(&self, program: &str) -> PathBuf {
        self.directory.path().join("usr/bin").join(program)
    }

    /// Runs `earmark` in the directory of a bench.
    pub fn earmark(&self, bench: &Bench, args: &[&str]) -> Run {
        self.run("earmark", bench, args)
    }

    /// Runs `earmark-agent` in the directory of a bench.
    pub fn agent(&self, bench: &Bench, args: &[&str]) -> Run {
        self.run("earmark-agent", bench, args)
    }

    fn run(&self, program: &str, bench: &Bench, args: &[&str]) -> Run {
        let (libraries, program) = (variable("EARMARK_LIBRARIES_AARCH64"), self.path(program));
        let words = ["-L".as_ref(), libraries.as_os_str(), program.as_os_str()];
        let words = words.into_iter().chain(args.iter().map(OsStr::new));
        run(
            variable("EARMARK_QEMU_AARCH64"),
            words,
            Some(&bench.path("")),
        )
    }
}

impl Default for Aarch64 {
    fn default() -> Self {
        Self::new()
    }
}

fn variable(name: &str) -> PathBuf {
    let value = std::env::var_os(name);
    PathBuf::from(value.unwrap_or_else(|| panic!("{name}: run `cargo xtask test`")))
}

/// Returns the names of the packages for aarch64.
pub fn packages() -> Vec<String> {
    let directory = variable("EARMARK_PACKAGES_AARCH64");
    let mut names: Vec<String> = fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("'{}': {error}", directory.display()))
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.into_string().expect("a name in UTF-8"))
        .collect();
    names.sort();
    names
}

/// Returns the one package for aarch64 that is called so.
pub fn package(prefix: &str, suffix: &str) -> PathBuf {
    let names = packages();
    let mut found = names
        .iter()
        .filter(|name| name.starts_with(prefix) && name.ends_with(suffix));
    let (Some(name), None) = (found.next(), found.next()) else {
        panic!("not one {prefix}*{suffix}: {names:?}");
    };
    Path::new(&variable("EARMARK_PACKAGES_AARCH64")).join(name)
}
