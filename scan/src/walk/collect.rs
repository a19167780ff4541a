//! A walk as a whole, for who measures a root.

use earmark_manifest::path::ImagePath;
use rustix::fs::FileType;

use super::{Scope, Seen, Step, Visitor, walk};
use crate::{Doubt, Root, ScanError};

/// All that a walk met, in the order of the paths, and what it could not look at.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    pub(crate) seen: Vec<Seen>,
    /// Names beneath `state` directories, if the scope has them.
    pub(crate) beneath_state: Vec<Seen>,
    pub(crate) doubts: Vec<Doubt>,
}

/// Walks the root, and keeps all of it.
pub(crate) fn collect(root: &Root, scope: &Scope<'_>) -> Result<Walked, ScanError> {
    let mut walked = Walked::default();
    walk(root, scope, &mut walked)?;
    walked.doubts.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(walked)
}

impl Visitor for Walked {
    fn see(&mut self, seen: Seen, is_beneath_state: bool) -> Step {
        if is_beneath_state {
            self.beneath_state.push(seen);
        } else {
            self.seen.push(seen);
        }
        Step::Enter
    }

    fn doubt(&mut self, doubt: Doubt) {
        self.doubts.push(doubt);
    }

    // Where all names are kept, none of these comes.
    fn see_unsigned(&mut self, seen: Seen) {
        self.seen.push(seen);
    }

    fn doubt_unsigned(&mut self, doubt: Doubt) {
        self.doubts.push(doubt);
    }

    fn wants_unsigned(&self) -> bool {
        true
    }

    fn count_unsigned(&mut self, _: &ImagePath, _: FileType) {}
}
