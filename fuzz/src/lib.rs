//! Parts that the targets share.

use earmark_manifest::{
    class::PathClass,
    entry::{Entry, Node, Owner},
    path::ImagePath,
};

/// The root, which every tree has.
#[must_use]
pub fn root() -> Entry {
    Entry {
        path: ImagePath::root(),
        class: PathClass::Sealed,
        node: Node::Directory,
        owner: Some(Owner {
            mode: 0o755,
            uid: 0,
            gid: 0,
        }),
        xattrs: Vec::new(),
    }
}
