//! A difference as Markdown, for the page on which a release is reviewed.

use std::fmt::Write;

use super::{Change, Difference, Length, text};
use crate::inspect::render::Section;

pub(super) fn render(difference: &Difference, length: Length) -> String {
    let mut page = format!("## {} → {}\n", code(&difference.old), code(&difference.new));
    page.push('\n');
    for line in difference.compared.lines() {
        let _ = writeln!(page, "- {}", code(&line));
    }
    if difference.is_empty() {
        let _ = writeln!(page, "\nThe {} say the same.", difference.compared.what);
    }
    table(&mut page, "Manifest", difference.manifest.iter());
    for section in Section::ALL {
        let changes = difference.declaration.iter();
        let changes = changes.filter(|change| change.section == section);
        table(
            &mut page,
            section.title(),
            changes.map(|change| &change.change),
        );
    }
    table(&mut page, "Class rules", difference.rules.iter());
    table(&mut page, "Packages", difference.packages.iter());
    push_files(&mut page, difference, length);
    if !difference.notes.is_empty() {
        page.push_str("\n### Not compared\n\n");
        for note in &difference.notes {
            let _ = writeln!(page, "- {}", code(note));
        }
    }
    page
}

fn table<'a>(page: &mut String, title: &str, changes: impl Iterator<Item = &'a Change>) {
    let mut changes = changes.peekable();
    if changes.peek().is_none() {
        return;
    }
    let _ = write!(
        page,
        "\n### {title}\n\n| | before | after |\n| --- | --- | --- |\n"
    );
    for Change { name, old, new } in changes {
        let cell = |value: &Option<String>| value.as_deref().map_or_else(String::new, code);
        let _ = writeln!(page, "| {} | {} | {} |", code(name), cell(old), cell(new));
    }
}

fn push_files(page: &mut String, difference: &Difference, length: Length) {
    let total = difference.added + difference.removed + difference.changed;
    if total == 0 {
        return;
    }
    if !difference.notable.is_empty() {
        page.push_str("\n### Programs that give away rights\n\n");
        push_list(page, &difference.notable, text::NOTABLE, length);
    }
    let _ = writeln!(
        page,
        "\n### Files: {} added, {} removed, {} changed\n",
        difference.added, difference.removed, difference.changed
    );
    for group in &difference.groups {
        let title = text::group_title(difference, group);
        let most = text::listed(group, total);
        if most == 0 && length == Length::Short {
            let _ = writeln!(page, "- {}", code(&title));
            continue;
        }
        let _ = writeln!(page, "\n**{}**\n", code(&title));
        push_list(page, &group.files, most, length);
    }
}

fn push_list(page: &mut String, files: &[super::FileChange], most: usize, length: Length) {
    let most = match length {
        Length::All => files.len(),
        Length::Short => most,
    };
    for file in files.iter().take(most) {
        let _ = writeln!(page, "- {}", code(&text::file_line(file)));
    }
    if files.len() > most {
        let _ = writeln!(page, "- … and {} more", files.len() - most);
    }
}

/// A code span: nothing in it is markup, but a backtick would end it and a bar a table's cell.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('`', "\\x60").replace('|', "\\x7c"))
}
