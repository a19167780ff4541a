//! Policy of this host for a failed verification, decided from the envelope alone, in milliseconds.
//!
//! Protects against a policy that is loosened by taking things away: without a declaration that can
//! be believed, an image that means to be sealed is treated as strictly as one that says
//! `quarantine`, with the locks of its floor. And against an older seal with a weaker policy: the stricter
//! of seal and floor counts. Does not protect against somebody who also takes the trust file and the floor
//! away: that image is one that was never sealed, as far as anybody can tell from it (tier T0).

use std::collections::BTreeMap;

use earmark_manifest::{
    declaration::{Declaration, LockName, OnFailure},
    floor::Floor,
    layout,
    path::ImagePath,
    verify::{self, VerifiedDeclaration},
};
use earmark_scan::{Report, Root, seal};

use crate::host;

/// Policy of this host, by its reason.
#[derive(Debug)]
pub enum Policy {
    /// The signed declaration, which is believed.
    Declared(Box<VerifiedDeclaration>),
    /// A good seal that may not stand here, and why not: it is below the floor, or the floor cannot be read. Its
    /// declaration, raised to the stricter of both.
    Below(Box<VerifiedDeclaration>, String),
    /// The image has neither a trust file nor a seal: it is being baked, or was never sealed.
    Unsealed,
    /// The image has some of both, and its declaration cannot be believed; why not, and its floor, if that
    /// can be read.
    Strict(String, Option<Box<Floor>>),
}

impl Policy {
    /// Decides for a root.
    pub fn of(root: &Root) -> Self {
        // A root without a seal has no floor, and nothing is asked of it.
        let floor = seal::read_floor(root).map_err(|error| error.to_string());
        let declared = match declared(root) {
            Ok(declared) => declared,
            Err(_) if is_unsealed(root) => return Self::Unsealed,
            Err(problem) => return Self::Strict(problem, floor.ok().map(Box::new)),
        };
        match floor {
            Ok(floor) => match declared.refuse_below(&floor) {
                Ok(()) => Self::Declared(Box::new(declared)),
                Err(refusal) => {
                    let raised = declared.raised_to(OnFailure::Report, Some(&floor));
                    Self::Below(Box::new(raised), refusal.to_string())
                }
            },
            // To remove it must not be better than to leave it.
            Err(problem) => {
                let raised = declared.raised_to(OnFailure::Quarantine, None);
                Self::Below(Box::new(raised), problem)
            }
        }
    }

    /// Returns the action on a failed verification.
    pub fn on_failure(&self) -> OnFailure {
        match self {
            Self::Declared(declared) | Self::Below(declared, _) => {
                declared.declaration().verify.on_failure
            }
            Self::Unsealed => OnFailure::Report,
            Self::Strict(_, floor) => {
                let least = floor
                    .as_ref()
                    .map_or(OnFailure::Quarantine, |floor| floor.policy);
                // A floor can be lower than its seal: spoiling the seal of a stricter image must not loosen it.
                least.max(OnFailure::Quarantine)
            }
        }
    }

    /// The locks that are shut, and what each excepts: as declared or, where the declaration is not believed,
    /// as the floor has them.
    pub fn shut(&self) -> BTreeMap<LockName, Vec<String>> {
        match self {
            Self::Declared(declared) | Self::Below(declared, _) => {
                declared.declaration().lockdown.shut_locks()
            }
            Self::Unsealed | Self::Strict(_, None) => BTreeMap::new(),
            Self::Strict(_, Some(floor)) => floor.locks.clone(),
        }
    }

    /// Returns the declaration with its statement, if it is believed.
    pub fn declared(&self) -> Option<&VerifiedDeclaration> {
        match self {
            Self::Declared(declared) | Self::Below(declared, _) => Some(declared),
            Self::Unsealed | Self::Strict(..) => None,
        }
    }

    /// The declaration, if it is believed.
    pub fn declaration(&self) -> Option<&Declaration> {
        self.declared().map(VerifiedDeclaration::declaration)
    }

    /// Adds what only the agent knows to the report of a verification.
    pub fn complete(&self, root: &Root, report: &mut Report) {
        report.policy = Some(self.on_failure().name().to_owned());
        report.time = host::time();
        if root.is_live() {
            report.boot_id = host::boot_id();
        }
    }

