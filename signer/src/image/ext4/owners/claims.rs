//! Blocks that have an owner.

use std::{collections::BTreeMap, io};

use earmark_scan::disk::bytes::bad;

/// Bits in a page.
const BITS: u64 = 1 << 15;
/// Pages of 4 KiB: 48 MiB in all, for 1.5 TiB of blocks of 4 KiB in use.
const PAGES: usize = 12_288;

type Page = Box<[u64; 512]>;

/// A set of blocks, which takes memory for those parts of the file system that are in use.
#[derive(Default)]
pub(super) struct Claims {
    pages: BTreeMap<u64, Page>,
}

/// Reason why a block could not be claimed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It has an owner.
    Owned(u64),
    /// There is no memory for more.
    Full,
}

impl Refused {
    /// An error about the second claim to a block, such as "is in inode 12".
    pub(super) fn error(&self, claim: &str) -> io::Error {
        match self {
            Self::Owned(block) => bad(format!(
                "it has blocks that two files share: block {block} {claim}, and has another owner. Run e2fsck, or \
                 bake it again"
            )),
            Self::Full => {
                bad("it has more blocks in use than can be told apart here: 1.5 TiB of 4 KiB each")
            }
        }
    }
}

impl Claims {
    /// Claims blocks for one owner.
    pub(super) fn take(&mut self, first: u64, count: u64) -> Result<(), Refused> {
        let (mut at, end) = (first, first.saturating_add(count));
        while at < end {
            let has_room = self.pages.len() < PAGES;
            let page = match self.pages.entry(at / BITS) {
                std::collections::btree_map::Entry::Occupied(page) => page.into_mut(),
                std::collections::btree_map::Entry::Vacant(page) if has_room => {
                    page.insert(Box::new([0; 512]))
                }
                std::collections::btree_map::Entry::Vacant(_) => return Err(Refused::Full),
            };
            // The bits of one word at a time.
            let (word, bit) = (at % BITS / 64, at % 64);
            let many = (64 - bit).min(end - at);
            let mask = (u64::MAX >> (64 - many)) << bit;
            let slot = usize::try_from(word).unwrap_or(usize::MAX);
            if let Some(word) = page.get_mut(slot) {
                let owned = *word & mask;
                if owned != 0 {
                    let before = u64::from(owned.trailing_zeros());
                    return Err(Refused::Owned(at - bit + before));
                }
                *word |= mask;
            }
            at += many;
        }
        Ok(())
    }

    /// Returns whether a block has an owner.
    pub(super) fn has(&self, block: u64) -> bool {
        let page = self.pages.get(&(block / BITS));
        let slot = usize::try_from(block % BITS / 64).unwrap_or(usize::MAX);
        let word = page.and_then(|page| page.get(slot));
        word.is_some_and(|word| word & (1 << (block % 64)) != 0)
    }

    /// Returns whether one of these blocks may have an owner.
    pub(super) fn has_any(&self, first: u64, count: u64) -> bool {
        let end = first.saturating_add(count);
        self.pages
            .range(first / BITS..end.div_ceil(BITS))
            .next()
            .is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_is_claimed_once() {
        let mut claims = Claims::default();
        claims.take(60, 10).unwrap();
        claims.take(70, 200_000).unwrap();
        claims.take(0, 60).unwrap();
        for (first, count, owned) in [
            (69, 1, 69),
            (200_069, 5, 200_069),
            (200_000, 1000, 200_000),
            (0, 1, 0),
        ] {
            assert_eq!(claims.take(first, count), Err(Refused::Owned(owned)));
        }
        claims.take(200_070, 1).unwrap();
        assert!(claims.has(200_070) && !claims.has(200_071));
        assert!(claims.has_any(0, 1) && !claims.has_any(10 * BITS, BITS));
        claims.take(10 * BITS + 7, 1).unwrap();
        assert_eq!(
            claims.take(10 * BITS, 64),
            Err(Refused::Owned(10 * BITS + 7))
        );
    }

    #[test]
    fn claims_have_a_bound() {
        let mut claims = Claims::default();
        let pages = u64::try_from(PAGES).unwrap();
        for page in 0..pages {
            claims.take(page * BITS, 1).unwrap();
        }
        assert_eq!(claims.take(pages * BITS, 1), Err(Refused::Full));
        claims.take(1, 1).unwrap();
    }
}
