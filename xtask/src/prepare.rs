//! Roots, tools and packages for the tiers that need root, taken from the network and given to dpkg beside the tiers
//! before them. Those leave a processor idle for minutes, while a program is linked.

use std::process::Child;

use anyhow::{Context, Result, bail};

use crate::architecture::Architecture;
use crate::run::{Run, is_root};
use crate::test::steps;
use crate::{cross, package, roots, tools};

/// The process that makes it.
#[derive(Debug)]
pub struct Beside(Option<Child>);

/// Starts a process that makes all of it and takes no time from others. Whoever needs a part finds it, or waits for
/// it, or makes it and then says what is wrong: this is never an error.
pub fn beside() -> Beside {
    if !is_root() {
        return Beside(None);
    }
    match start() {
        Ok(child) => Beside(Some(child)),
        Err(error) => {
            eprintln!("==> nothing is prepared beside the first tiers: {error:#}");
            Beside(None)
        }
    }
}

fn start() -> Result<Child> {
    let log = crate::state_dir()?.join("prepare.log");
    let program = std::env::current_exe().context("failed to find this program")?;
    eprintln!(
        "==> preparing roots and tools meanwhile: \"{}\"",
        log.display()
    );
    Run::words("nice -n 19")
        .arg(program)
        .arg("prepare")
        .beside(&log)
}

impl Drop for Beside {
    fn drop(&mut self) {
        // Not killed: dpkg may be at work on this machine. Whether it failed is said by whoever needed it.
        if let Some(child) = &mut self.0 {
            let _ = child.wait();
        }
    }
}

/// Makes all of it, what takes longest first.
pub fn run() -> Result<()> {
    let root = |kind| move || roots::root(kind).map(drop);
    let parts: [(&str, &dyn Fn() -> Result<()>); 12] = [
        ("the packages of a tier", &steps::privileged_packages),
        ("the root server", &root(roots::Kind::Server)),
        ("the root boot", &root(roots::Kind::Boot)),
        ("the root cloud", &root(roots::Kind::Cloud)),
        ("the root debian-13", &root(roots::Kind::Debian13)),
        ("the root arm64", &root(roots::Kind::Arm64)),
        ("the root small", &root(roots::Kind::Small)),
        ("Python", &|| tools::python().map(drop)),
        ("QEMU's user mode", &|| {
            cross::qemu_user(Architecture::Aarch64).map(drop)
        }),
        ("Prometheus", &|| tools::prometheus().map(drop)),
        ("the packages of a tier", &steps::vm_packages),
        // Built in a directory of its own: nobody waits for it.
        ("packages for aarch64", &|| {
            package::quick(Architecture::Aarch64).map(drop)
        }),
    ];
    let mut failed = 0;
    for (name, make) in parts {
        if let Err(error) = make() {
            eprintln!("{name}: {error:#}");
            failed += 1;
        }
    }
    if failed > 0 {
        bail!("{failed} parts could not be made ready");
    }
    Ok(())
}

/// Holds the only lock of this name, also against other processes, until the result is dropped.
pub fn lock(name: &str) -> Result<std::fs::File> {
    let dir = crate::state_dir()?;
    std::fs::create_dir_all(&dir)
        .with_context(|| format!("failed to make \"{}\"", dir.display()))?;
    let path = dir.join(format!("{name}.lock"));
    let lock = std::fs::File::create(&path)
        .with_context(|| format!("failed to make \"{}\"", path.display()))?;
    lock.lock()
        .with_context(|| format!("failed to lock \"{}\"", path.display()))?;
    Ok(lock)
}
