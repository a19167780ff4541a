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

/// Evidence of this boot's initrd.
#[derive(Debug)]
pub struct Judged {
    /// Scope and findings of its verification, if it left a record.
    covered: Option<Covered>,
    violations: Vec<Violation>,
    doubts: Vec<Doubt>,
}

impl Judged {
    /// Reads the record of the running host, and holds it against what the image declares.
    pub fn of(root: &Root, policy: &Policy) -> Self {
        let (mut violations, mut doubts) = (Vec::new(), Vec::new());
        let declared = policy
            .declaration()
            .map_or(Initrd::None, |declaration| declaration.boot.initrd);
        // Not signed, a record in /run could only come from whoever got a generator or an early unit into the root: it
        // would keep this verification from finding just that.
        let covered = match declared {
            Initrd::None => None,
            Initrd::EarmarkInit | Initrd::InitramfsTools | Initrd::Dracut => initrd::covered(root)
                .unwrap_or_else(|doubt| {
                    doubts.push(doubt);
                    None
                }),
        };
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

#[cfg(test)]
mod tests {
    use earmark_scan::{Report, verify::Verdict};

    use super::*;
    use crate::testing::TestRoot;

    const DECLARED: &str = "[boot]\ninitrd = \"earmark-init\"";

    fn judged(root: &TestRoot) -> Judged {
        let root = root.open();
        Judged::of(&root, &Policy::of(&root))
    }

    /// Leaves a record of this boot, as an initrd does, and as whoever is root can.
    fn leave_record(root: &TestRoot) {
        let mut report = Report::undecided(String::new());
        report.verdict = Verdict::Verified;
        report.gate = Some("full".to_owned());
        report.manifest = Some(format!("sha256:{}", "ab".repeat(32)));
        report.boot_id = kernel::boot_id();
        let record = initrd::Record::new(report, Vec::new());
        root.write(initrd::RECORD, &serde_json::to_vec(&record).unwrap());
    }

    #[test]
    fn privileged_record_counts_only_if_an_initrd_is_declared() {
        for (declaration, counts) in [("", false), (DECLARED, true)] {
            let root = TestRoot::sealed(declaration);
            leave_record(&root);
            let judged = judged(&root);
            assert_eq!(judged.covered.is_some(), counts, "{judged:?}");
            assert!(
                judged.violations.is_empty() && judged.doubts.is_empty(),
                "{judged:?}"
            );
        }
        // Nor if the declaration is not believed.
        let root = TestRoot::sealed(DECLARED);
        leave_record(&root);
        root.write(layout::MANIFEST, b"{}");
        assert_eq!(judged(&root).covered, None);
    }

    #[test]
    fn declared_initrd_without_a_record_is_a_violation() {
        for (declaration, expected) in [("", 0), (DECLARED, 1)] {
            let judged = judged(&TestRoot::sealed(declaration));
            let kinds: Vec<_> = judged.violations.iter().map(|found| found.kind).collect();
            assert_eq!(kinds, vec![ViolationKind::Initrd; expected]);
        }
    }
}
