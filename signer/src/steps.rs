//! First-boot steps that could not run: refused before anything is signed, since a host would only find out
//! at its first boot, and stop there.
//!
//! The agent runs sealed programs alone and follows links as they were signed (`agent/src/first_boot`); the
//! same is asked here of what was just measured. A program may still fail for reasons of its own.

use std::io::Read;

use earmark_manifest::{
    class::{PathClass, RuleSet},
    declaration::{Action, Declaration},
    entry::{Entry, Node},
    path::ImagePath,
};
use earmark_scan::{Root, links::Links};

use crate::{
    exit::{Exit, Failure, Outcome},
    output,
};

/// The kernel reads no more of a script's first line.
const FIRST_LINE: u64 = 256;
/// Directories that the agent searches for the program that `env` in a script's first line names.
const PATH: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Refuses a declaration with steps whose program is not a sealed file of the image that they can run. Names all
/// of them at once. Templates are looked at by [`crate::templates`].
pub fn refuse_unusable(
    root: &Root,
    (declared, rules): (&Declaration, &RuleSet),
    entries: &[Entry],
) -> Outcome<()> {
    let mut links = Links::default();
    for entry in entries {
        if let (Node::Symlink(Some(target)), PathClass::Sealed) = (&entry.node, entry.class) {
            links.insert(entry.path.clone(), target.clone());
        }
    }
    let image = Image {
        root,
        rules,
        entries,
        links,
    };
    let mut problems = Vec::new();
    for step in &declared.first_boot {
        let problem = match &step.action {
            Action::Command { executable, .. } => image.program(executable).map(drop),
            _ => continue,
        };
        if let Err(problem) = problem {
            problems.push(format!("step '{}': {problem}", step.name));
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    let count = output::count(problems.len(), "first-boot step", "first-boot steps");
    let text = format!("{count} could not run:\n  {}", problems.join("\n  "));
    Err(Failure::new(Exit::Usage, text).next(
        "a step uses sealed files of the image: bake them, or name others in [[first_boot]] of earmark.toml",
    ))
}

/// A measured root.
struct Image<'a> {
    root: &'a Root,
    rules: &'a RuleSet,
    /// Sorted by path.
    entries: &'a [Entry],
    /// The sealed ones.
    links: Links,
}

impl Image<'_> {
    /// Refuses what the agent would not run.
    fn program(&self, path: &ImagePath) -> Result<(), String> {
        let Some((interpreter, argument)) = self.executable(path)? else {
            return Ok(());
        };
        let of = |problem: String| format!("'{path}' is a script: {problem}");
        let interpreter = if interpreter.ends_with("/env") {
            self.by_env(&argument.unwrap_or_default()).map_err(of)?
        } else {
            ImagePath::from_absolute(interpreter.as_bytes()).map_err(|error| {
                of(format!(
                    "its interpreter '{}': {error}",
                    output::plain(&interpreter)
                ))
            })?
        };
        match self.executable(&interpreter) {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err(of(format!(
                "its interpreter '{interpreter}' is a script, too"
            ))),
            Err(problem) => Err(of(format!("its interpreter: {problem}"))),
        }
    }

    /// `env` would look in directories whose files nobody compared: the agent looks in these.
    fn by_env(&self, name: &str) -> Result<ImagePath, String> {
        let plain =
            !name.is_empty() && !name.contains(['/', ' ', '\t', '=']) && !name.starts_with('-');
        if !plain {
            return Err("expected '#!/usr/bin/env' with one name".to_owned());
        }
        let paths = PATH.iter().filter_map(|directory| {
            ImagePath::from_absolute(format!("{directory}/{name}").as_bytes()).ok()
        });
        let mut found = paths.filter(|path| self.file(path).is_ok());
        found.next().ok_or_else(|| {
            format!(
                "no sealed program of the image is named '{}'",
                output::plain(name)
            )
        })
    }

    /// A sealed program, and the interpreter and argument of its first line if it is a script.
    fn executable(&self, path: &ImagePath) -> Result<Option<(String, Option<String>)>, String> {
        let entry = self.file(path)?;
        let mode = entry.owner.map_or(0, |owner| owner.mode);
        if mode & 0o111 == 0 {
            return Err(format!(
                "'{path}' is not executable: mode {mode:04o}, expected such as 0755"
            ));
        }
        let unread = |error: &dyn std::fmt::Display| format!("failed to read '{path}': {error}");
        let (file, _) = self
            .root
            .open_regular(&entry.path)
            .map_err(|error| unread(&error))?;
        let mut head = Vec::new();
        file.take(FIRST_LINE)
            .read_to_end(&mut head)
            .map_err(|error| unread(&error))?;
        first_line(&head).map_err(|problem| format!("'{path}': {problem}"))
    }

    /// The sealed regular file that a path leads to.
    fn file(&self, path: &ImagePath) -> Result<&Entry, String> {
        let resolved = self.links.resolve(path)?;
        let Some(entry) = self.entry(&resolved) else {
            let mut at = Some(resolved.clone());
            while let Some(above) = at {
                if self.rules.class_of(&above) == PathClass::State {
                    return Err(format!(
                        "'{path}' is state, which nobody verifies (rule for '{above}'): expected a sealed file"
                    ));
                }
                at = above.parent();
            }
            return Err(match self.rules.class_of(&resolved) {
                PathClass::Sealed => format!("'{path}' is not in the image"),
                class => {
                    format!("'{path}' is {class}, and not in the image: expected a sealed file")
                }
            });
        };
        match (&entry.node, entry.class) {
            (Node::Directory, _) => Err(format!("'{path}' is a directory")),
            (Node::Regular(_), PathClass::Sealed) => Ok(entry),
            (Node::Regular(_), class) => Err(format!(
                "'{path}' is {class}, so that nobody verifies its content: expected a sealed file"
            )),
            _ => Err(format!("'{path}' is not a regular file")),
        }
    }

    fn entry(&self, path: &ImagePath) -> Option<&Entry> {
        let found = self.entries.binary_search_by(|entry| entry.path.cmp(path));
        found.ok().and_then(|index| self.entries.get(index))
    }
}

/// The interpreter and its argument, if the file that begins so is a script.
fn first_line(head: &[u8]) -> Result<Option<(String, Option<String>)>, String> {
    let Some(rest) = head.strip_prefix(b"#!") else {
        return Ok(None);
    };
    let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.len() + 2 >= usize::try_from(FIRST_LINE).unwrap_or(usize::MAX) - 1 {
        return Err("its first line is too long".to_owned());
    }
    let line = std::str::from_utf8(line).map_err(|_| "its first line is not UTF-8".to_owned())?;
    let line = line.trim();
    let (program, argument) = line
        .split_once([' ', '\t'])
        .map_or((line, None), |(program, rest)| (program, Some(rest.trim())));
    Ok(Some((program.to_owned(), argument.map(str::to_owned))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_line_is_read_as_the_kernel_does() {
        let read = |head: &str| first_line(head.as_bytes());
        let line = |program: &str, argument: Option<&str>| {
            Ok(Some((program.to_owned(), argument.map(str::to_owned))))
        };
        assert_eq!(read("\x7fELF"), Ok(None));
        assert_eq!(read("echo\n"), Ok(None));
        assert_eq!(read("#!/bin/sh\nx"), line("/bin/sh", None));
        assert_eq!(read("#! /bin/sh -eu \n"), line("/bin/sh", Some("-eu")));
        assert_eq!(
            read("#!/usr/bin/env python3"),
            line("/usr/bin/env", Some("python3"))
        );
        assert!(read(&format!("#!/{}", "x".repeat(300))).is_err());
    }
}
