//! The steps of the tiers: each returns what it found in a few words, or why it is red.

use anyhow::{Result, bail};

use crate::architecture::Architecture;
use crate::cross::{self, Care};
use crate::run::{Run, is_root};
use crate::{apt, package, roots, tools};

pub fn fmt() -> Result<String> {
    done(tools::cargo("fmt --all --check"))
}

pub fn clippy() -> Result<String> {
    done(tools::cargo(
        "clippy --workspace --all-targets --locked --quiet -- -D warnings",
    ))
}

pub fn doc() -> Result<String> {
    let doc = tools::cargo("doc --workspace --no-deps --document-private-items --locked --quiet");
    done(doc.env("RUSTDOCFLAGS", "-Dwarnings"))
}

pub fn unit_tests() -> Result<String> {
    // The tests of the programs run them as they ship, and find them beside themselves.
    tools::cargo("build --workspace --bins --locked --quiet").step()?;
    let tests = "test --workspace --locked --quiet --no-fail-fast -- --skip privileged_ --skip vm_";
    counted(tools::cargo(tests))
}

pub fn deny() -> Result<String> {
    let deny = Run::new(tools::cargo_tool(tools::CARGO_DENY)?).dir(crate::workspace()?);
    done(deny.args(["--locked", "check", "licenses", "bans", "sources"]))
}

/// Known vulnerabilities need a database, which needs a network that CI may not have.
pub fn advisories() -> Result<String> {
    let Some(database) = std::env::var_os("EARMARK_ADVISORY_DB") else {
        return Ok(
            "NOT CHECKED: EARMARK_ADVISORY_DB names no copy of the advisory database".into(),
        );
    };
    let config = crate::state_dir()?.join("deny-advisories.toml");
    let dir = database.to_string_lossy();
    std::fs::write(&config, format!("[advisories]\ndb-path = {dir:?}\n"))?;
    let deny = Run::new(tools::cargo_tool(tools::CARGO_DENY)?).dir(crate::workspace()?);
    done(
        deny.args(["--locked", "check", "--disable-fetch", "--config"])
            .arg(config)
            .arg("advisories"),
    )
}

pub fn privileged() -> Result<String> {
    must_be_root("privileged_")?;
    privileged_packages()?;
    real_tests("privileged_", 4)
}

pub fn privileged_packages() -> Result<()> {
    apt::need(
        &[
            "acl",
            "attr",
            "binutils",
            "busybox-static",
            "e2fsprogs",
            "fsverity",
            "iproute2",
            "libcap2-bin",
            "mtree-netbsd",
            "opensc",
            "openssl",
            "rpm",
            "softhsm2",
            "strace",
            "systemd-container",
        ],
        "the tools that the tests compare with, and containers to boot roots in",
    )?;
    apt::need(
        &["fdisk", "jq", "qemu-utils", "shellcheck", "xfsprogs"],
        "disks to verify as they lie in their files, and the shell in documents",
    )?;
    apt::need(&["chromium"], "reads the page of `earmark fleet status`")
}

pub fn vm() -> Result<String> {
    must_be_root("vm_")?;
    vm_packages()?;
    real_tests("vm_", 2)
}

pub fn vm_packages() -> Result<()> {
    apt::need(
        &["busybox-static", "cpio", "e2fsprogs", "fsverity", "kmod"],
        "disks and initrds for virtual machines",
    )?;
    apt::need(
        &[
            "fdisk",
            "jq",
            "openssh-client",
            "openssl",
            "packer",
            "qemu-utils",
            "shellcheck",
        ],
        "bakes images by the template in packer/",
    )?;
    apt::need_qemu(apt::QEMU_X86, "runs virtual machines")?;
    apt::need(
        &["dosfstools", "mtools", "qemu-efi-aarch64"],
        "firmware and boot disks for virtual machines of aarch64",
    )?;
    apt::need_qemu(apt::QEMU_ARM, "runs virtual machines of aarch64")
}

/// The architecture that is not this machine's in the tests.
const FOREIGN: Architecture = Architecture::Aarch64;

