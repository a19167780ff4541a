//! `[[first_boot]]`: the closed vocabulary of what may happen once, on a new host.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use serde::Deserialize;
use toml::Spanned;

use crate::{
    layout,
    name::{AccountName, ParameterName, StepName, UnitName},
    path::ImagePath,
    strict::Table,
};

use super::{
    Filesystem, Interval, OctalMode, Parameter, Problem,
    reach::{self, Reach},
    template::Template,
    text::AbsolutePath,
    volume::VolumeDocument,
};

/// A first-boot step.
#[derive(Debug)]
pub struct Step {
    /// Its name, unique in the declaration.
    pub name: StepName,
    /// Effect of the step.
    pub action: Action,
    /// Handling of the step if a crash cut it short.
    pub interrupted: Interrupted,
    /// Bytes of the declaration that it stands in, for [`super::Declaration::error_at`].
    pub at: Range<usize>,
}

/// Effect of a step.
#[derive(Debug)]
pub enum Action {
    /// A program of the image runs to its end with status 0. No shell.
    Command {
        /// The program.
        executable: ImagePath,
        /// Its arguments, without the program itself.
        arguments: Vec<Template>,
        /// Its environment, beside a fixed `PATH` and `LANG`.
        environment: BTreeMap<String, Template>,
        /// Secret parameters that it gets, as files.
        secrets: Vec<ParameterName>,
        /// Longer than this is a failure.
        timeout: Interval,
    },
    /// A file has the content of a template of the image.
    File {
        /// The file.
        path: ImagePath,
        /// The template.
        template: ImagePath,
        /// Its mode.
        mode: OctalMode,
        /// Its owner.
        owner: AccountName,
        /// Its group; the owner's own, if absent.
        group: Option<AccountName>,
    },
    /// The host has this name.
    Hostname {
        /// The name.
        template: Template,
    },
    /// Units of the image are enabled, or started.
    Unit {
        /// Enabled and started.
        enable: Vec<UnitName>,
        /// Started.
        start: Vec<UnitName>,
    },
    /// A volume is mounted, and made a file system on if it is blank.
    Volume {
        /// The block device: what [`super::VolumeDevice`] reads, once the values are in place.
        device: Template,
        /// The kind of file system.
        filesystem: Filesystem,
        /// Mount point.
        mount: ImagePath,
        /// True if the file system grows to the device's size.
        grow: bool,
    },
}

/// Handling of a step that a crash cut short. The default depends on what the step does: a
/// command may have done half of anything, so that it fails; the others can be done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interrupted {
    /// First boot fails: a person looks.
    Fail,
    /// The step runs again.
    Retry,
}

/// A command that says nothing of its timeout gets this.
const DEFAULT_TIMEOUT: Interval = Interval::from_secs(60);

pub(super) fn check(
    documents: Vec<Spanned<Table<StepDocument>>>,
    parameters: &BTreeMap<ParameterName, Parameter>,
) -> Result<Vec<Step>, Problem> {
    let mut names = BTreeSet::new();
    let mut steps = Vec::new();
    for document in documents {
        let at = document.span();
        let document = document.into_inner().0;
        let fail = |at: Range<usize>, problem: String| Err(Problem { at, problem });
        // The journal finds a step by its name: the second of two would count as done with the first.
        if !names.insert(document.name.get_ref().clone()) {
            return fail(
                document.name.span(),
                format!("duplicate step '{}'", document.name.get_ref()),
            );
        }
        let mut actions = Vec::new();
        actions.extend(
            document
                .command
                .map(|command| (command.span(), command.into_inner().0.check())),
        );
        actions.extend(
            document
                .file
                .map(|file| (file.span(), file.into_inner().0.check())),
        );
        actions.extend(
            document
                .hostname
                .map(|hostname| (hostname.span(), hostname.into_inner().0.check())),
        );
        actions.extend(
            document
                .unit
                .map(|unit| (unit.span(), unit.into_inner().0.check())),
        );
        actions.extend(
            document
                .volume
                .map(|volume| (volume.span(), volume.into_inner().0.check())),
        );
        // The journal knows a step as done or not done: of two actions in one, a crash could leave half.
        let (Some((span, action)), None) = (actions.pop(), actions.pop()) else {
            let problem = "a step has exactly one of command, file, hostname, unit, volume";
            return fail(document.name.span(), problem.to_owned());
        };
        let action = action.map_err(|problem| Problem {
            at: span.clone(),
            problem,
        })?;
        for (template, reach) in templates(&action) {
            reach::check(template, parameters, reach).map_err(|problem| Problem {
                at: span.clone(),
                problem,
            })?;
        }
        if let Action::Command { secrets, .. } = &action {
            // One that is not secret may stand in arguments and in the status: as a file it would only look protected.
            let is_secret = |name| {
                parameters
                    .get(name)
                    .is_some_and(|parameter| parameter.secret)
            };
            if let Some(name) = secrets.iter().find(|name| !is_secret(name)) {
                let problem =
                    format!("secrets: '{name}' is not a declared parameter with secret = true");
                return fail(span, problem);
            }
        }
        let usual = match action {
            Action::Command { .. } => Interrupted::Fail,
            Action::File { .. }
            | Action::Hostname { .. }
            | Action::Unit { .. }
            | Action::Volume { .. } => Interrupted::Retry,
        };
        steps.push(Step {
            name: document.name.into_inner(),
            action,
            interrupted: document.interrupted.unwrap_or(usual),
            at,
        });
    }
    Ok(steps)
}

