//! The lock `cloud_init`: cloud-init takes no code from user-data, by switches of its own that are sealed
//! with the image.

use earmark_manifest::{
    declaration::{Lock, LockName},
    path::ImagePath,
};
use earmark_scan::{Doubt, Root, Violation, ViolationKind, cloud_init};

use super::{
    actions::LockActions,
    cause::Probe,
    item::{Item, Seen, Strength, Unseen},
    look::Look,
};
use crate::boot::policy::Policy;

/// Its switches are the image's: there is nothing to shut on a host.
pub(super) const LOCK: LockActions = LockActions {
    units: None,
    prepare: None,
    shut: None,
    open: None,
    probe: |target| probe(target.look),
};

/// Checks that cloud-init is kept from user-data, where that is declared. The check runs before cloud-init
/// starts: on a host where it fails, whoever sets user-data runs commands as root.
pub fn violation(root: &Root, policy: &Policy) -> Result<Option<Violation>, Doubt> {
    let Some(declaration) = policy.declaration() else {
        return Ok(None);
    };
    let locks = declaration.lockdown.locks();
    if locks.contains(&(LockName::CloudInit, Lock::Allow)) {
        return Ok(None);
    }
    // A file that cannot be read is a doubt (11), not a violation (10): nobody saw that the switch is missing.
    let found = cloud_init::problem(root).map_err(|error| Doubt {
        path: ImagePath::from_absolute(cloud_init::SWITCH.as_bytes()).unwrap_or_default(),
        problem: error.to_string(),
    })?;
    Ok(found.map(|(path, found)| Violation {
        path,
        kind: ViolationKind::Policy,
        expected: "cloud-init takes no code from user-data (lockdown.cloud_init)".to_owned(),
        found,
    }))
}

fn probe(look: &Look<'_>) -> Vec<Item> {
    let seen = match (
        cloud_init::is_present(look.root()),
        cloud_init::problem(look.root()),
    ) {
        // Without cloud-init nobody reads user-data, so that missing switches are no finding.
        (Ok(false), _) => Seen::Absent("no cloud-init".to_owned()),
        (Ok(true), Ok(None)) => Seen::Shut(Strength::Reversible, "its switches are set".to_owned()),
        (Ok(true), Ok(Some((path, found)))) => Seen::Open(format!("{path}: {found}")),
        (Err(error), _) | (_, Err(error)) => {
            Seen::from(Unseen::io(&error.cause, error.to_string()))
        }
    };
    let looked = "/etc/cloud/cloud.cfg.d";
    vec![Item::new(
        Probe::UserData,
        "user-data",
        "not read",
        looked,
        seen,
    )]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestRoot;

    const PLATFORM: &str = "platform = \"file\"\n";
    const ALLOWED: &str = "platform = \"file\"\n[lockdown]\ncloud_init = \"allow\"\n";

    fn found(root: &TestRoot) -> Option<String> {
        let root = root.open();
        let found = violation(&root, &Policy::of(&root)).unwrap();
        found.map(|found| format!("{} {}: {}", found.kind.name(), found.path, found.found))
    }

    #[test]
    fn cloud_init_without_its_switches_is_a_violation_unless_allowed() {
        let image = |declared| {
            let root = TestRoot::declared(declared);
            root.write("/usr/bin/cloud-init", b"");
            root
        };
        assert_eq!(found(&TestRoot::declared(PLATFORM)), None);
        assert_eq!(found(&image(ALLOWED)), None);
        let root = image(PLATFORM);
        let expected = format!("policy {}: no such file", cloud_init::SWITCH);
        assert_eq!(found(&root), Some(expected));
        root.write(
            cloud_init::SWITCH,
            cloud_init::SWITCHES.join("\n").as_bytes(),
        );
        assert_eq!(found(&root), None);
    }
}
