//! A directory that holds more names than can be kept.
//!
//! Its names are read as often as it takes to bring those that were signed in order, a bounded part at a time.
//! Names that were not signed are told as they come, once, and not kept: there is no end to them but the disk's.

use std::ffi::{CStr, CString};

use earmark_manifest::class::PathClass;
use rustix::fs::FileType;

use super::{
    Directory, Visitor,
    list::{self, Lister, Met},
};
use crate::Doubt;

/// Bytes of names that are kept at a time.
const PART: usize = 8 * 1024 * 1024;
/// Names that are looked at with one opening of the directory.
const BATCH: usize = 64;

/// Position in such a directory.
pub(super) struct Flood {
    directory: Directory,
    /// Names that are still to be looked at, the first one last.
    names: Vec<CString>,
    /// Those that were, the first one last.
    met: Vec<Met>,
    /// The last name of this part, if names may come after it.
    after: Option<CString>,
}

impl Flood {
    /// Begins, and tells of all that was not signed.
    pub(super) fn begin(
        directory: Directory,
        lister: &mut Lister<'_>,
        visitor: &mut dyn Visitor,
    ) -> Self {
        let mut flood = Self {
            directory,
            names: Vec::new(),
            met: Vec::new(),
            after: None,
        };
        flood.read_part(lister, visitor, true);
        flood
    }

    /// The next name in order.
    pub(super) fn next(
        &mut self,
        lister: &mut Lister<'_>,
        visitor: &mut dyn Visitor,
    ) -> Option<Met> {
        loop {
            if let Some(met) = self.met.pop() {
                return Some(met);
            }
            if self.names.is_empty() {
                self.after.as_ref()?;
                self.read_part(lister, visitor, false);
            } else {
                self.look(lister, visitor);
            }
        }
    }

    fn read_part(&mut self, lister: &mut Lister<'_>, visitor: &mut dyn Visitor, is_first: bool) {
        let directory = &self.directory.path;
        let opened = match lister.open(&self.directory) {
            Ok(opened) => opened,
            Err(errno) => {
                // With a place to go on from, `next` would try the same part for ever.
                self.after = None;
                return visitor.doubt(Doubt::new(directory, "open the directory", errno));
            }
        };
        let scope = lister.scope;
        let mut batch = Part {
            names: Vec::new(),
            bytes: 0,
            after: self.after.take(),
            last: None,
        };
        // One doubt for all: a hostile directory has millions of names that cannot be used.
        let mut unusable = None;
        let mut buffer = std::mem::take(&mut lister.buffer);
        let outcome = list::list(&opened, &mut buffer, |_, name, kind| {
            let path = match directory.join(name.to_bytes()) {
                Ok(path) => path,
                Err(error) => {
                    unusable.get_or_insert(error);
                    return true;
                }
            };
            let class = scope.rules.class_of(&path);
            // Few paths are of the seal, and what lies beneath them is looked at as ever.
            // Each part lists the directory from its start: what was not signed is told in the first part alone.
            if class == PathClass::Seal || scope.signed.is_none_or(|signed| signed(&path)) {
                batch.add(name);
            } else if !is_first {
            } else if matches!(class, PathClass::Sealed)
                && kind != FileType::Unknown
                && !visitor.wants_unsigned()
            {
                // By the type in the directory; on a file system that keeps none there, the name is looked at instead.
                visitor.count_unsigned(&path, kind);
            } else {
                // `false`: floods come of verifications alone, which never enter `state`.
                match lister.look(&opened, name, path, false) {
                    Some(Met::Seen(seen)) => visitor.see_unsigned(seen),
                    Some(Met::Doubt(doubt)) => visitor.doubt_unsigned(doubt),
                    None => {}
                }
            }
            true
        });
        lister.buffer = buffer;
        // Signed names that the listing did not bring would pass for missing: the doubt leaves that undecided.
        if let Err(errno) = outcome {
            visitor.doubt(Doubt::new(directory, "list the directory", errno));
        }
        if let Some(error) = unusable {
            visitor.doubt(Doubt::new(directory, "use a name in the directory", error));
        }
        if batch.end() {
            visitor.doubt(list::listed_twice(directory));
        }
        self.names = batch.names;
        self.after = batch.last;
    }

    fn look(&mut self, lister: &mut Lister<'_>, visitor: &mut dyn Visitor) {
        let directory = &self.directory;
        // Opened anew: the walk enters directories in between, and a descriptor a level could pass RLIMIT_NOFILE.
        let opened = match lister.open(directory) {
            Ok(opened) => opened,
            Err(errno) => {
                // The doubt covers these names; left here, they would be tried for ever.
                self.names.clear();
                let doubt = Doubt::new(&directory.path, "open the directory", errno);
                return visitor.doubt(doubt);
            }
        };
        let batch = self.names.len().saturating_sub(BATCH);
        for name in self.names.drain(batch..) {
            // Such a path was signed, and so it is one.
            if let Ok(path) = directory.path.join(name.to_bytes()) {
                self.met.extend(lister.look(&opened, &name, path, false));
            }
        }
    }
}

/// The first names, in their order, of those that come after another one.
struct Part {
    names: Vec<CString>,
    bytes: usize,
    after: Option<CString>,
    /// No name beyond this one is of the part.
    last: Option<CString>,
}

impl Part {
    fn add(&mut self, name: &CStr) {
        let is_before = self.after.as_deref().is_some_and(|after| name <= after);
        let is_beyond = self.last.as_deref().is_some_and(|last| name > last);
        if is_before || is_beyond {
            return;
        }
        self.bytes = self.bytes.saturating_add(size(name));
        self.names.push(name.to_owned());
        if self.bytes > PART && self.names.len() > 1 {
            // Half is dropped at a time, so that one sort pays for many names.
            self.names.sort_unstable();
            self.names.truncate(self.names.len().div_ceil(2));
            self.bytes = self.names.iter().map(|name| size(name)).sum();
            self.last = self.names.last().cloned();
        }
    }

    /// Puts the first name last. Whether one came twice.
    fn end(&mut self) -> bool {
        self.names.sort_unstable();
        let before = self.names.len();
        self.names.dedup();
        self.names.reverse();
        self.names.len() < before
    }
}

/// The bytes, the allocation round them, and the place in the list.
fn size(name: &CStr) -> usize {
    name.to_bytes().len().saturating_add(40)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_parts_yield_every_name_once_in_order() {
        let names: Vec<CString> = (0..150_000_u32)
            .map(|number| {
                let name = format!("{:0>40}", number.wrapping_mul(2_654_435_761));
                CString::new(name).unwrap()
            })
            .collect();
        let (mut brought, mut after, mut parts) = (Vec::new(), None, 0);
        loop {
            let mut part = Part {
                names: Vec::new(),
                bytes: 0,
                after,
                last: None,
            };
            for name in &names {
                part.add(name);
            }
            assert!(part.bytes <= PART && !part.end());
            brought.extend(part.names.into_iter().rev());
            parts += 1;
            after = part.last;
            if after.is_none() {
                break;
            }
        }
        let mut sorted = names;
        sorted.sort();
        assert!(parts > 1 && brought == sorted);
    }

    #[test]
    fn duplicate_directory_name_is_yielded_once_and_reported() {
        let name = CString::new("a").unwrap();
        let mut part = Part {
            names: Vec::new(),
            bytes: 0,
            after: None,
            last: None,
        };
        part.add(&name);
        part.add(&name);
        assert!(part.end() && part.names == [name]);
    }
}
