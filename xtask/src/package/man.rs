//! Manual pages, from what the programs themselves say when asked for help: a page that is built
//! with its program cannot say anything else.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use crate::run::Run;

/// The manual page of a program and all its commands. The program is run behind the words of `runner`.
pub fn page(path: &Path, runner: &[OsString], section: u8) -> Result<String> {
    let program: Vec<OsString> = runner.iter().cloned().chain([path.into()]).collect();
    let program = &program[..];
    let name = path.file_name().context("a program without a name")?;
    let name = name.to_string_lossy();
    let help = help(program, &[])?;
    let mut page = format!(
        ".TH {} {section} \"\" \"Earmark {}\"\n.SH NAME\n{name} \\- {}\n",
        name.to_uppercase(),
        crate::package::VERSION,
        text(&summary(&help)),
    );
    render(&mut page, &help, ".SH");
    for command in commands(&help) {
        subpage(&mut page, program, &name, &[command])?;
    }
    Ok(page)
}

/// A command, and those beneath it.
fn subpage(page: &mut String, program: &[OsString], name: &str, words: &[&str]) -> Result<()> {
    let help = help(program, words)?;
    let command = words.join(" ");
    let _ = write!(page, ".SH \"{name} {command}\"\n{}.\n", text(help.about()));
    render(page, &help, ".SS");
    for command in commands(&help) {
        subpage(page, program, name, &[words, &[command]].concat())?;
    }
    Ok(())
}

/// Output of `--help`, to be read by its headings.
struct Help(String);

fn help(program: &[OsString], command: &[&str]) -> Result<Help> {
    let (first, rest) = program.split_first().context("a program without a path")?;
    let run = Run::new(first).args(rest).args(command).arg("--help");
    Ok(Help(run.quiet().output()?))
}

impl Help {
    /// The paragraphs before the usage.
    fn about(&self) -> &str {
        self.0.split("Usage:").next().unwrap_or_default().trim()
    }

    /// Heading and lines of each section; the usage is one.
    fn sections(&self) -> Vec<(&str, Vec<&str>)> {
        let mut sections: Vec<(&str, Vec<&str>)> = Vec::new();
        for line in self.0.lines() {
            if let Some(usage) = line.strip_prefix("Usage: ") {
                sections.push(("SYNOPSIS", vec![usage]));
            } else if let Some(heading) = heading(line) {
                sections.push((heading, Vec::new()));
            } else if let Some((_, lines)) = sections.last_mut() {
                lines.push(line);
            }
        }
        sections
    }
}

/// `Options:` is a heading; an indented line is not, nor is a sentence.
fn heading(line: &str) -> Option<&str> {
    let words = line.strip_suffix(':')?;
    let plain = |c: char| c.is_ascii_alphabetic() || c == ' ';
    let short = words.starts_with(|c: char| c.is_ascii_uppercase()) && words.chars().all(plain);
    (short && words.split(' ').count() <= 3).then_some(words)
}

/// The commands that the help lists, but for the one that only shows help.
fn commands(help: &Help) -> Vec<&str> {
    let sections = help.sections();
    let listed = sections.iter().find(|(heading, _)| *heading == "Commands");
    let lines = listed.map(|(_, lines)| lines.as_slice());
    // What follows a name on lines of its own is indented further.
    let name = |line: &&'_ str| -> bool { line.starts_with("  ") && !line.starts_with("   ") };
    let names = lines.unwrap_or_default().iter().filter(|line| name(line));
    names
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect()
}

/// The first paragraph, as the line after a name: in one line, without a capital.
fn summary(help: &Help) -> String {
    let first = help.about().split("\n\n").next().unwrap_or_default();
    let line = first.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut chars = line.chars();
    let lower = chars.next().map(|c| c.to_lowercase().to_string());
    lower.unwrap_or_default() + chars.as_str()
}

/// The sections as they are laid out for a terminal: they are made for eighty columns.
fn render(page: &mut String, help: &Help, macro_: &str) {
    for (heading, lines) in help.sections() {
        let _ = write!(page, "{macro_} \"{}\"\n.nf\n", heading.to_uppercase());
        let end = lines.iter().rposition(|line| !line.is_empty());
        for line in lines.iter().take(end.map_or(0, |end| end + 1)) {
            let _ = writeln!(page, "{}", text(line));
        }
        page.push_str(".fi\n");
    }
}

/// Plain text for roff: its signs are only signs, and a dash is a dash that can be copied.
fn text(line: &str) -> String {
    let escaped = line.replace('\\', "\\e").replace('-', "\\-");
    if escaped.starts_with(['.', '\'']) {
        return format!("\\&{escaped}");
    }
    escaped
}

#[cfg(test)]
mod tests {
    use earmark_tests::{golden, golden::masked, program};

    use super::*;

    /// What people read of the command line, as it is packaged.
    #[test]
    fn manual_pages_are_golden() {
        for (name, section) in [("earmark", 1), ("earmark-agent", 8)] {
            let page = page(&program(name), &[], section).unwrap();
            let version = format!("Earmark {}", crate::package::VERSION);
            let page = page.replacen(&version, "Earmark VERSION", 1);
            golden!(&format!("{name}.{section}"), masked(&page));
        }
    }

    const HELP: &str = "Verifies things\n\nUsage: x <COMMAND>\n\nCommands:\n  status  Say\n          more\n  \
                        verify  Decide\n  help    Print\n\nOptions:\n  -h, --help  Print help\n\nExit codes:\n  0  done\n";

    #[test]
    fn help_text_is_split_into_sections_and_commands() {
        let help = Help(HELP.to_owned());
        assert_eq!(summary(&help), "verifies things");
        assert_eq!(commands(&help), ["status", "verify"]);
        let headings: Vec<&str> = help
            .sections()
            .iter()
            .map(|(heading, _)| *heading)
            .collect();
        assert_eq!(headings, ["SYNOPSIS", "Commands", "Options", "Exit codes"]);
        let mut page = String::new();
        render(&mut page, &help, ".SH");
        assert!(
            page.contains(".SH \"EXIT CODES\"\n.nf\n  0  done\n.fi\n"),
            "{page}"
        );
        assert!(page.contains("  \\-h, \\-\\-help  Print help\n"), "{page}");
    }

    #[test]
    fn help_sentence_is_not_a_heading_and_leading_dot_is_escaped() {
        assert_eq!(heading("The keys are those of the root:"), None);
        assert_eq!(heading("  Options:"), None);
        assert_eq!(text(".so /etc/shadow"), "\\&.so /etc/shadow");
    }
}
