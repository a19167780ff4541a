//! Judges ranges of a disk by the regions that are declared or named on the command line.

use earmark_manifest::{
    declaration::{Disk as Declared, Region},
    digest::Sha256Digest,
};

use super::{Named, Range, Status, measure::Content};
use crate::io::output;

pub(super) struct Rules<'a> {
    pub(super) declared: Option<&'a Declared>,
    pub(super) named: &'a Named,
}

impl<'a> Rules<'a> {
    fn all_expected(&self) -> impl Iterator<Item = (&'a Region, Sha256Digest)> {
        let declared = self
            .declared
            .map_or(&[][..], |declared| &declared.expect[..]);
        let declared = declared.iter().map(|one| (&one.region, one.sha256));
        declared.chain(
            self.named
                .expect
                .iter()
                .map(|(region, sha256)| (region, *sha256)),
        )
    }

    /// Expected regions that the disk does not have.
    pub(super) fn unmatched(&self, ranges: &[Range]) -> Vec<&'a Region> {
        let regions = self.all_expected().map(|(region, _)| region);
        let count = |region: &Region| {
            ranges
                .iter()
                .filter(|range| range.may_be_expected_as(region))
                .count()
        };
        regions.filter(|region| count(region) == 0).collect()
    }

    pub(super) fn expected_of(&self, region: &Region) -> Option<Sha256Digest> {
        self.all_expected()
            .find(|(of, _)| *of == region)
            .map(|(_, sha256)| sha256)
    }

    /// The digest that a range must have. Where the declaration and the command line differ, the range cannot
    /// have both, and the declaration's is told.
    pub(super) fn expected(&self, range: &Range) -> Option<(Sha256Digest, bool)> {
        let mut all = self
            .all_expected()
            .filter(|(region, _)| range.may_be_expected_as(region));
        let (_, first) = all.next()?;
        Some((first, all.all(|(_, other)| other == first)))
    }

    fn ignored(&self, range: &Range) -> Option<String> {
        let declared = self
            .declared
            .map_or(&[][..], |declared| &declared.ignore[..]);
        let declared = declared.iter().find(|one| range.is(&one.region));
        let declared = declared.map(|one| format!("declared: {}", output::plain(&one.reason)));
        let named = self.named.ignore.iter().find(|region| range.is(region));
        declared.or_else(|| named.map(|region| format!("--ignore {region}")))
    }

    /// Explains why a number that was given to have the range ignored does not.
    fn refused(&self, range: &Range) -> Option<String> {
        let number = range.expected_as.as_deref()?;
        let declared = self
            .declared
            .map_or(&[][..], |declared| &declared.ignore[..]);
        let mut all = declared.iter().map(|one| &one.region);
        let is_named = all.any(|region| region.name() == number)
            || self
                .named
                .ignore
                .iter()
                .any(|region| region.name() == number);
        let instead = match &range.regions[..] {
            [] => "declare it in [tree] mounts, or expect its digest".to_owned(),
            [name, ..] => format!("ignore it as '{name}'"),
        };
        is_named.then(|| {
            format!("'{number}' ignores no partition that a machine boots from: {instead}")
        })
    }

    pub(super) fn judge(
        &self,
        range: &mut Range,
        content: Content,
        expected: Option<(Sha256Digest, bool)>,
    ) {
        range.sha256 = content.sha256;
        range.expected = expected.map(|(sha256, _)| sha256);
        if let Some((sha256, is_one)) = expected {
            let matches = is_one && content.sha256 == Some(sha256);
            range.status = if matches {
                Status::Matches
            } else {
                Status::Differs
            };
        } else if content.is_zero {
            range.status = Status::Empty;
        } else if let Some(reason) = self.ignored(range) {
            range.status = Status::Ignored;
            range.reason = Some(reason);
        } else {
            range.reason = self.refused(range);
        }
    }
}
