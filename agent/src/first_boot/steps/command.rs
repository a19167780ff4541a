//! `command`: a program of the image runs to its end, with arguments and never a shell.

use std::{collections::BTreeMap, time::Duration};

use earmark_manifest::{declaration::Template, name::ParameterName, path::ImagePath};

use super::{Context, StepResult};
use crate::{
    exec::{Failure, StepRun, executable::Executable, run_step},
    first_boot::credentials::Credentials,
};

/// A command as it is declared.
#[derive(Debug)]
pub struct Command<'a> {
    /// The program.
    pub executable: &'a ImagePath,
    /// Its arguments.
    pub arguments: &'a [Template],
    /// Its environment.
    pub environment: &'a BTreeMap<String, Template>,
    /// Secret parameters that it gets as files.
    pub secrets: &'a [ParameterName],
    /// Longer is a failure.
    pub timeout: Duration,
}

impl Command<'_> {
    /// Runs it for the step `name`.
    pub async fn run(&self, context: &Context<'_>, name: &str) -> StepResult {
        let render = |template| context.bindings.render(template);
        let arguments: Vec<String> = self
            .arguments
            .iter()
            .map(render)
            .collect::<Result<_, _>>()?;
        let mut environment = Vec::new();
        for (variable, template) in self.environment {
            environment.push((variable.clone(), render(template)?));
        }
        // Before the secrets are written: a program that is refused leaves none behind.
        let executable = Executable::open(context.image, self.executable)?;
        // Removed when it goes out of scope, however the step ends.
        let credentials =
            Credentials::make(context.image.root, context.bindings.values(), self.secrets)?;
        if credentials.is_some() {
            environment.push(("CREDENTIALS_DIRECTORY".to_owned(), Credentials::path()));
        }
        let run = StepRun {
            executable: &executable,
            arguments: &arguments,
            environment: &environment,
            timeout: self.timeout,
        };
        let finished = run_step(&run, &format!("step '{name}'")).await?;
        if finished.left_behind > 0 {
            complain!(
                "earmark-agent: step '{name}' left {} processes behind, which were killed; next: \
                 declare a unit for a process that must keep running",
                finished.left_behind
            );
        }
        if finished.code == Some(0) {
            return Ok(());
        }
        Err(Failure {
            reason: finished.how,
            tail: finished.tail,
        })
    }
}
