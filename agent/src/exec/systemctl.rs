//! Requests to the service manager, by the image's own `systemctl`.

use std::time::Duration;

use earmark_manifest::{name::UnitName, path::ImagePath};

use super::{Failure, SealedImage, tool};

/// Longest wait for an answer: it waits for a device as long as systemd does, which is 90 seconds.
const PATIENCE: Duration = Duration::from_secs(110);

/// Directories of an image's units. Those that come before these, in `/run`, are no part of it.
const DIRECTORIES: [&str; 4] = [
    "/etc/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// Asks the service manager for something.
pub async fn systemctl(image: SealedImage<'_>, arguments: &[&str]) -> Result<(), Failure> {
    tool::must(image, "systemctl", "systemd", arguments, PATIENCE).await
}

/// Enables units of the image until the next boot, and starts these and others. Nothing waits for them: one that is ordered after `earmark-ready.target`
/// starts when this host is ready, which it is not before this step is done.
pub async fn enable_and_start(
    image: SealedImage<'_>,
    enable: &[UnitName],
    start: &[UnitName],
) -> Result<(), Failure> {
    for unit in enable.iter().chain(start) {
        // All of them before the first is enabled: a refusal leaves nothing half done.
        must_be_sealed(image, unit)?;
    }
    if !enable.is_empty() {
        // --runtime: links in /etc would be additions to what is sealed, and violations.
        let words = ["enable", "--runtime", "--quiet", "--"];
        systemctl(image, &with_names(&words, enable)).await?;
    }
    let both: Vec<UnitName> = enable.iter().chain(start).cloned().collect();
    // `--`: a unit's name may begin with a hyphen, as that of `-.mount` does.
    let words = ["start", "--no-block", "--"];
    systemctl(image, &with_names(&words, &both)).await
}

fn with_names<'a>(words: &[&'a str], units: &'a [UnitName]) -> Vec<&'a str> {
    let names = units.iter().map(UnitName::as_str);
    words.iter().copied().chain(names).collect()
}

/// A unit that somebody put on the host is none that the declaration means.
fn must_be_sealed(image: SealedImage<'_>, unit: &UnitName) -> Result<(), Failure> {
    let is_sealed = |path: &String| {
        ImagePath::from_absolute(path.as_bytes()).is_ok_and(|path| image.sealed.find(&path).is_ok())
    };
    let found = DIRECTORIES.iter().any(|directory| {
        let mut paths = files(unit.as_str()).map(|file| format!("{directory}/{file}"));
        paths.any(|path| is_sealed(&path))
    });
    if found {
        return Ok(());
    }
    Err(format!(
        "'{unit}' is not a sealed unit of the image, in one of {}",
        DIRECTORIES.join(", ")
    )
    .into())
}

/// The files that a unit can be read from: its own, and its template's if it is an instance.
fn files(unit: &str) -> impl Iterator<Item = String> {
    let instance = unit.split_once('@').and_then(|(prefix, rest)| {
        let (_, suffix) = rest.rsplit_once('.')?;
        Some(format!("{prefix}@.{suffix}"))
    });
    [unit.to_owned()].into_iter().chain(instance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instance_unit_uses_its_own_file_then_its_template() {
        let files = |unit| files(unit).collect::<Vec<_>>();
        assert_eq!(files("web.service"), ["web.service"]);
        assert_eq!(
            files("web@a.b.service"),
            ["web@a.b.service", "web@.service"]
        );
    }
}
