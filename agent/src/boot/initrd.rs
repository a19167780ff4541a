//! Verification by the initrd of this boot, taken over.
//!
//! What the initrd read is not read again before the boot goes on: it judged the same root, in the same boot, with
//! keys that the root cannot touch. What it found wrong stays wrong until the next boot. A verification that is asked for later
//! looks at everything itself, and can only add to that.

use earmark_manifest::{
    declaration::Initrd, layout, path::ImagePath, statement::AgentVersion,
    verify::VerifiedDeclaration,
};
use earmark_scan::{
    Doubt, Root, Violation, ViolationKind,
    initrd::{self, Covered},
    kernel,
    verify::{self, Verification},
};

use super::policy::Policy;

/// What this boot's initrd is known to have done.
#[derive(Debug)]
pub struct Judged {
    /// What it covered, if it left a record.
    covered: Option<Covered>,
    violations: Vec<Violation>,
    doubts: Vec<Doubt>,
}

impl Judged {
    /// Reads the record of the running host, and holds it against what the image declares.
    pub fn of(root: &Root, policy: &Policy) -> Self {
        let (mut violations, mut doubts) = (Vec::new(), Vec::new());
        let covered = initrd::covered(root).unwrap_or_else(|doubt| {
            doubts.push(doubt);
            None
        });
        let declared = policy
            .declaration()
            .map_or(Initrd::None, |declaration| declaration.boot.initrd);
        // A container has no initrd, and its manager is above it. A doubt says already that the record is of no use.
        let is_bypassed = covered.is_none()
            && doubts.is_empty()
            && declared != Initrd::None
            && !kernel::is_container_of(root.path());
        if is_bypassed {
            violations.push(Violation {
                path: ImagePath::from_absolute(layout::DECLARATION.as_bytes()).unwrap_or_default(),
                kind: ViolationKind::Initrd,
                expected: format!("a boot through the initrd of Earmark ({})", declared.name()),
                found: "no record of it in /run: another initrd booted this host".to_owned(),
            });
        }
        Self {
            covered,
            violations,
            doubts,
        }
    }

    /// Verifies a root with what is known of its initrd. `takes_over`: what that covered need not be read again.
    pub fn verify(
        self,
        root: &Root,
        options: &verify::Options<'_>,
        takes_over: bool,
    ) -> Verification {
        let moved = self
            .covered
            .as_ref()
            .and_then(|covered| covered.moved(root));
        let takes_over = takes_over && moved.is_none();
        if let Some(why) = &moved {
            complain!(
                "earmark-agent: failed to take over the verification of the initrd: {why}; verifying all of it"
            );
        }
        let covered = self.covered.as_ref();
        let options = verify::Options {
            covered: covered.filter(|_| takes_over),
            ..*options
        };
        let verification = verify::verify(root, &options).with(self.violations, self.doubts);
        let Some(covered) = covered else {
            return verification;
        };
        if takes_over && let Some(line) = disagreement(covered, verification.manifest()) {
            complain!("earmark-agent: {line}");
        }
        // Only what was judged where it is now earns the tier.
        let verification = verification.after_initrd(covered);
        if moved.is_some() {
            verification.without_initrd()
        } else {
            verification
        }
    }
}

/// Returns what was baked wrong, if the initrd is of another version than the root.
fn disagreement(covered: &Covered, manifest: Option<&VerifiedDeclaration>) -> Option<String> {
    manifest?;
    let own = AgentVersion::of_this_program().ok()?.to_string();
    (covered.program != own).then(|| {
        format!(
            "the initrd has earmark-init {}, and the image the agent {own}; next: build the initrd again with the \
             package of this agent, and bake",
            covered.program
        )
    })
}