    /// Returns the reason for the policy, in a line.
    pub fn reason(&self) -> String {
        match self {
            Self::Declared(_) => "declared in the signed earmark.toml".to_owned(),
            Self::Below(_, problem) => format!("the stricter of seal and floor: {problem}"),
            Self::Unsealed => "there is neither a trust file nor a seal".to_owned(),
            Self::Strict(problem, _) => format!("the declaration cannot be believed: {problem}"),
        }
    }
}

fn declared(root: &Root) -> Result<VerifiedDeclaration, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let trust = seal::read_trust(root).map_err(|error| text(&error))?;
    let (envelope, declaration) = seal::read_declared(root).map_err(|error| text(&error))?;
    verify::verify_declaration(&envelope, &declaration, &trust).map_err(|error| text(&error))
}

/// Returns whether nothing of a seal is there. A part of it that cannot be read is there.
fn is_unsealed(root: &Root) -> bool {
    let parts = [
        layout::TRUST,
        layout::MANIFEST,
        layout::DECLARATION,
        layout::TREE,
        layout::FLOOR,
    ];
    parts.iter().all(|part| {
        ImagePath::from_absolute(part.as_bytes())
            // With a bound of 0, content of any length is an error, and a file with an error is one that is there.
            .is_ok_and(|path| matches!(root.read_opt(&path, 0), Ok(None)))
    })
}

#[cfg(test)]
mod tests {
    use earmark_manifest::declaration::Lock;

    use super::*;
    use crate::testing::TestRoot;

    fn of(root: &TestRoot) -> Policy {
        Policy::of(&root.open())
    }

    const OPEN: &str =
        "on_failure = \"report\"\n[lockdown]\nremote_access = \"allow\"\nimds = \"allow\"";

    #[test]
    fn seal_above_its_floor_decides_the_policy() {
        let root = TestRoot::sealed(OPEN);
        let policy = of(&root);
        assert!(matches!(policy, Policy::Declared(_)), "{policy:?}");
        assert_eq!(policy.on_failure(), OnFailure::Report);
    }

    #[test]
    fn seal_below_its_floor_gets_the_stricter_of_both() {
        let root = TestRoot::sealed(OPEN);
        for (floor, locks, expected) in [
            (
                "epoch = 1\npolicy = \"quarantine\"",
                "",
                OnFailure::Quarantine,
            ),
            ("epoch = 1\npolicy = \"report\"", "", OnFailure::Report),
            ("epoch = 0\npolicy = \"halt\"", "", OnFailure::Halt),
            (
                "epoch = 0\npolicy = \"report\"",
                "remote_access = []\n",
                OnFailure::Report,
            ),
        ] {
            let text =
                format!("schema = 1\nimage = \"web\"\nchannel = 0\n{floor}\n[locks]\n{locks}");
            root.write(layout::FLOOR, text.as_bytes());
            let policy = of(&root);
            assert!(matches!(policy, Policy::Below(..)), "{policy:?}");
            assert_eq!(policy.on_failure(), expected, "{floor}");
            let all = policy.declaration().unwrap().lockdown.locks();
            let is_open = |name| all.contains(&(name, Lock::Allow));
            assert_eq!(is_open(LockName::RemoteAccess), locks.is_empty());
            assert!(is_open(LockName::Imds));
        }
    }

    #[test]
    fn floor_that_is_removed_or_damaged_loosens_nothing() {
        let root = TestRoot::sealed(OPEN);
        root.write(layout::FLOOR, b"x");
        assert_eq!(of(&root).on_failure(), OnFailure::Quarantine);
        root.remove(layout::FLOOR);
        assert_eq!(of(&root).on_failure(), OnFailure::Quarantine);
        let root = TestRoot::sealed("on_failure = \"halt\"");
        root.remove(layout::FLOOR);
        assert_eq!(of(&root).on_failure(), OnFailure::Halt);
    }

    #[test]
    fn floor_decides_where_the_seal_cannot_be_believed() {
        for (policy, expected) in [("report", OnFailure::Quarantine), ("halt", OnFailure::Halt)] {
            let root = TestRoot::sealed(&format!("on_failure = \"{policy}\""));
            root.write(layout::MANIFEST, b"{}");
            assert_eq!(of(&root).on_failure(), expected);
            // All that is left is what says that there was a seal.
            for path in [
                layout::TRUST,
                layout::MANIFEST,
                layout::DECLARATION,
                layout::TREE,
            ] {
                root.remove(path);
            }
            assert_eq!(of(&root).on_failure(), expected);
            root.remove(layout::FLOOR);
            assert!(matches!(of(&root), Policy::Unsealed));
        }
    }
}