/// The templates of a step that are in the declaration, and where their values go.
fn templates(action: &Action) -> Vec<(&Template, Reach)> {
    match action {
        Action::Command {
            arguments,
            environment,
            ..
        } => {
            let arguments = arguments.iter().map(|template| (template, Reach::Argument));
            let environment = environment.values();
            let environment = environment.map(|template| (template, Reach::Environment));
            arguments.chain(environment).collect()
        }
        Action::Hostname { template } => vec![(template, Reach::HostName)],
        Action::Volume { device, .. } => vec![(device, Reach::Device)],
        // The template of a file is a file of the image, which `Declaration::check_template` is given once it was read.
        Action::File { .. } | Action::Unit { .. } => Vec::new(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StepDocument {
    name: Spanned<StepName>,
    interrupted: Option<Interrupted>,
    command: Option<Spanned<Table<CommandDocument>>>,
    file: Option<Spanned<Table<FileDocument>>>,
    hostname: Option<Spanned<Table<HostnameDocument>>>,
    unit: Option<Spanned<Table<UnitDocument>>>,
    volume: Option<Spanned<Table<VolumeDocument>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandDocument {
    argv: Vec<String>,
    timeout: Option<Interval>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    secrets: Vec<ParameterName>,
}

impl CommandDocument {
    fn check(self) -> Result<Action, String> {
        let mut argv = self.argv.into_iter();
        let program = argv
            .next()
            .ok_or("argv is empty: expected at least the program")?;
        let mut environment = BTreeMap::new();
        for (name, template) in self.environment {
            check_variable(&name)?;
            environment.insert(name, template.parse()?);
        }
        Ok(Action::Command {
            // A path and no template: no value may choose the program that runs as root.
            executable: AbsolutePath::try_from(program)
                .map_err(|error| format!("argv: {error}"))?
                .0,
            arguments: argv
                .map(|argument| argument.parse())
                .collect::<Result<_, _>>()?,
            environment,
            secrets: self.secrets,
            timeout: self.timeout.unwrap_or(DEFAULT_TIMEOUT),
        })
    }
}

/// A variable that the dynamic loader acts on would make code of a value.
fn check_variable(name: &str) -> Result<(), String> {
    let good = !name.is_empty()
        && name.len() <= 64
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    // PATH decides which programs a script runs. Variables of one interpreter (BASH_ENV, PYTHONPATH) are not refused:
    // which of them are code depends on the program, and who reviews the declaration knows it.
    let ours = ["PATH", "CREDENTIALS_DIRECTORY"].contains(&name);
    // What the loader and the C library take from the environment of each program: libraries, converters, settings.
    let is_loaders = name.starts_with("LD_") || ["GCONV_PATH", "GLIBC_TUNABLES"].contains(&name);
    if good && !ours && !is_loaders {
        Ok(())
    } else {
        Err(format!(
            "environment: expected a name such as APP_ENV, and not PATH, CREDENTIALS_DIRECTORY, GCONV_PATH, \
             GLIBC_TUNABLES or LD_…; found '{}'",
            crate::escape::Escaped(name.as_bytes())
        ))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileDocument {
    path: AbsolutePath,
    template: AbsolutePath,
    mode: OctalMode,
    owner: AccountName,
    group: Option<AccountName>,
}

impl FileDocument {
    fn check(self) -> Result<Action, String> {
        let earmark = ImagePath::from_absolute(layout::EARMARK_DIR.as_bytes())
            .map_err(|error| error.to_string())?;
        // The class rules would refuse this as well, but in terms of a rule that nobody wrote.
        if self.path.0.is_beneath(&earmark) {
            return Err(format!(
                "a step must not write into {}",
                layout::EARMARK_DIR
            ));
        }
        Ok(Action::File {
            path: self.path.0,
            template: self.template.0,
            mode: self.mode,
            owner: self.owner,
            group: self.group,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HostnameDocument {
    template: String,
}

impl HostnameDocument {
    fn check(self) -> Result<Action, String> {
        if self.template.is_empty() {
            return Err("the host name is empty".to_owned());
        }
        Ok(Action::Hostname {
            template: self.template.parse()?,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UnitDocument {
    #[serde(default)]
    enable: Vec<UnitName>,
    #[serde(default)]
    start: Vec<UnitName>,
}

impl UnitDocument {
    fn check(self) -> Result<Action, String> {
        const SUFFIXES: [&str; 6] = [
            ".service", ".socket", ".timer", ".target", ".mount", ".path",
        ];
        for unit in self.enable.iter().chain(&self.start) {
            if !SUFFIXES
                .iter()
                .any(|suffix| unit.as_str().ends_with(suffix))
            {
                return Err(format!(
                    "'{unit}' has no unit suffix: expected {}",
                    SUFFIXES.join(", ")
                ));
            }
        }
        if self.enable.is_empty() && self.start.is_empty() {
            return Err("expected enable = [\"…\"] or start = [\"…\"]".to_owned());
        }
        Ok(Action::Unit {
            enable: self.enable,
            start: self.start,
        })
    }
}
