//! One path that a signed step writes, held against what was signed and what the host's record says.

use earmark_manifest::{
    digest::Sha256Digest,
    entry::{Entry, Owner},
};

use super::{Expected, FILE_BOUND, rules::Content};
use crate::{Doubt, Violation, judge::Judge, walk::Seen};

/// Work that is still to be done for a path.
#[derive(Debug)]
pub(crate) enum Held {
    /// Nothing.
    Done,
    /// Its attributes and content are compared: there is this digest for it, by the host's own word.
    Content(Sha256Digest),
    /// Its attributes are compared. Its content may be anything, by the host's own word.
    Attributes,
    /// Nothing can be said of it.
    Doubt(Doubt),
}

impl Held {
    /// Judges a path that is there. `entry` is what the tree has of it, if anything.
    pub(crate) fn judge(
        seen: &Seen,
        expected: &Expected,
        entry: Option<&Entry>,
        violations: &mut Vec<Violation>,
    ) -> Self {
        let Expected { owner, content } = expected;
        // Until it was replaced, it may be as it was sealed.
        let sealed = entry.and_then(|entry| entry.owner);
        let judge = Judge::of(seen, violations);
        match content {
            Content::Written(file) => {
                // The sealed owner no longer does: a file put back as it was sealed is a violation.
                if judge.rendered(&[*owner], None) {
                    Self::Content(file.sha256)
                } else {
                    Self::Done
                }
            }
            Content::BeingWritten => {
                // Its content is on the host's word, its size is not: a step that would write more fails.
                if judge.rendered(&either(owner, sealed), Some(FILE_BOUND)) {
                    Self::Attributes
                } else {
                    Self::Done
                }
            }
            Content::CutShort => {
                // Owner and mode are signed: they are compared although nobody knows the content.
                judge.rendered(&either(owner, sealed), None);
                Self::Doubt(cut_short(&seen.path))
            }
            Content::Unknown => {
                judge.rendered(&either(owner, sealed), None);
                Self::Done
            }
        }
    }
}

/// The doubt of a path that a step was about to write when it was interrupted.
pub(crate) fn cut_short(path: &earmark_manifest::path::ImagePath) -> Doubt {
    Doubt {
        path: path.clone(),
        problem:
            "a first-boot step was interrupted while it wrote this file, so that its content is \
                  unknown; next: boot the host again, or replace it"
                .to_owned(),
    }
}

fn either(owner: &Owner, sealed: Option<Owner>) -> Vec<Owner> {
    [*owner].into_iter().chain(sealed).collect()
}
