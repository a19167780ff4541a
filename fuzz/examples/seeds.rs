//! Writes `seeds/`, from which fuzzing starts: the accepted vectors, some patterns, a report. Run it with
//! `cargo run --example seeds` in this directory, after a change of the vectors.

use std::{fs, path::PathBuf};

#[allow(dead_code, reason = "shared with the tests of the format")]
#[path = "../../manifest/tests/common/vector.rs"]
mod vector;

use vector::{Expectation, Vector};

/// Seeds larger than this slow the fuzzer down more than they teach it.
const MOST: usize = 8 * 1024;

const PATTERNS: &[&str] = &[
    "/etc/hosts\n/etc/hosts",
    "/etc/ssh/ssh_host_*_key\n/etc/ssh/ssh_host_rsa_key",
    "/opt/web/**\n/opt/web/bin/web",
    "/a/?*b*c\n/a/xxbxc",
    "/usr/lib/*/systemd/**\n/usr/lib/x86_64-linux-gnu/systemd/a/b",
];

/// A file of `manifest/tests`, for the vectors.
fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../manifest/tests")
        .join(path)
}

fn main() {
    let write = |target: &str, name: &str, bytes: &[u8]| {
        let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("seeds")
            .join(target);
        fs::create_dir_all(&dir).expect("makes the directory");
        fs::write(dir.join(name), bytes).expect("writes a seed");
    };
    for kind in ["channel", "declaration", "envelope", "grant", "statement", "tree", "trust"] {
        for vector in Vector::all(kind) {
            let small = vector.input.len() <= MOST;
            if !small || vector.expect != Expectation::Accepted {
                continue;
            }
            let target = if vector.is_stored {
                "stored_tree"
            } else {
                kind
            };
            let name = vector.name.split('/').next_back().unwrap_or_default();
            write(target, name.trim_end_matches(".txt"), &vector.input);
        }
    }
    for (number, pattern) in PATTERNS.iter().enumerate() {
        write("pattern", &number.to_string(), pattern.as_bytes());
    }
    // A report has no vectors: what it has is the document's example.
    let document = fs::read_to_string(file("../../docs/manifest-format.md")).expect("the document");
    let (_, report) = document.split_once("```json example=report\n").expect("an example");
    let (report, _) = report.split_once("```").expect("its end");
    write("report", "accepted", report.as_bytes());
}
