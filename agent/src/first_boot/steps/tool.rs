//! Programs of the image that the agent itself needs for a step.

use std::time::Duration;

use earmark_manifest::path::ImagePath;

use super::{Context, StepFailure, StepResult};
use crate::{
    first_boot::executable::Executable,
    process::{self, Finished, StepRun},
};

/// Directories in which distributions keep an administrator's programs.
const DIRECTORIES: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Runs a program to its end, whatever its status is. `package` is where distributions have it.
pub async fn run(
    context: &Context<'_>,
    name: &str,
    package: &str,
    arguments: &[&str],
    timeout: Duration,
) -> Result<Finished, StepFailure> {
    let paths = DIRECTORIES
        .iter()
        .map(|directory| format!("{directory}/{name}"));
    let mut paths = paths.filter_map(|path| ImagePath::from_absolute(path.as_bytes()).ok());
    let path = paths
        .find(|path| context.sealed.find(path).is_ok())
        .ok_or_else(|| {
            format!("the image has no sealed program '{name}': bake the package {package} into it")
        })?;
    let executable = Executable::open(context, &path)?;
    let arguments: Vec<String> = arguments.iter().map(|&text| text.to_owned()).collect();
    let run = StepRun {
        executable: &executable,
        arguments: &arguments,
        environment: &[],
        timeout,
    };
    Ok(process::run_step(&run, name).await?)
}

/// The same, and it must succeed.
pub async fn must(
    context: &Context<'_>,
    name: &str,
    package: &str,
    arguments: &[&str],
    timeout: Duration,
) -> StepResult {
    let finished = run(context, name, package, arguments, timeout).await?;
    if finished.code == Some(0) {
        return Ok(());
    }
    Err(StepFailure {
        reason: format!("{name}: {}", finished.how),
        tail: finished.tail,
    })
}

/// Asks the service manager for something.
pub async fn systemctl(context: &Context<'_>, arguments: &[&str]) -> StepResult {
    // It waits for a device as long as systemd does, which is 90 seconds.
    must(
        context,
        "systemctl",
        "systemd",
        arguments,
        Duration::from_secs(110),
    )
    .await
}
