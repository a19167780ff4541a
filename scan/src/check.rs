//! One file whose content and attributes are compared with what was signed.

use earmark_manifest::{
    digest::{Sha256Digest, VerityDigest},
    entry::Xattr,
};

use crate::{
    Doubt, Violation, ViolationKind,
    hash::{Job, Opened, Reader},
    judge::different_xattrs,
    walk::Seen,
};

/// A file whose content is to be compared.
#[derive(Debug)]
pub(crate) struct Check<'a> {
    seen: &'a Seen,
    sha256: Sha256Digest,
    /// Only where the kernel has one to compare it with; a rendered file has no signed one.
    verity: Option<Box<VerityDigest>>,
    xattrs: Box<[Xattr]>,
    found: Vec<Violation>,
}

/// What reading one file brought, if it is not as it should be.
#[derive(Debug)]
pub(crate) enum Outcome {
    Doubt(Doubt),
    Violations(Vec<Violation>),
}

impl<'a> Check<'a> {
    pub(crate) fn new(
        seen: &'a Seen,
        sha256: Sha256Digest,
        verity: Option<Box<VerityDigest>>,
        xattrs: Box<[Xattr]>,
    ) -> Self {
        Self {
            seen,
            sha256,
            verity,
            xattrs,
            found: Vec::new(),
        }
    }

    fn differs(&mut self, found: String) {
        self.found.push(Violation {
            path: self.seen.path.clone(),
            kind: ViolationKind::Content,
            expected: self.sha256.to_string(),
            found,
        });
    }
}

impl<'a> Job<'a> for Check<'a> {
    type Outcome = Outcome;

    fn seen(&self) -> &'a Seen {
        self.seen
    }

    fn begin(&mut self, reader: &mut Reader<'_>, opened: &Opened<'a>) -> Result<bool, Doubt> {
        let xattrs = reader.xattrs(opened)?;
        different_xattrs(&self.seen.path, &self.xattrs, &xattrs, &mut self.found);
        match (self.verity.as_deref(), reader.kernel_digest(opened)) {
            (Some(expected), Some(found)) => {
                if *expected != found {
                    self.differs(format!("fs-verity digest {found}"));
                }
                Ok(false)
            }
            _ => Ok(true),
        }
    }

    fn finish(mut self, content: Result<Option<Sha256Digest>, Doubt>) -> Option<Outcome> {
        match content {
            Ok(Some(found)) if found != self.sha256 => self.differs(found.to_string()),
            Ok(_) => {}
            Err(doubt) => return Some(Outcome::Doubt(doubt)),
        }
        (!self.found.is_empty()).then_some(Outcome::Violations(self.found))
    }
}
