//! A finished disk, looked at as it lies in its file.
//!
//! A host boots the disk as it is after the machine that it was made on was shut down: that must not differ
//! from the root that was sealed. Nothing of it is ever written. Its content may have been made to attack
//! whoever looks at it, so that partition tables, qcow2 and ext4 are read by this program, without any right and
//! without the kernel (docs/adr/0014-disks-in-user-space.md).
//!
//! Limit: XFS and FAT are read by the kernel of this host, and need root; only their superblocks are looked at
//! before. They are mounted read-only in a mount namespace of their own: a signal, or the loss of this
//! process, leaves neither a mount nor a loop device behind. Verify what you do not trust that far in a virtual
//! machine.

pub mod account;
mod disk;
mod ext4;
mod fstab;
mod mounts;
mod namespace;
mod partitions;
mod qcow2;
mod select;
mod superblock;
mod tree;
mod twins;

use earmark_scan::disk::table::Table;
use std::{fmt, path::Path, sync::Arc};

use anyhow::Context;
use earmark_manifest::declaration::Declaration;
use earmark_scan::{Root, seal};

use self::{
    disk::Disk, fstab::Wanted, mounts::Mounted, namespace::Kernel, select::Volume, tree::Tree,
};
use crate::exit::{Exit, Exits, Outcome};

/// A disk's root, with what the image's declaration says that it has besides.
#[derive(Debug)]
pub struct Image {
    // In this order they are dropped: a file system that is still open cannot go.
    root: Root,
    _mounted: Vec<Mounted>,
    _kernel: Kernel,
    disk: Arc<Disk>,
    table: Option<Table>,
    volumes: Vec<Volume>,
    /// The volumes that are part of the root, and their mount points; the root's own is first.
    used: Vec<(Volume, String)>,
}

impl Image {
    /// Opens the disk in the file `path`: its partition `partition`, or the one that is a root.
    pub fn open(path: &Path, partition: Option<u32>) -> Outcome<Self> {
        let disk = Arc::new(Disk::open(path)?);
        let (table, volumes) = select::volumes(&disk)?;
        let mut kernel = Kernel::default();
        let volume = select::root(&disk, &volumes, partition, &mut kernel)?;
        twins::refuse(&disk, &volumes, volume)?;
        let (root, mounted, used) = match read(&disk, &volumes, volume, path)? {
            Some((root, used)) => (root, Vec::new(), used),
            None => mount(&disk, &volumes, volume, &mut kernel)?,
        };
        let mut all = vec![(volume.clone(), "/".to_owned())];
        all.extend(used);
        Ok(Self {
            root,
            _mounted: mounted,
            _kernel: kernel,
            disk,
            table,
            used: all,
            volumes,
        })
    }

    /// Its root directory.
    pub fn root(&self) -> &Root {
        &self.root
    }
}

type Used = Vec<(Volume, String)>;

/// The root as this program reads it itself; none, if a part of it is for the kernel to read.
fn read(
    disk: &Arc<Disk>,
    volumes: &[Volume],
    volume: &Volume,
    path: &Path,
) -> Outcome<Option<(Root, Used)>> {
    if !volume.is_ext4() {
        volume.file_system()?;
        return Ok(None);
    }
    let root_of =
        |tree: &Tree| Root::of_source(Box::new(tree.clone()), path).exits(Exit::Undecided);
    let mut tree = Tree::new(select::open(disk, volume)?);
    let wanted = separate(&root_of(&tree)?, volumes, volume)?;
    if wanted.iter().any(|(_, volume, _)| !volume.is_ext4()) {
        return Ok(None);
    }
    let mut used = Vec::new();
    for (target, volume, _) in wanted {
        tree.mount(select::open(disk, volume)?, &target)
            .with_context(|| format!("failed to open '{target}', to mount {volume} there"))
            .exits(Exit::Undecided)?;
        used.push((volume.clone(), target.to_string()));
    }
    Ok(Some((root_of(&tree)?, used)))
}

/// The root as the kernel reads it.
fn mount(
    disk: &Arc<Disk>,
    volumes: &[Volume],
    volume: &Volume,
    kernel: &mut Kernel,
) -> Outcome<(Root, Vec<Mounted>, Used)> {
    let at = kernel.at()?;
    let mut mounted = vec![Mounted::new(disk, volume, "", at)?];
    let root = Root::open(at).exits(Exit::Undecided)?;
    let mut used = Vec::new();
    for (target, volume, options) in separate(&root, volumes, volume)? {
        if volume.is_ext4() {
            // Nothing reaches the kernel that this program's own reader refuses.
            select::open(disk, volume)?;
        }
        mounted.push(Mounted::beneath(disk, volume, &options, &root, &target)?);
        used.push((volume.clone(), target.to_string()));
    }
    // What was mounted last goes first.
    mounted.reverse();
    Ok((root, mounted, used))
}

/// The partitions that the root is made of.
impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (volume, at)) in self.used.iter().enumerate() {
            match number {
                0 => write!(f, "{volume}")?,
                _ => write!(f, ", and {volume} at '{at}'")?,
            }
        }
        Ok(())
    }
}

/// The file systems that belong to the image besides its root, as its declaration names them. It is not
/// verified yet, and need not be: it says what is mounted, and the verification then what is in there.
fn separate<'a>(root: &Root, volumes: &'a [Volume], taken: &Volume) -> Outcome<Vec<Wanted<'a>>> {
    // Without a seal, or with one that is none, there is nothing to mount; the verification says why.
    let Ok((_, declaration)) = seal::read_declared(root) else {
        return Ok(Vec::new());
    };
    let Ok(declared) = Declaration::parse(&declaration) else {
        return Ok(Vec::new());
    };
    fstab::wanted(root, &declared.tree.mounts, volumes, taken)
}
