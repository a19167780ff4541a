//! Terms of a comparison beside the tree: signed rules, and what the host's record adds to them.

use std::collections::BTreeMap;

use earmark_manifest::{
    class::{PathClass, RuleAttributes, RuleSet},
    entry::Owner,
    layout,
    path::ImagePath,
    verify::VerifiedManifest,
};

use super::{RenderedFile, RenderedFiles, read};
use crate::{Doubt, Root, state};

/// All that a comparison goes by beside the tree's entries.
pub(crate) struct Terms<'a> {
    pub(crate) rules: &'a RuleSet,
    /// True if the kernel's fs-verity digests are believed, so that such files are not read.
    pub(crate) believes_kernel: bool,
    /// File system on which the image promises fs-verity, where the kernel's word on it counts.
    pub(crate) promised: Option<u64>,
    /// True if first boot follows, which writes again what it was interrupted in.
    before_first_boot: bool,
    /// The files that signed steps write, with what was signed about them.
    declared: BTreeMap<ImagePath, Owner>,
    /// The host's record of them; absent if it cannot be used, which is a doubt.
    record: Option<RenderedFiles>,
}

/// Expected state of a path that a signed step writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    /// Signed owner and mode.
    pub(crate) owner: Owner,
    pub(crate) content: Content,
}

/// Content of the path, by the host's record.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content {
    /// It was written so.
    Written(RenderedFile),
    /// It was about to be written, and first boot does it again.
    BeingWritten,
    /// It was about to be written, and nothing follows that would.
    CutShort,
    /// The record cannot be used.
    Unknown,
}

impl<'a> Terms<'a> {
    /// Reads the host's record, and keeps of it what the signed manifest allows; the rest is a doubt.
    pub(crate) fn read(
        root: &Root,
        manifest: &VerifiedManifest,
        rules: &'a RuleSet,
        (before_first_boot, believes_kernel): (bool, bool),
    ) -> (Self, Vec<Doubt>) {
        let declared = manifest.declaration().rendered_files();
        // Where a later signed rule gives the path another class, the record has no say in it.
        let declared: BTreeMap<ImagePath, Owner> = declared
            .filter(|path| rules.class_of(path) == PathClass::Rendered)
            .filter_map(|path| Some((path.clone(), signed_owner(rules, path)?)))
            .collect();
        // What others can write is believed in no part, whatever this verification needs of it.
        let mut doubts: Vec<Doubt> = state::problems(root)
            .into_iter()
            .map(|error| Doubt {
                path: ImagePath::from_absolute(error.place.as_bytes()).unwrap_or_default(),
                problem: format!("failed to trust the state in it: {}", error.cause),
            })
            .collect();
        let record = match read(root, manifest.digest()) {
            Ok(record) => Some(record),
            Err(doubt) => {
                doubts.push(doubt);
                None
            }
        };
        let at = ImagePath::from_absolute(layout::RENDERED.as_bytes()).unwrap_or_default();
        for path in record.iter().flat_map(BTreeMap::keys) {
            // A line for a path that no step writes once hid a set-uid shell: it has no effect, and is told.
            if !declared.contains_key(path) {
                let cause = format!("it names {path}, which no step of the signed image writes");
                doubts.push(Doubt::new(&at, "use the record of rendered files", cause));
            }
        }
        let terms = Self {
            rules,
            believes_kernel,
            promised: (believes_kernel && manifest.declaration().boot.verity)
                .then(|| root.device()),
            before_first_boot,
            declared,
            record,
        };
        (terms, doubts)
    }

    /// Returns what is known of `path` beside the tree, if a signed step writes it and began to.
    pub(crate) fn expected(&self, path: &ImagePath) -> Option<Expected> {
        let owner = *self.declared.get(path)?;
        let content = match &self.record {
            // Not absent: a damaged record would make each rendered file an added one, and of a doubt a violation.
            None => Content::Unknown,
            Some(record) => {
                let file = *record.get(path)?;
                match (file.pending, self.before_first_boot) {
                    (false, _) => Content::Written(file),
                    (true, true) => Content::BeingWritten,
                    (true, false) => Content::CutShort,
                }
            }
        };
        Some(Expected { owner, content })
    }

    /// All paths of which something is known beside the tree.
    pub(crate) fn all_expected(&self) -> impl Iterator<Item = (&ImagePath, Expected)> {
        let declared = self.declared.keys();
        declared.filter_map(|path| Some((path, self.expected(path)?)))
    }

    /// Owners and modes that a file may have that is not whole yet, in this directory: at first root's alone,
    /// then those of the step. `top` is root, or the owner of the root directory.
    pub(crate) fn unfinished(&self, directory: &ImagePath, top: &Owner) -> Vec<Owner> {
        let private = |owner: &Owner| Owner {
            mode: 0o600,
            ..*owner
        };
        let here = self.all_expected().filter(|(path, expected)| {
            matches!(expected.content, Content::BeingWritten)
                && path.parent().as_ref() == Some(directory)
        });
        here.flat_map(|(_, Expected { owner, .. })| [private(top), private(&owner), owner])
            .collect()
    }
}

fn signed_owner(rules: &RuleSet, path: &ImagePath) -> Option<Owner> {
    let RuleAttributes { mode, uid, gid, .. } = rules.attributes_of(path, PathClass::Rendered);
    Some(Owner {
        mode: mode?,
        uid: uid?,
        gid: gid?,
    })
}
