//! One file whose content and attributes are compared with what was signed.

use earmark_manifest::{
    digest::{Sha256Digest, VerityDigest},
    entry::{Xattr, XattrName},
    path::ImagePath,
};

use crate::{
    Doubt, Violation, ViolationKind,
    hash::{Job, Opened, Reader, Sought},
    judge::different_xattrs,
    walk::{Seen, Stat},
};

/// A file whose content is to be compared. Many of them wait at a time: it has what is needed, and no more.
#[derive(Debug)]
pub(crate) struct Check {
    path: ImagePath,
    stat: Stat,
    /// Absent where only the attributes are to be compared.
    sha256: Option<Sha256Digest>,
    /// Only where it is compared in the place of the other digest, and with whose; a rendered file has no signed one.
    verity: Option<(Box<VerityDigest>, By)>,
    /// Absent for a rendered file, which has none but the label that the system gave it.
    xattrs: Option<Box<[Xattr]>>,
    /// The kernel's digest was compared instead of the content.
    by_kernel: bool,
    found: Vec<Violation>,
}

/// Origin of an fs-verity digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// The kernel, which enforces it.
    Kernel,
    /// The data of a file that is mostly holes, which are not read.
    Data,
}

/// Outcome of reading one file; none for a file whose content was read and is as it should be.
#[derive(Debug)]
pub(crate) enum Outcome {
    Doubt(Doubt),
    /// As it should be by the kernel's digest: so many bytes were not read.
    Enforced(u64),
    Violations(Vec<Violation>),
}

impl Check {
    pub(crate) fn new(
        seen: &Seen,
        sha256: Sha256Digest,
        verity: Option<(Box<VerityDigest>, By)>,
        xattrs: Box<[Xattr]>,
    ) -> Self {
        Self {
            path: seen.path.clone(),
            stat: seen.stat,
            sha256: Some(sha256),
            verity,
            xattrs: Some(xattrs),
            by_kernel: false,
            found: Vec::new(),
        }
    }

    /// A file that a step wrote, with the digest that the host has for it, or any content.
    pub(crate) fn rendered(seen: &Seen, sha256: Option<Sha256Digest>) -> Self {
        Self {
            path: seen.path.clone(),
            stat: seen.stat,
            sha256,
            verity: None,
            xattrs: None,
            by_kernel: false,
            found: Vec::new(),
        }
    }

    fn differs(&mut self, found: String) {
        self.found.push(Violation {
            path: self.path.clone(),
            kind: ViolationKind::Content,
            expected: self
                .sha256
                .map_or_else(String::new, |sha256| sha256.to_string()),
            found,
        });
    }
}

impl Job for Check {
    type Outcome = Outcome;

    fn sought(&self) -> Sought<'_> {
        Sought {
            path: &self.path,
            stat: &self.stat,
        }
    }

    fn begin(&mut self, reader: &mut Reader<'_>, opened: &Opened) -> Result<bool, Doubt> {
        // Through the descriptor that is hashed: by name they could be another file's.
        let found = reader.xattrs(self.sought(), opened)?;
        if let Some(expected) = &self.xattrs {
            different_xattrs(&self.path, expected, &found, &mut self.found);
        } else {
            let powers: Vec<Xattr> = found
                .into_iter()
                .filter(|xattr| xattr.name != XattrName::Selinux)
                .collect();
            different_xattrs(&self.path, &[], &powers, &mut self.found);
        }
        if self.sha256.is_none() {
            return Ok(false);
        }
        let Some((expected, by)) = self.verity.take() else {
            return Ok(true);
        };
        let found = match by {
            By::Kernel => reader.kernel_digest(self.sought(), opened),
            By::Data => reader.digest_of_data(self.sought(), opened)?,
        };
        let Some(found) = found else {
            return Ok(true);
        };
        // Any file can be given fs-verity: the kernel vouches for the digest that it has, not for the signed one.
        if *expected != found {
            self.differs(format!("fs-verity digest {found}"));
        }
        self.by_kernel = by == By::Kernel;
        Ok(false)
    }

    fn finish(mut self, content: Result<Option<Sha256Digest>, Doubt>) -> Option<Outcome> {
        match content {
            Ok(Some(found)) if Some(found) != self.sha256 => self.differs(found.to_string()),
            Ok(None) if self.by_kernel && self.found.is_empty() => {
                return Some(Outcome::Enforced(self.stat.size));
            }
            Ok(_) => {}
            // The attributes that were found count for nothing: they may be another object's.
            Err(doubt) => return Some(Outcome::Doubt(doubt)),
        }
        (!self.found.is_empty()).then_some(Outcome::Violations(self.found))
    }
}
