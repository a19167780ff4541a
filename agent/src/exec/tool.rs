//! Programs of the image that the agent itself needs, by their names.

use std::time::Duration;

use earmark_manifest::path::ImagePath;

use super::{Failure, Finished, SealedImage, StepRun, executable::Executable, run_step};

/// Directories in which distributions keep an administrator's programs.
const DIRECTORIES: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Runs a program to its end, whatever its status is. `package` is where distributions have it.
pub async fn run(
    image: SealedImage<'_>,
    name: &str,
    package: &str,
    arguments: &[&str],
    timeout: Duration,
) -> Result<Finished, Failure> {
    let paths = DIRECTORIES
        .iter()
        .map(|directory| format!("{directory}/{name}"));
    let mut paths = paths.filter_map(|path| ImagePath::from_absolute(path.as_bytes()).ok());
    // The first that is sealed, not the first that is there: an added file in /usr/sbin is passed over.
    let path = paths
        .find(|path| image.sealed.find(path).is_ok())
        .ok_or_else(|| {
            format!("the image has no sealed program '{name}': bake the package {package} into it")
        })?;
    let executable = Executable::open(image, &path)?;
    let arguments: Vec<String> = arguments.iter().map(|&text| text.to_owned()).collect();
    let run = StepRun {
        executable: &executable,
        arguments: &arguments,
        environment: &[],
        timeout,
    };
    Ok(run_step(&run, name).await?)
}

/// The same, and it must succeed.
pub async fn must(
    image: SealedImage<'_>,
    name: &str,
    package: &str,
    arguments: &[&str],
    timeout: Duration,
) -> Result<(), Failure> {
    let finished = run(image, name, package, arguments, timeout).await?;
    if finished.code == Some(0) {
        return Ok(());
    }
    Err(Failure {
        reason: format!("{name}: {}", finished.how),
        tail: finished.tail,
    })
}
