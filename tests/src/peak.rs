//! Peak memory of a program.

use std::{ffi::OsStr, fs::File, path::Path, process::Stdio, time::Duration};

use crate::{Run, command};

/// Upper bound of runs for a program that ends before its memory is first read.
const TRIES: usize = 50;

/// Runs a program as [`crate::run`] does, and reads the peak of its resident set, in KiB, from the kernel every
/// half millisecond. A rise after the last reading is missed.
pub fn run_watched<S: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = S>,
    directory: &Path,
) -> (Run, u64) {
    let args: Vec<S> = args.into_iter().collect();
    for _ in 0..TRIES {
        let (run, peak) = watch(program.as_ref(), &args, directory);
        if peak > 0 {
            return (run, peak);
        }
    }
    panic!("no memory of '{}' was seen", program.as_ref().display());
}

fn watch<S: AsRef<OsStr>>(program: &OsStr, args: &[S], directory: &Path) -> (Run, u64) {
    let (out, err) = (directory.join("watched.out"), directory.join("watched.err"));
    let file = |path: &Path| Stdio::from(File::create(path).expect("a file for what it says"));
    let mut child = command(program)
        .args(args)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(file(&out))
        .stderr(file(&err))
        .spawn()
        .expect("a program");
    let proc = Path::new("/proc").join(child.id().to_string());
    let mut peak = 0;
    let status = loop {
        // Of the program itself, and not of this one, which it is a copy of at first.
        let is_program = std::fs::read_link(proc.join("exe"))
            .is_ok_and(|exe| exe.file_name() == Path::new(program).file_name());
        if is_program && let Ok(status) = std::fs::read_to_string(proc.join("status")) {
            peak = peak.max(high_water(&status).unwrap_or(0));
        }
        if let Some(status) = child.try_wait().expect("its end") {
            break status;
        }
        if peak > 0 {
            std::thread::sleep(Duration::from_micros(500));
        }
    };
    let text = |path: &Path| {
        let bytes = std::fs::read(path).expect("what it said");
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let run = Run {
        code: status.code().unwrap_or(-1),
        out: text(&out),
        err: text(&err),
    };
    (run, peak)
}

fn high_water(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}
