//! Sealed files that are to be enforced, as the signed tree has them.

use anyhow::Context;
use earmark_manifest::{
    class::PathClass,
    digest::VerityDigest,
    entry::{Entry, Node},
    fsverity::ENFORCED_ABOVE,
    path::ImagePath,
    verify::VerifiedManifest,
};

use crate::{
    exit::{Exit, Exits, Outcome},
    verity::volumes::Volumes,
};

/// Files of the signed tree, by what is to become of them.
#[derive(Debug)]
pub(super) struct Plan {
    /// To be enforced, in the order of the paths.
    pub(super) files: Vec<Wanted>,
    /// Number of sealed files that are too small for it.
    pub(super) small: u64,
    /// Number of sealed files on volumes that cannot.
    pub(super) elsewhere: u64,
}

/// A file that is to be enforced.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) path: ImagePath,
    pub(super) size: u64,
    pub(super) digest: VerityDigest,
    /// The inode has more names.
    pub(super) is_linked: bool,
}

impl Plan {
    /// Of the signed tree. Tells `volumes` which of them are needed.
    pub(super) fn of(manifest: &VerifiedManifest, volumes: &mut Volumes) -> Outcome<Self> {
        let mut plan = Self {
            files: Vec::new(),
            small: 0,
            elsewhere: 0,
        };
        let reading = || "failed to read the signed tree";
        let tree = manifest
            .tree()
            .with_context(reading)
            .exits(Exit::NotVerified)?;
        for entry in tree {
            let entry = entry.with_context(reading).exits(Exit::NotVerified)?;
            plan.add(entry, volumes);
        }
        Ok(plan)
    }

    fn add(&mut self, entry: Entry, volumes: &mut Volumes) {
        // What is mutable or rendered is written again, by whoever may.
        let (PathClass::Sealed, Node::Regular(Some(content))) = (entry.class, &entry.node) else {
            return;
        };
        if content.size <= ENFORCED_ABOVE {
            self.small += 1;
        } else if volumes.need(&entry.path) {
            self.files.push(Wanted {
                size: content.size,
                digest: content.verity,
                is_linked: content.links.is_some(),
                path: entry.path,
            });
        } else {
            self.elsewhere += 1;
        }
    }

    /// Bytes of the files, of each inode once for each name.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}
