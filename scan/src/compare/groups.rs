//! Hard links: names that must share one inode, and that one of them is read for all.

use earmark_manifest::{entry::LinkGroup, path::ImagePath};

use super::Comparer;
use crate::{ViolationKind, walk::Seen};

/// Names that must share one inode: what is needed of the first, as there may be many groups.
pub(super) struct Group {
    first: ImagePath,
    inode: (u64, u64),
    links: u32,
    names: u32,
    /// One of the names is to be read.
    is_read: bool,
}

impl Comparer<'_> {
    /// Returns whether this name's content is read by another name of its group, as it is the same. If not,
    /// and it `is_read`, it now stands for the others.
    pub(super) fn read_by_another_name(
        &mut self,
        group: LinkGroup,
        seen: &Seen,
        is_read: bool,
    ) -> bool {
        let known = self.groups.entry(group).or_insert_with(|| Group {
            first: seen.path.clone(),
            inode: seen.inode(),
            links: seen.stat.links,
            names: 0,
            is_read: false,
        });
        known.names = known.names.saturating_add(1);
        if known.inode != seen.inode() {
            let expected = format!("the same file as {}", known.first);
            let found = "a file of its own".to_owned();
            self.violation(&seen.path, ViolationKind::HardLink, expected, found);
            // A copy has content of its own, which nothing else vouches for.
            return false;
        }
        // Not the first name but the first that this gate reads: a critical name may come behind one that is not.
        let elsewhere = known.is_read;
        known.is_read |= is_read;
        elsewhere
    }

    pub(super) fn finish_groups(&mut self) {
        for (group, known) in std::mem::take(&mut self.groups) {
            let Group {
                first,
                links,
                names,
                ..
            } = known;
            // A name that could not be looked at is a doubt, which is told, and no violation.
            let hidden = self.hidden_names.get(&group).copied().unwrap_or_default();
            let most = names.saturating_add(hidden);
            if !(names..=most).contains(&links) {
                let found = format!("{links} names");
                self.violation(
                    &first,
                    ViolationKind::HardLink,
                    format!("{names} names"),
                    found,
                );
                self.tell();
            }
        }
    }
}