/// Runs the unit tests of `scan` as aarch64 programs: its unsafe code and its numbers of system calls are that machine's.
pub fn aarch64() -> Result<String> {
    let builder = cross::Builder::new(FOREIGN, Care::Quick)?;
    let runner = cross::runner(FOREIGN)?;
    let runner: Vec<_> = runner.iter().map(|word| word.to_string_lossy()).collect();
    let tests = builder
        .cargo("test --release --locked --quiet --package earmark-scan --lib")?
        .env(
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER",
            runner.join(" "),
        )
        // What is opened at `/` is the emulator's directory of libraries, which has no `/sys`.
        .args(["--", "--skip", "short_file_of_sysfs"])
        // An emulated processor has the instructions whose code is tested only where they are.
        .env("EARMARK_MUST_HAVE_SHA", "1");
    counted(tests)
}

fn must_be_root(prefix: &str) -> Result<()> {
    if !is_root() {
        bail!("the {prefix} tests need root: run `cargo xtask test` as root, or `--tier fast`");
    }
    Ok(())
}

/// Runs the tests whose names start so, with everything that they are promised; see `tests/`. Those `at_a_time` may be more
/// than the processors of CI: containers wait for each other.
fn real_tests(prefix: &str, at_a_time: usize) -> Result<String> {
    // The agent's own are for what no command of it does by itself: one lock, in a namespace.
    let tests = "test --package earmark-tests --package earmark-agent --locked --no-fail-fast --";
    let tests = tools::cargo(tests)
        .arg(prefix)
        .arg(format!("--test-threads={at_a_time}"))
        .env("EARMARK_BIN_DIR", tools::programs()?)
        .env("EARMARK_PACKAGES", package::all()?)
        .env("EARMARK_PACKAGES_AARCH64", package::quick(FOREIGN)?)
        .env("EARMARK_QEMU_AARCH64", cross::qemu_user(FOREIGN)?)
        .env("EARMARK_LIBRARIES_AARCH64", cross::libraries(FOREIGN))
        .env("EARMARK_ROOT_ARM64", roots::root(roots::Kind::Arm64)?)
        .env("EARMARK_ROOT_BOOT", roots::root(roots::Kind::Boot)?)
        .env("EARMARK_ROOT_CLOUD", roots::root(roots::Kind::Cloud)?)
        .env(
            "EARMARK_ROOT_DEBIAN_13",
            roots::root(roots::Kind::Debian13)?,
        )
        .env("EARMARK_ROOT_SMALL", roots::root(roots::Kind::Small)?)
        .env("EARMARK_ROOT_SERVER", roots::root(roots::Kind::Server)?)
        .env("EARMARK_XTASK", tools::xtask()?)
        .env("EARMARK_PROMETHEUS", tools::prometheus()?)
        .env("EARMARK_PYTHON", tools::python()?);
    counted(tests)
}

fn done(run: Run) -> Result<String> {
    run.step().map(|()| "passed".to_owned())
}

/// Runs tests and counts them: a tier that ran nothing is red.
pub fn counted(run: Run) -> Result<String> {
    let line = run.line();
    let finished = run.tee()?;
    let count =
        |what: &str| -> u64 { finished.stdout.lines().map(|line| number(line, what)).sum() };
    let counts = format!(
        "{} passed, {} failed, {} ignored",
        count("passed"),
        count("failed"),
        count("ignored")
    );
    if !finished.status.success() {
        bail!("{counts}: `{line}`");
    }
    if count("passed") == 0 {
        bail!("no test ran: `{line}`");
    }
    Ok(counts)
}

/// The number before `what` in `test result: ok. 5 passed; 0 failed; 1 ignored; ...`.
fn number(line: &str, what: &str) -> u64 {
    let Some(counts) = line.strip_prefix("test result: ") else {
        return 0;
    };
    let parse = |part: &str| {
        let number = part.trim().strip_suffix(what)?.trim();
        number.rsplit(' ').next()?.parse().ok()
    };
    counts.split(';').find_map(parse).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_counts_are_parsed_from_harness_output() {
        let line = "test result: ok. 15 passed; 0 failed; 2 ignored; 0 measured; 7 filtered out";
        assert_eq!([number(line, "passed"), number(line, "ignored")], [15, 2]);
        assert_eq!(number("test passed", "passed"), 0);
    }

    #[test]
    fn step_that_runs_no_test_fails() {
        let nothing = Run::words("echo test result: ok. 0 passed; 0 failed; 0 ignored").quiet();
        assert!(
            counted(nothing)
                .unwrap_err()
                .to_string()
                .contains("no test ran")
        );
    }
}
