//! Check that the service manager has what the generator writes, once the host runs.
//!
//! Protects against a host on which the generator did not run, or on which something was put before
//! it (`system.control`, credentials that add drop-ins) or changed after it. What was found says
//! that the policy may not be carried out, not who did it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use earmark_manifest::path::ImagePath;
use earmark_scan::{Root, Violation, ViolationKind, cmdline::CommandLine};

use super::{
    early::{self, GATE},
    overrides::{self, show},
    plan::{self, Item},
};
use crate::{
    boot::{policy::Policy, units::UNITS},
    fleet::grants::{self, Opened},
};

/// Directory in which systemd has its generators write early.
const EARLY: &str = "run/systemd/generator.early";
/// Directory in which other generators write.
const NORMAL: &str = "run/systemd/generator";
/// Directories that take precedence over the early one; nobody sets properties of ours there.
const BEFORE: [&str; 2] = ["run/systemd/system.control", "run/systemd/transient"];

/// Wait before a second look. A service manager that reads its units again, whoever asked it to, empties the
/// directory first, and then has the generators write.
const PAUSE: Duration = Duration::from_secs(2);

/// Each way in which the service manager's view of our units is not the policy's, and stays so.
pub fn violations(root: &Root, policy: &Policy, line: &CommandLine) -> Vec<Violation> {
    let violations = look(root, policy, line);
    if violations.is_empty() || !root.is_live() {
        return violations;
    }
    // A busy host takes long for it, where a grant is the reason.
    let _turn = grants::turn_if_any(root);
    thread::sleep(PAUSE);
    look(root, policy, line)
}

fn look(root: &Root, policy: &Policy, line: &CommandLine) -> Vec<Violation> {
    let order = early::find(root);
    let (mut overrides, _) = overrides::find(root, &order.aliases);
    // Those for all services may have come after the generator ran, with other software.
    overrides.retain(|found| found.is_for_us);
    let plan = plan::plan(
        policy,
        &line.targets(),
        &overrides,
        &order,
        &Opened::read(root).unsettled(),
    );
    let at = |path: &Path| root.path().join(path);

    let mut violations = Vec::new();
    for (path, item) in &plan {
        let path = Path::new(EARLY).join(path);
        let found = match item {
            Item::File(text) => match fs::read(at(&path)) {
                Ok(bytes) if bytes == text.as_bytes() => continue,
                Ok(_) => "different content".to_owned(),
                Err(error) => error.to_string(),
            },
            Item::Link(to) => match fs::read_link(at(&path)) {
                Ok(found) if found == Path::new(to) => continue,
                Ok(found) => format!("a link to {}", show(&found)),
                Err(error) => error.to_string(),
            },
        };
        violations.push(violation(&path, "what earmark-generator writes", found));
    }
    let expected: BTreeSet<PathBuf> = plan
        .keys()
        .map(|path| Path::new(EARLY).join(path))
        .collect();
    violations.extend(order.early.iter().map(|(unit, later)| {
        let found = format!("a unit that is not listed, and that '{later}' waits for");
        violation(
            &Path::new(EARLY).join(unit),
            "nothing that starts before the verdict",
            found,
        )
    }));
    // A drop-in of the name of ours frees a unit from waiting for the verdict.
    for place in [EARLY, NORMAL].into_iter().chain(BEFORE) {
        let place = Path::new(place);
        for directory in listed(&at(place)) {
            let path = place.join(&directory).join(GATE);
            let is_ours = expected.contains(&Path::new(EARLY).join(directory).join(GATE));
            let is_before = BEFORE.iter().any(|before| place == Path::new(before));
            if (is_before || !is_ours) && fs::symlink_metadata(at(&path)).is_ok() {
                let found = "a drop-in that lets a unit start before the verdict".to_owned();
                violations.push(violation(&path, "nothing", found));
            }
        }
    }
    for unit in &UNITS {
        let own = Path::new(EARLY).join(format!("{}.d", unit.name));
        // A link of another name is no change by itself, and its drop-ins are.
        let others = overrides::other_names(unit.name, &order.aliases);
        let names = std::iter::once(unit.name).chain(others);
        let names: Vec<String> = names.map(|name| format!("{name}.d")).collect();
        let before = BEFORE.iter().flat_map(|place| {
            let place = Path::new(place);
            let directories = names.iter().map(|name| place.join(name));
            directories.chain([place.join(unit.name)])
        });
        let added = listed(&at(&own)).map(|name| own.join(name)).filter(|path| {
            // A mask takes nothing of ours away, whoever put it there.
            !expected.contains(path)
                && fs::read_link(at(path)).ok().as_deref() != Some(Path::new("/dev/null"))
        });
        let before = before.filter(|path| fs::symlink_metadata(at(path)).is_ok());
        for path in added.chain(before) {
            let found = "a file that changes a unit of the agent".to_owned();
            violations.push(violation(&path, "nothing", found));
        }
    }
    violations
}

fn listed(directory: &Path) -> impl Iterator<Item = std::ffi::OsString> + use<> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.file_name()))
}

fn violation(path: &Path, expected: &str, found: String) -> Violation {
    use std::os::unix::ffi::OsStrExt;
    Violation {
        path: ImagePath::from_relative(path.as_os_str().as_bytes()).unwrap_or_default(),
        kind: ViolationKind::Policy,
        expected: expected.to_owned(),
        found,
    }
}
