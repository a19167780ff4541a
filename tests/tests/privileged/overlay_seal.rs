//! Sealing in an overlay over a sealed base, as image builders and containers have it. Without `redirect_dir`,
//! which is the default of most kernels, a directory of the lower layer cannot be renamed: EXDEV.

use std::{fs, path::PathBuf};

use earmark_tests::{Bench, Run, run};
use rustix::io::Errno;

use crate::strace;

const SEAL: &str =
    "seal --root root --spec earmark.toml --version 2.0 --key release.key --trust trust.toml";

/// A bench whose root is a fresh overlay over a sealed root.
struct Layers {
    bench: Bench,
}

impl Layers {
    fn over(sealed: &Bench, redirect: &str) -> Self {
        let bench = sealed.copy();
        let (root, lower) = (bench.root(), bench.path("lower"));
        fs::rename(&root, &lower).unwrap();
        for name in ["root", "upper", "work"] {
            fs::create_dir(bench.path(name)).unwrap();
        }
        let options = format!(
            "lowerdir={},upperdir={},workdir={},redirect_dir={redirect}",
            lower.display(),
            bench.path("upper").display(),
            bench.path("work").display()
        );
        let root = root.display().to_string();
        let words = ["-t", "overlay", "-o", &options, "overlay", &root];
        run("mount", words, None).must(0);
        Self { bench }
    }

    fn seal(&self) -> Run {
        self.bench.command(SEAL)
    }

    /// Seals, and is disturbed at a system call.
    fn seal_with(&self, injection: &str) -> Run {
        strace::inject(&self.bench, injection, "earmark", SEAL)
    }

    fn must_be_sealed_anew(&self, at: &str) {
        let run = self.bench.verify_offline();
        assert_eq!(run.code, 0, "{at}: {}{}", run.out, run.err);
        let report = run.json();
        assert_eq!(report["verdict"], "verified", "{at}");
        assert_eq!(report["image"]["version"], "2.0", "{at}");
        assert!(!self.listing().contains(".earmark-new"), "{at}");
    }

    fn listing(&self) -> String {
        let format = "%P %y %m %U:%G %s\\n";
        let found = run("find", [".", "-printf", format], Some(&self.bench.root()));
        let mut lines: Vec<String> = found.must(0).out.lines().map(str::to_owned).collect();
        lines.sort();
        lines.join("\n")
    }

    fn seal_directory(&self) -> PathBuf {
        self.bench.root().join("usr/lib/earmark/seal")
    }
}

impl Drop for Layers {
    fn drop(&mut self) {
        run(
            "umount",
            ["--lazy".as_ref(), self.bench.root().as_os_str()],
            None,
        );
    }
}

#[test]
fn privileged_overlay_over_a_sealed_base_is_sealed_anew() {
    let base = Bench::sealed();
    for (redirect, renames) in [("off", false), ("on", true)] {
        let layers = Layers::over(&base, redirect);
        // The control: what this kernel refuses, and what it does not.
        let (from, to) = (
            layers.seal_directory(),
            layers.bench.root().join("usr/lib/earmark/x"),
        );
        let renamed = rustix::fs::rename(&from, &to);
        assert_eq!(
            renamed,
            if renames { Ok(()) } else { Err(Errno::XDEV) },
            "{redirect}"
        );
        if renames {
            rustix::fs::rename(&to, &from).unwrap();
        }
        layers.seal().must(0);
        layers.must_be_sealed_anew(redirect);
        // And once more: now the directory is the upper layer's, or merged.
        layers.seal().must(0);
        layers.must_be_sealed_anew(redirect);
        // What is beneath stays as it was.
        let lower = "verify --root lower --trust trust.toml --json";
        let verified = layers.bench.command(lower).must(0).json();
        assert_eq!(verified["image"]["version"], "1.0");
    }
}

#[test]
fn privileged_overlay_keeps_the_old_seal_whole_if_any_step_fails() {
    let base = Bench::sealed();
    let mut failed = 0;
    for call in ["renameat2", "fsync", "mkdirat", "fchmod"] {
        for when in 1..=16 {
            let layers = Layers::over(&base, "off");
            let before = layers.listing();
            let run = layers.seal_with(&format!("{call}:error=EIO:when={when}"));
            if run.code == 0 {
                layers.must_be_sealed_anew("not disturbed");
                break;
            }
            failed += 1;
            assert_eq!(run.code, 11, "{call} {when}: {}", run.err);
            assert_eq!(layers.listing(), before, "{call} {when}: {}", run.err);
            let verified = layers.bench.verify_offline().must(0).json();
            assert_eq!(verified["image"]["version"], "1.0", "{call} {when}");
        }
    }
    assert!(
        failed >= 12,
        "only {failed} runs failed: the calls are others now"
    );
}

#[test]
fn privileged_killed_overlay_seal_is_recovered_by_the_next_run() {
    let base = Bench::sealed();
    let mut killed = 0;
    for call in ["renameat2", "unlinkat", "fsync", "mkdirat"] {
        for when in 1..=16 {
            let layers = Layers::over(&base, "off");
            let run = layers.seal_with(&format!("{call}:signal=SIGKILL:when={when}"));
            if run.code == 0 {
                break;
            }
            killed += 1;
            // Whatever is there now, it is not called an image that it is not.
            let code = layers.bench.verify_offline().code;
            assert!(matches!(code, 0 | 10 | 11), "{call} {when}: {code}");
            let at = format!("{call} {when}");
            layers.seal().must(0);
            layers.must_be_sealed_anew(&at);
        }
    }
    assert!(
        killed >= 12,
        "only {killed} runs were killed: the calls are others now"
    );
}
