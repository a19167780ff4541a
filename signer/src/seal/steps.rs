//! First-boot steps that could not run: refused before anything is signed, since a host would only find out
//! at its first boot, and stop there.
//!
//! The agent runs sealed programs alone and follows links as they were signed (`agent/src/exec`); the
//! same is asked here of what was just measured. A program may still fail for reasons of its own.

use earmark_manifest::{
    class::PathClass,
    declaration::{Action, Declaration},
    entry::{Entry, Node},
    path::ImagePath,
};
use earmark_scan::program::{self, Format};

use crate::{
    exit::{Exit, Failure, Outcome},
    io::output,
    seal::measured::Measured,
};

/// Refuses a declaration with steps whose program is not a sealed file of the image that they can run. Names all
/// of them at once. Templates are looked at by [`crate::seal::templates`].
pub fn refuse_unusable(declared: &Declaration, measured: &Measured<'_>) -> Outcome<()> {
    let programs = Programs(measured);
    let mut problems = Vec::new();
    for step in &declared.first_boot {
        let Action::Command { executable, .. } = &step.action else {
            continue;
        };
        if let Err(problem) = programs.check(executable) {
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

/// The programs of a measured root.
struct Programs<'a>(&'a Measured<'a>);

impl Programs<'_> {
    /// Refuses what the agent would not run.
    fn check(&self, path: &ImagePath) -> Result<(), String> {
        let Format::Script {
            interpreter,
            argument,
        } = self.executable(path)?
        else {
            return Ok(());
        };
        let of = |problem: String| format!("'{path}' is a script: {problem}");
        let interpreter = if interpreter.ends_with("/env") {
            self.by_env(argument.as_deref()).map_err(of)?
        } else {
            ImagePath::from_absolute(interpreter.as_bytes()).map_err(|error| {
                of(format!(
                    "its interpreter '{}': {error}",
                    output::plain(&interpreter)
                ))
            })?
        };
        match self.executable(&interpreter) {
            Ok(Format::Elf) => Ok(()),
            Ok(Format::Script { .. }) => Err(of(format!(
                "its interpreter '{interpreter}' is a script, too"
            ))),
            Err(problem) => Err(of(format!("its interpreter: {problem}"))),
        }
    }

    fn by_env(&self, argument: Option<&str>) -> Result<ImagePath, String> {
        let name = program::named_by_env(argument)?;
        let paths = program::ENV_PATH.iter().filter_map(|directory| {
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

    /// The format of a sealed file that can be run.
    fn executable(&self, path: &ImagePath) -> Result<Format, String> {
        let entry = self.file(path)?;
        let mode = entry.owner.map_or(0, |owner| owner.mode);
        if mode & 0o111 == 0 {
            return Err(format!(
                "'{path}' is not executable: mode {mode:04o}, expected such as 0755"
            ));
        }
        let start = self.0.start(&entry.path, program::START);
        let start = start.map_err(|error| format!("failed to read '{path}': {error}"))?;
        Format::of(&start).map_err(|problem| format!("'{path}': {problem}"))
    }

    /// The sealed regular file that a path leads to.
    fn file(&self, path: &ImagePath) -> Result<&Entry, String> {
        let rules = self.0.rules();
        let resolved = self.0.follow(path)?;
        let Some(entry) = self.0.get(resolved.as_bytes()) else {
            let mut at = Some(resolved.clone());
            while let Some(above) = at {
                if rules.class_of(&above) == PathClass::State {
                    return Err(format!(
                        "'{path}' is state, which nobody verifies (rule for '{above}'): expected a sealed file"
                    ));
                }
                at = above.parent();
            }
            return Err(match rules.class_of(&resolved) {
                PathClass::Sealed => format!("'{path}' is not in the image"),
                class @ (PathClass::Mutable
                | PathClass::Generated
                | PathClass::Rendered
                | PathClass::State
                | PathClass::Seal) => {
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
            (
                Node::Symlink(_)
                | Node::CharDevice(_)
                | Node::BlockDevice(_)
                | Node::Fifo
                | Node::Socket,
                _,
            ) => Err(format!("'{path}' is not a regular file")),
        }
    }
}
