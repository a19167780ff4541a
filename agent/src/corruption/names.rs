//! From an inode to the names of the sealed file that has it.

use std::{fs, os::unix::fs::MetadataExt};

use earmark_manifest::{class::PathClass, entry::Node, verify::VerifiedManifest};
use earmark_scan::Root;

use super::{kept::Kept, log::Corrupted};

/// Names each of them, as far as it is a sealed file. Looks at every sealed file of more than no bytes: a second for a
/// large root, and only when there is something new.
pub(super) fn find(
    root: &Root,
    manifest: &VerifiedManifest,
    corrupted: Vec<Corrupted>,
) -> Vec<Kept> {
    let mut named: Vec<Kept> = corrupted
        .into_iter()
        .map(|at| Kept { at, path: None })
        .collect();
    let entries = manifest.tree().into_iter().flatten().filter_map(Result::ok);
    for entry in entries {
        let (Node::Regular(Some(content)), PathClass::Sealed) = (&entry.node, entry.class) else {
            continue;
        };
        if content.size == 0 {
            continue;
        }
        let Ok((file, _)) = root.open_regular(&entry.path) else {
            continue;
        };
        let Ok(metadata) = file.metadata() else {
            continue;
        };
        for kept in named.iter_mut().filter(|kept| kept.path.is_none()) {
            if kept.at.inode == metadata.ino() && is_on(metadata.dev(), &kept.at.device) {
                kept.path = Some(entry.path.to_string());
            }
        }
        if named.iter().all(|kept| kept.path.is_some()) {
            break;
        }
    }
    named
}

/// Returns whether a device number is that of the device of this name. btrfs has numbers of its own, of which sysfs
/// has no name: there the inode decides.
fn is_on(number: u64, name: &str) -> bool {
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    let link = fs::read_link(format!("/sys/dev/block/{major}:{minor}"));
    link.map_or(major == 0, |link| link.ends_with(name))
}
