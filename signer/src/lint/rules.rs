//! Checks of the rules, by theme. The list of the rules is in [`super::table`].

pub mod accounts;
pub mod agent;
pub mod classes;
pub mod cloud_init;
pub mod environment;
pub mod histories;
pub mod identity;
pub mod known;
pub mod packages;
pub mod rewritten;
pub mod secrets;
pub mod traces;
pub mod units;
mod values;
pub mod verity;

use earmark_manifest::path::ImagePath;

use super::{
    finding::Draft,
    image::{Image, Seen},
};

/// Findings of a rule, which it adds to.
pub type Sink = Vec<Draft>;

/// A path of this program's own. They are all absolute, so that it never is the root.
fn path(text: &str) -> ImagePath {
    ImagePath::from_absolute(text.as_bytes()).unwrap_or_default()
}

/// Describes the number and the total size of files.
fn sum(files: &[&Seen<'_>]) -> String {
    let files = files.iter().filter(|file| file.is_file());
    let (mut count, mut bytes) = (0u64, 0u64);
    for file in files {
        count += 1;
        bytes = bytes.saturating_add(file.size);
    }
    let count = crate::io::output::count(count, "file", "files");
    format!("has {count} of {}", crate::io::output::size(bytes))
}
