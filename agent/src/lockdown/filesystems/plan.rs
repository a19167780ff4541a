//! Plan of the mount operations that the declaration still needs, from the mount table. Nothing here touches a
//! mount. A plan is made from the mounts that are there: one that was cut short is finished by the next,
//! and where all is done it is empty.

use earmark_manifest::path::ImagePath;
use rustix::mount::MountFlags;

use super::{
    places::{Place, Places},
    table::{Mount, Table},
};

/// File systems in which a device is more than a danger.
const WITH_DEVICES: [&str; 3] = ["devpts", "devtmpfs", "selinuxfs"];
/// Those in which nobody can put a file: a namespace that is kept, a mount that waits for its first use.
const WITHOUT_FILES: [&str; 2] = ["autofs", "nsfs"];
/// Flags that a writable mount is to have.
const NOT_RUN: MountFlags = MountFlags::NOSUID
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC);
/// In a container a plain tmpfs.
const DEVICES: &[u8] = b"dev";

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operation {
    /// A directory or a file is mounted over itself, with what is mounted in it.
    Bind(ImagePath),
    /// The mount on a place is given these flags, and no others of those that are looked at.
    Restrict(ImagePath, MountFlags),
}

/// Extent of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Paths that stay writable get mounts of their own. Nothing is read-only yet.
    Islands,
    /// All.
    Whole,
}

/// The flags that a mount is to have at least.
pub(super) fn wanted(mount: &Mount, places: &Places) -> MountFlags {
    if WITHOUT_FILES.contains(&&*mount.kind) {
        return MountFlags::empty();
    }
    match places.place(&mount.point) {
        Place::Open => MountFlags::empty(),
        // Not NOEXEC: the image's own programs run from here, and nothing new can come.
        Place::Sealed => MountFlags::RDONLY,
        Place::Writable => {
            let has_devices = WITH_DEVICES.contains(&&*mount.kind);
            if has_devices || mount.point.as_bytes() == DEVICES {
                NOT_RUN.difference(MountFlags::NODEV)
            } else {
                NOT_RUN
            }
        }
    }
}

/// Returns the operations that are missing, in the order in which they are to be done.
pub(super) fn plan(
    table: &Table,
    islands: &[ImagePath],
    places: &Places,
    stage: Stage,
) -> Vec<Operation> {
    let mut operations = Vec::new();
    for island in islands {
        let mount = table.at(island);
        let place = places.place(island);
        // A mount already; a part of one for which the same holds; or nothing that could be written.
        if mount.point == *island || places.place(&mount.point) == place || mount.is_frozen() {
            continue;
        }
        // The clone has the flags of the mount beneath, which may be read-only: an island is to be written.
        let mut flags = mount.flags.difference(MountFlags::RDONLY | NOT_RUN);
        if place != Place::Open {
            flags |= NOT_RUN;
        }
        operations.push(Operation::Bind(island.clone()));
        operations.push(Operation::Restrict(island.clone(), flags));
    }
    let mut mounts = table.visible();
    // The root is last: it is the one that something may still hold open.
    mounts.sort_by(|one, other| other.point.cmp(&one.point));
    for mount in mounts.into_iter().filter(|mount| mount.is_writable()) {
        let wanted = wanted(mount, places);
        let is_early = wanted.contains(MountFlags::RDONLY) && stage == Stage::Islands;
        if !is_early && !mount.flags.contains(wanted) {
            // A remount clears each flag that it does not name.
            let flags = mount.flags | wanted;
            operations.push(Operation::Restrict(mount.point.clone(), flags));
        }
    }
    operations
}

/// Returns the operations that make the sealed mounts writable again, the root first. A file system that is
/// read-only by itself stays so.
pub(super) fn unseal(table: &Table, places: &Places) -> Vec<Operation> {
    let mut mounts = table.visible();
    mounts.sort_by(|one, other| one.point.cmp(&other.point));
    // Read-only alone is undone: a grant lets nobody run what state holds.
    let is_shut = |mount: &&Mount| {
        wanted(mount, places).contains(MountFlags::RDONLY)
            && mount.flags.contains(MountFlags::RDONLY)
            && !mount.is_frozen()
    };
    let open = |mount: &Mount| {
        let flags = mount.flags.difference(MountFlags::RDONLY);
        Operation::Restrict(mount.point.clone(), flags)
    };
    mounts.into_iter().filter(is_shut).map(open).collect()
}
