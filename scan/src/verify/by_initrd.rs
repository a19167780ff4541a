//! Part of a verification that the initrd of the boot did, and the tier that follows from it.

use earmark_manifest::{
    declaration::Gate, layout, path::ImagePath, report::Tier, verify::VerifiedManifest,
};

use super::{Stop, Verdict, Verification};
use crate::{Doubt, Root, Violation, ViolationKind, initrd::Covered, mounted};

impl Verification {
    /// The same, for a boot of which the initrd covered so much. What it found stays found in this boot, whatever
    /// a later look at the root says.
    #[must_use]
    pub fn after_initrd(mut self, covered: &Covered) -> Self {
        self.by_initrd = covered.gate != Gate::Signature;
        let mut violations = covered.violations.clone();
        let is_new = |doubt: &&Doubt| !self.doubts.contains(doubt);
        let doubts: Vec<Doubt> = covered.doubts.iter().filter(is_new).cloned().collect();
        if let Some(manifest) = &self.manifest
            && manifest.digest() != covered.manifest
        {
            violations.push(Violation {
                path: ImagePath::from_absolute(layout::MANIFEST.as_bytes()).unwrap_or_default(),
                kind: ViolationKind::Initrd,
                expected: format!("the manifest {} that the initrd judged", covered.manifest),
                found: manifest.digest().to_string(),
            });
        }
        violations.retain(|violation| !self.violations.contains(violation));
        self.with(violations, doubts)
    }

    /// The same, where what the initrd judged is not all that is there now.
    #[must_use]
    pub fn without_initrd(mut self) -> Self {
        self.by_initrd = false;
        self
    }

    /// Returns the tier that this verification earned.
    pub fn tier(&self) -> Tier {
        // A root that the initrd did not believe says of itself what it likes.
        match self.verdict() {
            Verdict::Verified | Verdict::Partial if self.by_initrd => Tier::T1,
            Verdict::Verified | Verdict::Partial | Verdict::Violated | Verdict::Undecided => {
                Tier::T0
            }
        }
    }

    /// Takes over what the initrd covered. What it could not see is looked at: mounts that came after it.
    pub(super) fn take_over(
        &mut self,
        root: &Root,
        manifest: &VerifiedManifest,
        covered: &Covered,
    ) -> Result<(), Stop> {
        let tree = manifest
            .tree()
            .map_err(|error| Stop::Tree(error.to_string()))?;
        let mounts = &manifest.declaration().tree.mounts;
        match mounted::table(root) {
            Ok(table) => {
                let found = mounted::over_sealed(root, tree.rules(), mounts, &table);
                self.violations.extend(found);
            }
            Err(doubt) => self.doubts.push(doubt),
        }
        self.gate = Some(covered.gate);
        self.counts = covered.counts;
        // The record lists the first ones, and counts the rest.
        let rest = |count: u64, listed: usize| {
            count.saturating_sub(u64::try_from(listed).unwrap_or(u64::MAX))
        };
        self.dropped = (
            rest(covered.counts.violations, covered.violations.len()),
            rest(covered.counts.undecided, covered.doubts.len()),
        );
        Ok(())
    }
}
