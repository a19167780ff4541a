//! Entries of the signed tree for the files that a step uses: programs, templates, units.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use earmark_manifest::{
    class::PathClass,
    digest::Sha256Digest,
    entry::{Node, Owner},
    path::ImagePath,
    verify::VerifiedManifest,
};
use earmark_scan::links::Links;

/// A sealed regular file.
#[derive(Debug, Clone, Copy)]
pub struct SealedFile {
    /// Of its content.
    pub sha256: Sha256Digest,
    /// In bytes.
    pub size: u64,
    /// User, group and permission bits.
    pub owner: Owner,
}

/// Part of the signed tree: sealed files that are critical or can be run, and all links.
///
/// Links are followed as they were signed, not as they are on the disk: a link that was changed leads
/// a step nowhere else, and the file at its end is opened without following any.
#[derive(Debug, Default)]
pub struct SealedFiles {
    files: BTreeMap<ImagePath, SealedFile>,
    links: Links,
}

impl SealedFiles {
    /// Reads the tree of a verified manifest once.
    pub fn of(manifest: &VerifiedManifest) -> Result<Self> {
        let mut tree = manifest.tree().context("failed to read the signed tree")?;
        let rules = tree.rules().clone();
        let mut sealed = Self::default();
        for entry in &mut tree {
            let entry = entry.context("failed to read the signed tree")?;
            // Content of state and mutable files is not signed: there is nothing to compare a program with.
            if entry.class != PathClass::Sealed {
                continue;
            }
            match entry.node {
                Node::Regular(Some(content)) => {
                    // Each sealed file has an owner; one without could not be compared.
                    let Some(owner) = entry.owner else { continue };
                    // Not all: a server's root has 100,000 files. What a step names is critical (`step_rules`).
                    if owner.mode & 0o111 != 0 || rules.is_critical(&entry.path) {
                        let file = SealedFile {
                            sha256: content.sha256,
                            size: content.size,
                            owner,
                        };
                        sealed.files.insert(entry.path, file);
                    }
                }
                Node::Symlink(Some(target)) => sealed.links.insert(entry.path, target),
                Node::Regular(None)
                | Node::Symlink(None)
                | Node::Directory
                | Node::CharDevice(_)
                | Node::BlockDevice(_)
                | Node::Fifo
                | Node::Socket => {}
            }
        }
        Ok(sealed)
    }

    /// The sealed file that `path` leads to, and its path without links.
    pub fn find(&self, path: &ImagePath) -> Result<(ImagePath, SealedFile), String> {
        let resolved = self.links.resolve(path)?;
        match self.files.get(&resolved) {
            Some(file) => Ok((resolved, *file)),
            None => Err(format!("'{path}' is not a sealed file of the image")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ImagePath {
        ImagePath::from_absolute(text.as_bytes()).unwrap()
    }

    #[test]
    fn sealed_path_lookup_follows_signed_links_within_the_image() {
        let mut sealed = SealedFiles::default();
        let file = SealedFile {
            sha256: earmark_manifest::crypto::sha256(b""),
            size: 0,
            owner: Owner {
                mode: 0o755,
                uid: 0,
                gid: 0,
            },
        };
        sealed.files.insert(path("/usr/bin/dash"), file);
        for (from, to) in [
            ("/bin", "usr/bin"),
            ("/usr/bin/sh", "dash"),
            ("/usr/bin/up", "../../../../../bin/./sh"),
            ("/usr/bin/absolute", "/bin/sh"),
            ("/usr/bin/loop", "loop"),
        ] {
            sealed.links.insert(path(from), to.as_bytes().into());
        }
        for good in ["/usr/bin/dash", "/bin/sh", "/bin/up", "/usr/bin/absolute"] {
            assert_eq!(
                sealed.find(&path(good)).unwrap().0,
                path("/usr/bin/dash"),
                "{good}"
            );
        }
        assert!(
            sealed
                .find(&path("/bin/loop"))
                .unwrap_err()
                .contains("many")
        );
        let absent = sealed.find(&path("/bin/bash")).unwrap_err();
        assert_eq!(absent, "'/bin/bash' is not a sealed file of the image");
    }
}
