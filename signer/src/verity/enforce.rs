//! Enables fs-verity file by file, and measures each.

use std::{collections::HashSet, fs::File, os::unix::fs::MetadataExt};

use anyhow::Context;
use earmark_manifest::digest::VerityDigest;
use earmark_scan::{Progress, Root, fsverity_ioctl};
use rustix::io::Errno;

use crate::{
    exit::{Exit, Exits, Failure, Outcome},
    io::{output, progress::Bar},
    verity::plan::{Plan, Wanted},
};

/// Problems that are listed.
const SHOWN: usize = 20;

/// Reason why a file is not enforced as it was signed.
#[derive(Debug)]
enum Problem {
    /// It is another file, or has other content, than was signed.
    Differs(String),
    /// It is in the way of it.
    Cannot(String),
    /// No other file will fare better.
    Fatal(Errno),
}

/// Outcome of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Enabled,
    Already,
}

/// Enables it on each file that lacks it. Returns how many got it, and how many had it.
pub(super) fn enforce(root: &Root, plan: &Plan) -> Outcome<(u64, u64)> {
    let bar = Bar::new("enforcing");
    bar.total(plan.bytes());
    let (mut enabled, mut already) = (0, 0);
    let mut problems = Problems::default();
    let mut inodes = HashSet::new();
    for wanted in &plan.files {
        let outcome = open(root, wanted).and_then(|file| {
            let done = one(&file, &wanted.digest)?;
            Ok((done, !wanted.is_linked || inodes.insert(identity(&file)?)))
        });
        match outcome {
            Ok((Done::Enabled, _)) => enabled += 1,
            // The second name of a file that this run enabled counts for nothing.
            Ok((Done::Already, is_new)) => already += u64::from(is_new),
            Err(Problem::Fatal(errno)) => {
                bar.finish();
                let doing = format!(
                    "failed to enable fs-verity on '{}', after {}",
                    wanted.path,
                    output::count(enabled + already, "file", "files")
                );
                return Err(errno).context(doing).exits(Exit::Undecided);
            }
            Err(problem) => problems.add(wanted, problem),
        }
        bar.advance(wanted.size);
    }
    bar.finish();
    problems.end("fs-verity is not enabled on")?;
    Ok((enabled, already))
}

/// Measures each file, by the names that were signed.
pub(super) fn check(root: &Root, plan: &Plan) -> Outcome<()> {
    let mut problems = Problems::default();
    for wanted in &plan.files {
        let outcome = open(root, wanted).and_then(|file| match measure(&file)? {
            Some(found) => compare(&wanted.digest, found),
            None => Err(Problem::Differs(
                "replaced while this ran: it has no fs-verity".to_owned(),
            )),
        });
        match outcome {
            Ok(()) => {}
            Err(Problem::Fatal(errno)) => {
                let doing = format!("failed to measure '{}'", wanted.path);
                return Err(errno).context(doing).exits(Exit::Undecided);
            }
            Err(problem) => problems.add(wanted, problem),
        }
    }
    problems.end("fs-verity does not hold on")
}

/// Has the kernel enforce one open file. What it enforces afterwards is what was signed, or a problem.
fn one(file: &File, expected: &VerityDigest) -> Result<Done, Problem> {
    if let Some(found) = measure(file)? {
        return compare(expected, found).map(|()| Done::Already);
    }
    let done = match fsverity_ioctl::enable(file) {
        Ok(()) => Done::Enabled,
        // By another name of it, between the two questions.
        Err(Errno::EXIST) => Done::Already,
        Err(errno) => return Err(because(errno)),
    };
    match measure(file)? {
        Some(found) => compare(expected, found).map(|()| done),
        None => Err(Problem::Cannot("the kernel enabled nothing".to_owned())),
    }
}

fn measure(file: &File) -> Result<Option<VerityDigest>, Problem> {
    match fsverity_ioctl::measure(file) {
        Ok(Some(digest)) => Ok(Some(digest)),
        Ok(None) => Err(Problem::Differs(
            "it has fs-verity by another algorithm than SHA-256; copy it over itself, and run this again"
                .to_owned(),
        )),
        Err(Errno::NODATA) => Ok(None),
        Err(errno) => Err(because(errno)),
    }
}

fn compare(expected: &VerityDigest, found: VerityDigest) -> Result<(), Problem> {
    if *expected == found {
        return Ok(());
    }
    Err(Problem::Differs(format!(
        "the kernel enforces {found}, expected {expected}: other content than was measured, or another salt or block size"
    )))
}

fn open(root: &Root, wanted: &Wanted) -> Result<File, Problem> {
    match root.open_regular(&wanted.path) {
        Ok((file, size)) if size == wanted.size => Ok(file),
        Ok((_, size)) => Err(Problem::Differs(format!(
            "{size} bytes, expected {}",
            wanted.size
        ))),
        Err(error) => match error.cause.raw_os_error().map(Errno::from_raw_os_error) {
            Some(errno @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM)) => {
                Err(Problem::Fatal(errno))
            }
            _ => Err(Problem::Differs(error.cause.to_string())),
        },
    }
}

fn identity(file: &File) -> Result<(u64, u64), Problem> {
    let metadata = file.metadata();
    let metadata = metadata.map_err(|error| Problem::Cannot(error.to_string()))?;
    Ok((metadata.dev(), metadata.ino()))
}

/// The kernel's error, in the words of who has to do something about it.
fn because(errno: Errno) -> Problem {
    let text = match errno {
        Errno::NOSPC | Errno::DQUOT | Errno::ROFS | Errno::IO | Errno::NOMEM | Errno::NOSYS => {
            return Problem::Fatal(errno);
        }
        Errno::TXTBSY => "it is open for writing: end the program that has it (fuser -v)",
        Errno::PERM => {
            "it is immutable or append-only (lsattr; chattr -i -a), or a security module forbids it"
        }
        Errno::ACCESS => "it cannot be written: run this as root",
        Errno::BUSY => "somebody else is enabling it at this moment",
        Errno::OPNOTSUPP => "its file system cannot, or it is not stored in extents (chattr +e)",
        Errno::FBIG => "it is too large for fs-verity",
        errno => return Problem::Cannot(errno.to_string()),
    };
    Problem::Cannot(text.to_owned())
}

/// Problems of single files: the others are done all the same.
#[derive(Debug, Default)]
struct Problems {
    count: usize,
    differ: bool,
    lines: Vec<String>,
}

impl Problems {
    fn add(&mut self, wanted: &Wanted, problem: Problem) {
        let text = match problem {
            Problem::Differs(text) => {
                self.differ = true;
                text
            }
            Problem::Cannot(text) => text,
            Problem::Fatal(errno) => errno.to_string(),
        };
        self.count += 1;
        if self.lines.len() < SHOWN {
            self.lines.push(format!("'{}': {text}", wanted.path));
        }
    }

    fn end(self, what: &str) -> Outcome<()> {
        if self.count == 0 {
            return Ok(());
        }
        let mut lines = self.lines;
        match self.count - lines.len() {
            0 => {}
            more => lines.push(format!("and {} more", output::thousands(more as u64))),
        }
        let files = output::count(self.count, "file", "files");
        let text = format!("{what} {files}:\n  {}", lines.join("\n  "));
        let (exit, next) = if self.differ {
            (
                Exit::NotVerified,
                "the root changed since it was measured: measure, sign and install again",
            )
        } else {
            (
                Exit::Undecided,
                "see to these, and run this again: what is enforced stays so",
            )
        };
        Err(Failure::new(exit, text).next(next))
    }
}
