//! Writable views of the real roots, which stay as they are.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{Run, run};

/// Overlay mount on a root. Writes go to a temporary directory, which is removed with the test. Of a large
/// root nothing is copied.
#[derive(Debug)]
pub struct Overlay {
    directory: TempDir,
}

impl Overlay {
    /// Of the root that the environment variable names.
    pub fn new(variable: &str) -> Self {
        let lower = std::env::var(variable)
            .unwrap_or_else(|_| panic!("{variable}: run `cargo xtask test` as root"));
        let overlay = Self {
            directory: TempDir::new().expect("a temporary directory"),
        };
        let at = |name: &str| overlay.directory.path().join(name);
        for name in ["root", "upper", "work"] {
            fs::create_dir(at(name)).expect("a directory");
        }
        let options = format!(
            "lowerdir={lower},upperdir={},workdir={}",
            at("upper").display(),
            at("work").display()
        );
        let words = ["-t", "overlay", "-o", &options, "overlay"].map(OsStr::new);
        run(
            "mount",
            words.into_iter().chain([at("root").as_os_str()]),
            None,
        )
        .must(0);
        overlay
    }

    /// The root.
    pub fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// A path of the root.
    pub fn at(&self, path: &str) -> PathBuf {
        self.root().join(path.trim_start_matches('/'))
    }

    /// Room beside the root.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs a program of the root in it.
    pub fn chroot(&self, command: &[&str]) -> Run {
        let root = self.root();
        let command = command.iter().map(OsStr::new);
        run(
            "chroot",
            [root.as_os_str()].into_iter().chain(command),
            None,
        )
    }

    /// Installs the `.deb` of the agent, with the root's own package manager.
    #[track_caller]
    pub fn install_agent(&self) {
        let deb = package("earmark-agent_", ".deb");
        fs::copy(deb, self.at("tmp/agent.deb")).expect("the package in the root");
        self.chroot(&["dpkg", "--install", "/tmp/agent.deb"])
            .must(0);
        fs::remove_file(self.at("tmp/agent.deb")).expect("the package away");
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        run("umount", ["--lazy".as_ref(), self.root().as_os_str()], None);
    }
}

/// The one package in `EARMARK_PACKAGES` that is called so.
pub fn package(prefix: &str, suffix: &str) -> PathBuf {
    let directory =
        std::env::var("EARMARK_PACKAGES").expect("EARMARK_PACKAGES: run `cargo xtask test`");
    let named = |path: &Path| {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        name.starts_with(prefix) && name.ends_with(suffix)
    };
    let mut found: Vec<PathBuf> = fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("'{directory}': {error}"))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| named(path))
        .collect();
    assert_eq!(
        found.len(),
        1,
        "{prefix}*{suffix} in '{directory}': {found:?}"
    );
    found.remove(0)
}
