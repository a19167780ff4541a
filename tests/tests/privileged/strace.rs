//! Faults and kills that strace injects into a program at a system call of its own.

use std::{
    collections::BTreeMap,
    fs,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use earmark_tests::{Bench, Run, program, run, words};

/// Workers of [`each`]: more than processors, since a program under strace mostly waits.
const WORKERS: usize = 4;

/// Runs a command of a program of the workspace under strace, with these options of strace.
pub fn strace(bench: &Bench, options: &[&str], name: &str, command: &str) -> Run {
    let program = program(name);
    let command = std::iter::once(program.to_str().unwrap()).chain(words(command));
    let options = ["-f", "-qq"].iter().chain(options).copied();
    run("strace", options.chain(command), Some(&bench.path("")))
}

/// The same, with one injection, such as `renameat2:error=EIO:when=1`.
pub fn inject(bench: &Bench, injection: &str, name: &str, command: &str) -> Run {
    // Not with --seccomp-bpf, under which strace 6.1 injects errors and no signals.
    let injection = format!("inject={injection}");
    let options = ["-o", "/dev/null", "-e", &injection];
    strace(bench, &options, name, command)
}

/// Runs the command undisturbed, and returns the system calls of its main thread for which `counts` holds, by the
/// numbers that `when=` takes. `counts` gets the name and the arguments of a call.
pub fn calls(
    bench: &Bench,
    traced: &str,
    name: &str,
    command: &str,
    counts: impl Fn(&str, &str) -> bool,
) -> BTreeMap<String, Vec<usize>> {
    let traced = format!("trace={traced}");
    let options = ["--seccomp-bpf", "-y", "-o", "trace", "-e", &traced];
    // A command that fails by itself would be disturbed at calls before its work.
    strace(bench, &options, name, command).must(0);
    let trace = bench.path("trace");
    let text = fs::read_to_string(&trace).unwrap();
    fs::remove_file(trace).unwrap();
    let main = text.split_whitespace().next().unwrap();
    let mut seen = BTreeMap::<&str, usize>::new();
    let mut chosen = BTreeMap::<String, Vec<usize>>::new();
    for line in text.lines() {
        let (thread, call) = line.split_once(' ').unwrap();
        let Some((name, arguments)) = call.trim_start().split_once('(') else {
            continue;
        };
        if thread != main || name.starts_with('<') {
            continue;
        }
        let number = seen.entry(name).or_default();
        *number += 1;
        if counts(name, arguments) {
            chosen.entry(name.to_owned()).or_default().push(*number);
        }
    }
    chosen
}

/// Does `work` for each job, several at a time.
pub fn each<T: Sync>(jobs: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(job);
                }
            });
        }
    });
}
