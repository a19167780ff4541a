//! Each way of changing a sealed root is found, named and refused; and each has its control.

mod changes;
mod names;
mod rendered;
mod rules;

use std::{fs, path::Path};

use earmark_tests::Bench;

/// A change of a root.
type Change = fn(&Bench);

/// Puts something else in the place of a file or directory.
fn replace(path: &Path, with: impl FnOnce(&Path)) {
    if path.symlink_metadata().unwrap().is_dir() {
        fs::remove_dir_all(path).unwrap();
    } else {
        fs::remove_file(path).unwrap();
    }
    with(path);
}
