//! Roots that change while they are verified.

use std::fs;

use super::unsealed;

/// Files that come, go and change while they are read: never a crash, and only a code of a verdict.
#[test]
fn privileged_root_changing_during_verification_yields_only_verdict_codes() {
    let bench = unsealed();
    let names: Vec<String> = (0..400)
        .map(|number| format!("opt/file-{number:03}"))
        .collect();
    let content = vec![b'x'; 200_000];
    for name in &names {
        bench.write(name, &content);
    }
    bench.seal().must(0);
    bench.verify().must(0);
    let codes: Vec<i32> = while_another(
        || {
            for name in &names {
                let path = bench.root().join(name);
                let _ = fs::rename(&path, bench.root().join("run/away"));
                fs::write(&path, &content).unwrap();
            }
        },
        || (0..12).map(|_| bench.verify().code).collect(),
    );
    assert!(
        codes.iter().all(|code| [0, 10, 11].contains(code)),
        "{codes:?}"
    );
    fs::remove_file(bench.root().join("run/away")).unwrap();
    // The content is the same again, and so is everything that is compared.
    for name in &names {
        bench.chmod(name, 0o644);
    }
    bench.verify().must(0);
}

/// A file that is written while it is read is undecided, by name, also if the bytes that were read
/// are the signed ones: what was read was no one state of the file.
#[test]
fn privileged_file_written_during_its_read_is_undecided() {
    use std::os::unix::fs::FileExt as _;

    let bench = unsealed();
    // Large enough that its reading takes longer than a tick of the clock that stamps files.
    bench.write("opt/large", &vec![b'x'; 128 << 20]);
    bench.seal().must(0);
    bench.verify().must(0);
    let file = fs::OpenOptions::new()
        .write(true)
        .open(bench.root().join("opt/large"))
        .unwrap();
    // On a busy machine the writer may have no turn during a reading: then there is another one.
    let seen = while_another(
        || file.write_all_at(b"x", 1 << 20).unwrap(),
        || {
            (0..50).map(|_| bench.verify()).find(|run| {
                assert!([0, 11].contains(&run.code), "{}{}", run.out, run.err);
                run.code == 11
            })
        },
    );
    let seen = seen.expect("50 verifications, and in none of them was the file seen to change");
    let said = format!("{}{}", seen.out, seen.err);
    assert!(said.contains("/opt/large"), "{said}");
    bench.verify().must(0);
}

/// Returns the result of `work`, run while another thread does `meddle` again and again.
fn while_another<T>(meddle: impl Fn() + Sync, work: impl FnOnce() -> T) -> T {
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Ends the other thread also when `work` panics, which would otherwise hang the test.
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    let stop = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                meddle();
            }
        });
        let _stop = Stop(&stop);
        work()
    })
}
