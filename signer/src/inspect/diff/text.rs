//! A difference as text for a terminal.

use std::fmt::Write;

use super::{Change, Difference, FileChange, Group, Kind, Length};
use crate::{
    inspect::render::Section,
    io::output::{count, thousands},
};

/// Up to this many changed files, some of each package are listed; beyond, those of no package.
pub(super) const FEW: usize = 200;
/// Files listed of a package.
pub(super) const OF_A_PACKAGE: usize = 10;
/// Files listed of no package, in a long difference.
pub(super) const OF_NONE: usize = 25;
/// Notable files listed.
pub(super) const NOTABLE: usize = 25;

pub(super) fn render(difference: &Difference, length: Length) -> String {
    let mut text = format!("{} -> {}\n", difference.old, difference.new);
    for line in difference.compared.lines() {
        let _ = writeln!(text, "  {line}");
    }
    if difference.is_empty() {
        let _ = writeln!(text, "  the {} say the same", difference.compared.what);
    }
    for change in &difference.manifest {
        push_change(&mut text, change);
    }
    for section in Section::ALL {
        let changes = difference.declaration.iter();
        let changes = changes.filter(|change| change.section == section);
        heading(
            &mut text,
            section.title(),
            changes.map(|change| &change.change),
        );
    }
    heading(&mut text, "Class rules", difference.rules.iter());
    let packages = format!(
        "Packages: {}",
        count(difference.packages.len(), "change", "changes")
    );
    heading(&mut text, &packages, difference.packages.iter());
    push_files(&mut text, difference, length);
    if !difference.notes.is_empty() {
        text.push_str("\nNot compared\n");
        for note in &difference.notes {
            let _ = writeln!(text, "  {note}");
        }
    }
    text
}

fn heading<'a>(text: &mut String, title: &str, changes: impl Iterator<Item = &'a Change>) {
    let mut changes = changes.peekable();
    if changes.peek().is_none() {
        return;
    }
    let _ = writeln!(text, "\n{title}");
    for change in changes {
        push_change(text, change);
    }
}

fn push_change(text: &mut String, change: &Change) {
    let Change { name, old, new } = change;
    let _ = match (old, new) {
        (None, Some(new)) if new == name => writeln!(text, "  + {name}"),
        (Some(old), None) if old == name => writeln!(text, "  - {name}"),
        (None, Some(new)) => writeln!(text, "  + {name}: {new}"),
        (Some(old), None) => writeln!(text, "  - {name}: {old}"),
        (Some(old), Some(new)) if old.len() + new.len() > 60 => {
            writeln!(text, "  ~ {name}\n      - {old}\n      + {new}")
        }
        (Some(old), Some(new)) => writeln!(text, "  ~ {name}: {old} -> {new}"),
        (None, None) => Ok(()),
    };
}

fn push_files(text: &mut String, difference: &Difference, length: Length) {
    let total = difference.added + difference.removed + difference.changed;
    if total == 0 {
        return;
    }
    if !difference.notable.is_empty() {
        text.push_str("\nPrograms that give away rights\n");
        push_list(text, &difference.notable, NOTABLE, length, "  ");
    }
    let _ = writeln!(
        text,
        "\nFiles: {} added, {} removed, {} changed",
        thousands_of(difference.added),
        thousands_of(difference.removed),
        thousands_of(difference.changed)
    );
    for group in &difference.groups {
        let _ = writeln!(text, "  {}", group_title(difference, group));
        push_list(text, &group.files, listed(group, total), length, "    ");
    }
}

/// Returns how many files of a group are listed, at most, in a difference of `total` files.
pub(super) fn listed(group: &Group, total: usize) -> usize {
    match (&group.package, total > FEW) {
        (None, true) => OF_NONE,
        (Some(_), true) => 0,
        (_, false) => OF_A_PACKAGE,
    }
}

pub(super) fn group_title(difference: &Difference, group: &Group) -> String {
    let name = group.package.as_deref().unwrap_or("(no package)");
    let version = difference
        .packages
        .iter()
        .find(|change| Some(&change.name) == group.package.as_ref());
    let version = match version.map(|change| (&change.old, &change.new)) {
        Some((Some(old), Some(new))) => format!(" {old} -> {new}"),
        Some((None, Some(new))) => format!(" {new}, new"),
        Some((Some(old), None)) => format!(" {old}, removed"),
        _ => String::new(),
    };
    format!(
        "{name}{version}: {} added, {} removed, {} changed",
        thousands_of(group.added),
        thousands_of(group.removed),
        thousands_of(group.changed)
    )
}

fn push_list(text: &mut String, files: &[FileChange], most: usize, length: Length, indent: &str) {
    let most = match length {
        Length::All => files.len(),
        Length::Short => most,
    };
    for file in files.iter().take(most) {
        let _ = writeln!(text, "{indent}{}", file_line(file));
    }
    if most > 0 && files.len() > most {
        let more = files.len() - most;
        let _ = writeln!(text, "{indent}… and {} more; --all", thousands_of(more));
    }
}

/// A file in one line.
pub(super) fn file_line(file: &FileChange) -> String {
    let sign = match file.kind {
        Kind::Added => '+',
        Kind::Removed => '-',
        Kind::Changed => '~',
    };
    let fields: Vec<String> = file.fields.iter().map(field_words).collect();
    if fields.is_empty() {
        return format!("{sign} {}", file.path);
    }
    format!("{sign} {}  {}", file.path, fields.join(", "))
}

fn field_words(change: &Change) -> String {
    let Change { name, old, new } = change;
    match (old, new) {
        (Some(old), Some(new)) => format!("{name} {old} -> {new}"),
        (None, Some(new)) => format!("{name} {new}"),
        (Some(old), None) => format!("{name} no longer {old}"),
        (None, None) => name.clone(),
    }
}

fn thousands_of(number: usize) -> String {
    thousands(u64::try_from(number).unwrap_or(u64::MAX))
}
