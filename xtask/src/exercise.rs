//! Does to a copy of a root what happens to a host on its own: two boots with everything that timers
//! start, then every package's post-installation step. What it changes must be classed by the
//! profile, so that seal, exercise, verify gives no violation.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::apt;
use crate::files;
use crate::roots::SOURCE_DATE_EPOCH;
use crate::run::{Run, is_root};

/// Path in the container of the directory shared with the machine outside. `/run` is a tmpfs in
/// the container: nothing of it stays in the root.
const SHARED: &str = "/run/earmark-exercise";

const UNIT: &str = "\
[Unit]
Description=What a host does on its own, then power off
After=multi-user.target
[Service]
Type=oneshot
StandardOutput=file:/run/earmark-exercise/log
StandardError=inherit
ExecStart=/bin/sh /run/earmark-exercise/in-boot.sh /run/earmark-exercise
";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The root to exercise a copy of
    root: PathBuf,
    /// Where the copy goes; a copy that is there is replaced
    #[arg(long, value_name = "DIR", conflicts_with = "in_place")]
    to: Option<PathBuf>,
    /// Change ROOT itself instead of a copy
    #[arg(long)]
    in_place: bool,
    /// How often to boot the root before the post-installation steps
    #[arg(long, value_name = "N", default_value_t = 1)]
    boots: u32,
}

/// Exercises the root and returns the directory that was exercised.
pub fn run(args: Args) -> Result<PathBuf> {
    if !is_root() {
        bail!("booting a container needs root. Run the same command as root.");
    }
    apt::need(&["systemd-container"], "boots the root in a container")?;
    let root = args.root.canonicalize();
    let root = root.with_context(|| format!("failed to find \"{}\"", args.root.display()))?;
    if root == Path::new("/") {
        bail!("\"/\" is this machine, not a root to exercise");
    }
    let target = if args.in_place {
        root
    } else {
        let name = root.file_name().unwrap_or_default();
        let to = args
            .to
            .unwrap_or(crate::state_dir()?.join("exercised").join(name));
        files::copy(&root, &to)?;
        to.canonicalize()?
    };
    let shared = std::env::temp_dir().join(format!("earmark-exercise-{}", std::process::id()));
    // Containers of one service manager share a control group: two at a time stop each other's units.
    let lock = fs::File::create(crate::state_dir()?.join("exercise.lock"))?;
    lock.lock().context("failed to wait for another exercise")?;
    let done = exercise(&target, &shared, args.boots);
    files::remove_tree(&shared)?;
    done.map(|()| target)
}

fn exercise(root: &Path, shared: &Path, boots: u32) -> Result<()> {
    fs::create_dir_all(shared.join("units/multi-user.target.wants"))?;
    fs::write(
        shared.join("in-boot.sh"),
        include_str!("exercise/in-boot.sh"),
    )?;
    fs::write(
        shared.join("post-install.sh"),
        include_str!("exercise/post-install.sh"),
    )?;
    fs::write(shared.join("units/earmark-exercise.service"), UNIT)?;
    let wants = shared.join("units/multi-user.target.wants/earmark-exercise.service");
    std::os::unix::fs::symlink("../earmark-exercise.service", wants)?;
    for boot in 1..=boots {
        eprintln!("==> boot {boot} of {boots}");
        finished(boot_container(root, shared), shared, "the boot")?;
    }
    eprintln!("==> post-installation steps of every package");
    let steps = container(root, shared)
        .arg("--console=pipe")
        .arg(format!("--setenv=SOURCE_DATE_EPOCH={SOURCE_DATE_EPOCH}"))
        .args(["/bin/sh", &format!("{SHARED}/post-install.sh"), SHARED]);
    finished(steps, shared, "the post-installation steps")
}

/// The marker counts, not the exit code: a container that dies half-way may still exit with 0.
fn finished(run: Run, shared: &Path, what: &str) -> Result<()> {
    let marker = shared.join("done");
    let _ = fs::remove_file(&marker);
    let output = run.capture()?;
    if marker.is_file() {
        return Ok(());
    }
    let log = fs::read_to_string(shared.join("log")).unwrap_or_default();
    bail!(
        "{what} did not come to its end: exit {}\n{}{}{log}",
        output.code(),
        last_lines(&output.stdout),
        last_lines(&output.stderr),
    )
}

fn boot_container(root: &Path, shared: &Path) -> Run {
    container(root, shared)
        .args(["--boot", "--console=read-only"])
        .arg(format!(
            "--bind={}:/run/systemd/system",
            shared.join("units").display()
        ))
}

/// A container without the machine's network: the services inside would take its ports, and a time
/// daemon its clock.
fn container(root: &Path, shared: &Path) -> Run {
    // Killed after ten minutes: a root that hangs must not hang the tests.
    Run::words("timeout --kill-after=10 600 systemd-nspawn --quiet --private-network")
        .args(["--register=no", "--keep-unit"])
        .arg(format!("--machine=earmark-{}", std::process::id()))
        .arg(format!("--directory={}", root.display()))
        .arg(format!("--bind={}:{SHARED}", shared.display()))
}

/// The end of what a container said, which is where the failure is.
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(30);
    lines.get(from..).unwrap_or_default().join("\n") + "\n"
}
