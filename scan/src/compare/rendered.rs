//! Files that first-boot steps write: compared with the host's own record, as far as the signed rules let it count.

use earmark_manifest::{class::PathClass, entry::Entry, path::ImagePath};

use super::Comparer;
use crate::{
    ViolationKind,
    check::Check,
    judge::Judge,
    rendered::{self, Content, Expected, Held},
    walk::Seen,
};

impl Comparer<'_> {
    /// Returns whether this is what a power cut left of a step that was writing into this directory.
    pub(super) fn is_being_rendered(&self, seen: &Seen) -> bool {
        let name = seen.path.as_bytes().rsplit(|byte| *byte == b'/').next();
        seen.class == PathClass::Sealed && name == Some(rendered::TEMPORARY) && {
            let directory = seen.path.parent().unwrap_or_default();
            Judge::is_unfinished(seen, &self.terms.unfinished(&directory, &self.top))
        }
    }

    /// The walk alone does not tell that a file is gone which the tree has no entry of.
    pub(super) fn missing_rendered(&mut self) {
        let terms = self.terms;
        for (path, expected) in terms.all_expected() {
            if self.rendered_told.contains(path)
                || self.rendered_seen.contains(path)
                || self.lock().casts_doubt_on(path)
            {
                continue;
            }
            match expected.content {
                Content::Written(_) => {
                    let expected = "the file that a first-boot step wrote".to_owned();
                    self.violation(path, ViolationKind::Missing, expected, "nothing".to_owned());
                }
                Content::CutShort => self.lock().doubt(rendered::cut_short(path)),
                // The step that follows makes it; or a doubt is told already.
                Content::BeingWritten | Content::Unknown => {}
            }
        }
    }

    pub(super) fn expected(&self, class: PathClass, path: &ImagePath) -> Option<Expected> {
        // The signed rules decide; the host's record has a say in rendered paths alone.
        (class == PathClass::Rendered).then(|| self.terms.expected(path))?
    }

    pub(super) fn check_rendered(
        &mut self,
        seen: &Seen,
        expected: &Expected,
        entry: Option<&Entry>,
    ) {
        self.rendered_seen.insert(seen.path.clone());
        let held = Held::judge(seen, expected, entry, &mut self.violations);
        if matches!(held, Held::Content(_) | Held::Attributes) {
            self.on_host_word = self.on_host_word.saturating_add(1);
        }
        match held {
            Held::Done => {}
            Held::Content(sha256) => self.check(Check::rendered(seen, Some(sha256))),
            Held::Attributes => self.check_attributes(seen),
            Held::Doubt(doubt) => self.lock().doubt(doubt),
        }
    }

    /// The walk leaves the attributes of files that this gate reads.
    pub(super) fn check_attributes(&mut self, seen: &Seen) {
        if seen.xattrs.is_none() {
            (self.hand_out)(Check::rendered(seen, None));
        }
    }
}
