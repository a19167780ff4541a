//! Grades of a host that is locked down, and of the same image without a lock, by Lynis, `OpenSCAP` and
//! kernel-hardening-checker, on real boots. It takes minutes, and is no part of `cargo xtask test`.

mod graders;

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use earmark_tests::boot::{Boot, Disk, Image, Inputs, QUARANTINE, REPORT, Sealing, Seen};

use self::graders::Grade;
use crate::roots::{self, Kind};
use crate::run::is_root;
use crate::{apt, package, tools};

const LOCKED: Sealing = Sealing {
    name: "graded-locked",
    rest: "[lockdown]\n",
    ..QUARANTINE
};
const OPEN: Sealing = Sealing {
    name: "graded-unlocked",
    ..REPORT
};

/// Markers around the part of the document that is made here.
const BEGIN: &str = "<!-- grades: written by `cargo xtask grade` -->\n";
const END: &str = "<!-- end of grades -->\n";
/// An emulated processor reads the rules of `OpenSCAP` for minutes.
const LIMIT: u32 = 1800;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A checkout of kernel-hardening-checker, which no registry has
    #[arg(long, value_name = "DIR")]
    kernel_hardening_checker: Option<PathBuf>,
    /// The document whose grades are replaced; by default docs/hardening.md
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Boots both hosts, has them graded, prints the grades and writes them into the document.
pub fn run(args: &Args) -> Result<()> {
    if !is_root() {
        bail!("making and booting an image needs root. Run the same command as root.");
    }
    let out = match &args.out {
        Some(out) => out.clone(),
        None => crate::workspace()?.join("docs/hardening.md"),
    };
    // Not after minutes of work.
    let document = fs::read_to_string(&out);
    let document = document.with_context(|| format!("failed to read \"{}\"", out.display()))?;
    let (before, after) = around(&document)
        .with_context(|| format!("\"{}\" has no place for grades", out.display()))?;
    apt::need(
        &["busybox-static", "cpio", "e2fsprogs", "kmod", "python3"],
        "makes disks and initrds for virtual machines, and runs a grader",
    )?;
    apt::need_qemu(apt::QEMU_X86, "runs virtual machines")?;
    let root = roots::root(Kind::Graded)?;
    let image = Image::new(Inputs {
        root: root.clone(),
        packages: package::debs()?,
        programs: tools::programs()?,
        cache: crate::state_dir()?.join("images-graded"),
    });
    let (open, locked) = std::thread::scope(|threads| {
        let open = threads.spawn(|| boot(&image, &OPEN));
        let locked = boot(&image, &LOCKED);
        (open.join(), locked)
    });
    let Ok(open) = open else {
        bail!("the host that is not locked down was not graded");
    };
    let checker = args.kernel_hardening_checker.as_deref();
    let text = report(
        &graders::grades(&open, &root, checker)?,
        &graders::grades(&locked, &root, checker)?,
    );
    println!("{text}");
    fs::write(&out, format!("{before}{BEGIN}\n{text}\n{END}{after}"))
        .with_context(|| format!("failed to write \"{}\"", out.display()))?;
    eprintln!("written to {}", out.display());
    Ok(())
}

/// Returns the text before and after that part; nothing if a marker is missing.
fn around(document: &str) -> Option<(&str, &str)> {
    let (before, rest) = document.split_once(BEGIN)?;
    Some((before, rest.split_once(END)?.1))
}

fn boot(image: &Image, sealing: &Sealing) -> Seen {
    let look = graders::look();
    let boot = Boot {
        limit: LIMIT,
        look: &look,
        ..Boot::default()
    };
    let disk = Disk::new(image, sealing, sealing.name);
    disk.boot(&boot).settled()
}

fn report(open: &[Grade], locked: &[Grade]) -> String {
    let mut text =
        "| grader | | without a lock | with every lock |\n|---|---|---|---|\n".to_owned();
    for (open, locked) in open.iter().zip(locked) {
        let Grade { name, unit, .. } = open;
        let _ = writeln!(
            text,
            "| {name} | {unit} | {} | {} |",
            open.score, locked.score
        );
    }
    for (open, locked) in open.iter().zip(locked) {
        let (mended, left) = (open.mended_in(locked), &locked.complaints);
        if !mended.is_empty() {
            let _ = write!(
                text,
                "\n{}, mended by the locks: {}.\n",
                open.name,
                mended.join(", ")
            );
        }
        if !left.is_empty() {
            let _ = write!(text, "\n{}, left: {}.\n", open.name, left.join(", "));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grades_section_of_hardening_document_is_located() {
        let document = format!("a\n{BEGIN}b\n{END}c\n");
        assert_eq!(around(&document), Some(("a\n", "c\n")));
        assert_eq!(around("a\n"), None);
        let path = crate::workspace().unwrap().join("docs/hardening.md");
        assert!(around(&fs::read_to_string(path).unwrap()).is_some());
    }
}
