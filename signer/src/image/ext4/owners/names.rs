//! Numbers of names that inodes have in all directories.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    io,
};

use earmark_scan::disk::bytes::bad;

/// Inodes in a page.
const EACH: usize = 2048;
/// Pages of 4 KiB: 24 MiB in all.
const PAGES: usize = 6144;

/// Counts, which take memory for those parts of the inode tables that have names.
#[derive(Default)]
pub(super) struct Names {
    pages: BTreeMap<u64, Box<[u16; EACH]>>,
}

impl Names {
    /// Counts a name of an inode.
    pub(super) fn add(&mut self, number: u64) -> io::Result<()> {
        let each = u64::try_from(EACH).unwrap_or(u64::MAX);
        let has_room = self.pages.len() < PAGES;
        let page = match self.pages.entry(number / each) {
            Entry::Occupied(page) => page.into_mut(),
            Entry::Vacant(page) if has_room => page.insert(Box::new([0; EACH])),
            Entry::Vacant(_) => {
                return Err(bad("it has more names than can be counted here"));
            }
        };
        let slot = usize::try_from(number % each).unwrap_or(usize::MAX);
        if let Some(count) = page.get_mut(slot) {
            // More than an inode's own count goes to.
            *count = count
                .checked_add(1)
                .ok_or_else(|| bad(format!("inode {number} has more than 65535 names")))?;
        }
        Ok(())
    }

    /// Hands on each inode that has a name, in order, with the number of its names.
    pub(super) fn for_each(
        &self,
        mut each: impl FnMut(u64, u16) -> io::Result<()>,
    ) -> io::Result<()> {
        for (page, counts) in &self.pages {
            let mut number = page.saturating_mul(u64::try_from(EACH).unwrap_or(u64::MAX));
            for count in counts.iter() {
                if *count > 0 {
                    each(number, *count)?;
                }
                number = number.saturating_add(1);
            }
        }
        Ok(())
    }
}
