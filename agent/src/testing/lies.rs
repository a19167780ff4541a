//! Lies in files that a host writes itself, which nothing that a host decides gets better by.

use std::fs;

use earmark_manifest::layout;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::TestRoot;

/// Files beneath `/run/earmark`, beside those of the state.
const RUN: [&str; 5] = [
    "status.json",
    "opened.json",
    "instance.json",
    "motd",
    "refused",
];

/// A lie: its name, and the change that it makes to a file of a root.
pub type Lie = (&'static str, fn(&TestRoot, &str));

/// Paths of all files that a host writes for itself beneath `/var/lib/earmark` and `/run/earmark`.
pub fn places() -> Vec<String> {
    let state = layout::STATE_FILES.iter();
    let state = state.map(|name| format!("/var/lib/earmark/{name}"));
    let run = RUN.iter().map(|name| format!("/run/earmark/{name}"));
    state.chain(run).collect()
}

/// Lies that need no knowledge of a file's format.
pub const LIES: [Lie; 10] = [
    ("absent", |root, path| {
        let _ = fs::remove_file(root.at(path));
    }),
    ("empty", |root, path| root.write(path, b"")),
    ("no text", |root, path| root.write(path, &[0xff; 64])),
    ("half of it", |root, path| {
        let bytes = fs::read(root.at(path)).unwrap_or_default();
        root.write(path, &bytes[..bytes.len() / 2]);
    }),
    ("another format", |root, path| {
        let text = fs::read_to_string(root.at(path)).unwrap_or_default();
        root.write(path, text.replacen("-1 ", "-9 ", 1).as_bytes());
    }),
    ("nested too deep", |root, path| {
        root.write(path, "[".repeat(100_000).as_bytes());
    }),
    ("huge", |root, path| {
        root.write(path, b"");
        let file = fs::File::options().write(true).open(root.at(path));
        file.unwrap().set_len(1 << 40).unwrap();
    }),
    ("a directory", |root, path| {
        let _ = fs::remove_file(root.at(path));
        fs::create_dir_all(root.at(path)).unwrap();
    }),
    ("a link to what is endless", |root, path| {
        let _ = fs::remove_file(root.at(path));
        root.link(path, "/dev/zero");
    }),
    ("a pipe that nobody writes to", |root, path| {
        root.write(path, b"");
        root.remove(path);
        mknodat(CWD, root.at(path), FileType::Fifo, Mode::RUSR, 0).unwrap();
    }),
];
