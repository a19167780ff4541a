//! A finished disk, looked at as it lies in its file: attached read-only, mounted where nobody else sees
//! it, and gone when this program is, however that ends.
//!
//! What must not differ from the root that was sealed is what a host boots: the disk, after the machine
//! that it was made on was shut down. Nothing of it is ever written. The loop devices are read-only and
//! go with their last mount, the mounts go with their namespace, and the raw copy of a qcow2 has no name:
//! a signal, or the loss of this process, leaves nothing behind.
//!
//! Limit: the kernel of this host reads the file systems. Whoever made a disk that attacks a file system's
//! driver attacks this host: verify what you do not trust that far in a virtual machine.

mod disk;
mod fstab;
mod mounts;
mod namespace;
mod partitions;
mod select;
mod superblock;

use std::{fmt, path::Path};

use anyhow::Context;
use earmark_manifest::declaration::Declaration;
use earmark_scan::{Root, seal};

use self::{disk::Disk, mounts::Mounted, select::Volume};
use crate::{
    exit::{Exit, Exits, Outcome},
    files::TemporaryDirectory,
};

/// A disk's root, mounted with what the image's declaration says that it has besides.
#[derive(Debug)]
pub struct Image {
    // In this order they are dropped: a file system that is still open cannot go.
    root: Root,
    _others: Vec<Mounted>,
    _mounted: Mounted,
    _at: TemporaryDirectory,
    parts: String,
}

impl Image {
    /// Attaches the disk in the file `path`: its partition `partition`, or the one that is a root.
    pub fn attach(path: &Path, partition: Option<u32>) -> Outcome<Self> {
        let disk = Disk::open(path)?;
        let volumes = select::volumes(&disk)?;
        namespace::enter()?;
        let at = TemporaryDirectory::new_in(&std::env::temp_dir())
            .context("failed to make a directory to mount the image on")?;
        let volume = select::root(&disk, &volumes, partition, at.path())?;
        let mounted = Mounted::new(&disk, volume, "", at.path())?;
        let root = Root::open(at.path()).exits(Exit::Undecided)?;
        let (mut others, mut parts) = (Vec::new(), volume.to_string());
        for (target, volume, options) in separate(&root, &volumes, volume)? {
            others.push(Mounted::beneath(&disk, volume, &options, &root, &target)?);
            parts.push_str(&format!(", and {volume} at '{target}'"));
        }
        Ok(Self {
            root,
            _others: others,
            _mounted: mounted,
            _at: at,
            parts,
        })
    }

    /// Its root directory.
    pub fn root(&self) -> &Root {
        &self.root
    }
}

/// Which parts of the disk it is made of.
impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.parts)
    }
}

/// The file systems that belong to the image besides its root, as its declaration names them. It is not
/// verified yet, and need not be: it says what is mounted, and the verification then what is in there.
fn separate<'a>(
    root: &Root,
    volumes: &'a [Volume],
    taken: &Volume,
) -> Outcome<Vec<fstab::Wanted<'a>>> {
    // Without a seal, or with one that is none, there is nothing to mount; the verification says why.
    let Ok((_, declaration)) = seal::read_declared(root) else {
        return Ok(Vec::new());
    };
    let Ok(declared) = Declaration::parse(&declaration) else {
        return Ok(Vec::new());
    };
    fstab::wanted(root, &declared.tree.mounts, volumes, taken)
}
