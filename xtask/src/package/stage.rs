//! The files of a package, laid out as they will lie in the image.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::architecture::Architecture;
use crate::package::man;
use crate::package::table::{Item, Package, STAND_IN_TARGET, Source};
use crate::run::Run;

/// Programs to package.
#[derive(Debug)]
pub struct Programs {
    pub architecture: Architecture,
    /// The directory that they are in.
    pub dir: PathBuf,
    /// Words before the command line of one, on this machine.
    pub runner: Vec<OsString>,
}

/// A directory with everything that a package has.
#[derive(Debug)]
pub struct Stage {
    pub package: &'static Package,
    pub architecture: Architecture,
    pub dir: PathBuf,
    /// Room for what a builder needs besides.
    pub work: PathBuf,
    pub epoch: String,
}

impl Stage {
    /// Lays out `package` beneath `work`, which is made.
    pub fn new(
        package: &'static Package,
        programs: &Programs,
        work: &Path,
        epoch: &str,
    ) -> Result<Self> {
        let stage = Self {
            package,
            architecture: programs.architecture,
            dir: work.join("root"),
            work: work.to_owned(),
            epoch: epoch.to_owned(),
        };
        for item in package.items {
            stage
                .place(item, programs)
                .with_context(|| format!("failed to lay out \"{}\"", item.path))?;
        }
        stage.settle(&stage.dir)?;
        Ok(stage)
    }

    fn place(&self, item: &Item, programs: &Programs) -> Result<()> {
        let program = programs.dir.join(self.package.name);
        let to = self.dir.join(item.path.trim_start_matches('/'));
        if let Some(parent) = to.parent() {
            directories(parent)?;
        }
        match item.source {
            Source::Link(target) => return Ok(symlink(target, &to)?),
            Source::StandIn => return Ok(symlink(STAND_IN_TARGET, &to)?),
            Source::Directory => fs::create_dir(&to)?,
            Source::Program => {
                fs::copy(program, &to)?;
            }
            Source::Other(name) => {
                fs::copy(programs.dir.join(name), &to)?;
            }
            Source::File(source) => {
                fs::copy(crate::workspace()?.join(source), &to)?;
            }
            Source::Manual(section) => {
                let page = to.with_extension("");
                fs::write(&page, man::page(&program, &programs.runner, section)?)?;
                // Without the name and the time, which would differ from one build to the next.
                Run::words("gzip --best --no-name")
                    .arg(page)
                    .quiet()
                    .step()?;
            }
        }
        Ok(fs::set_permissions(&to, Permissions::from_mode(item.mode))?)
    }

    /// Gives everything beneath `dir` the time of the source.
    pub fn settle(&self, dir: &Path) -> Result<()> {
        Run::new("find")
            .arg(dir)
            .args(["-exec", "touch", "--no-dereference"])
            .arg(format!("--date=@{}", self.epoch))
            .args(["{}", "+"])
            .quiet()
            .step()
    }

    /// Returns the size of all its files and directories, in KiB, rounded up.
    pub fn kibibytes(&self) -> Result<u64> {
        let list = Run::new("find").arg(&self.dir).args(["-printf", "%s\\n"]);
        let list = list.quiet().output()?;
        let bytes: u64 = list
            .lines()
            .filter_map(|line| line.parse::<u64>().ok())
            .sum();
        Ok(bytes.div_ceil(1024))
    }
}

/// Makes a directory and those above it, whatever the umask is.
fn directories(dir: &Path) -> Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        directories(parent)?;
    }
    fs::create_dir(dir)?;
    Ok(fs::set_permissions(dir, Permissions::from_mode(0o755))?)
}
