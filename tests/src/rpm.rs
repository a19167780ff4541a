//! Packages of RPM, built and installed by rpm's own programs.

use std::{fs, path::Path};

use crate::{Bench, run};

/// A package without architecture, of release 1.
#[derive(Debug, Clone, Copy)]
pub struct Package<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Script that fills `%{buildroot}`.
    pub install: &'a str,
    /// Its files, and sections after them.
    pub files: &'a str,
}

impl Package<'_> {
    /// Builds the package beside the root of a bench.
    pub fn build(&self, bench: &Bench) {
        let Self {
            name,
            version,
            install,
            files,
        } = self;
        let spec = format!(
            "Name: {name}\nVersion: {version}\nRelease: 1\nSummary: A package\nLicense: MIT\nBuildArch: noarch\n\
             %description\nA package.\n%install\n{install}%files\n{files}"
        );
        let file = format!("{name}.spec");
        fs::write(bench.path(&file), spec).expect("a spec");
        let top = format!("_topdir {}", bench.path("rpmbuild").display());
        let args = ["--quiet", "-bb", "-D", &top, &file];
        run("rpmbuild", args, Some(&bench.path(""))).must(0);
    }

    /// Installs the package that was built into a root, without what it needs; `how` is `--install` or `--upgrade` and
    /// more words.
    pub fn install(&self, bench: &Bench, root: &Path, how: &[&str]) {
        let Self { name, version, .. } = self;
        let package = format!("rpmbuild/RPMS/noarch/{name}-{version}-1.noarch.rpm");
        let root = root.display().to_string();
        let database = ["--dbpath", "/usr/lib/sysimage/rpm", "--nodeps"];
        let args = [&["--root", &root], &database[..], how, &[&package]].concat();
        run("rpm", args, Some(&bench.path(""))).must(0);
    }
}
