//! The file systems of a disk as one tree, read in this program.

use std::{collections::BTreeMap, io, sync::Arc};

use earmark_manifest::path::ImagePath;
use earmark_scan::source::{self, Metadata, NodeId, Source};
use rustix::fs::FileType;

use earmark_scan::disk::bytes::{Bytes, bad};

use super::{
    disk::Disk,
    ext4::{self, Ext4},
    partitions::Partition,
};

/// A part of a disk.
#[derive(Debug)]
struct Part {
    disk: Arc<Disk>,
    start: u64,
    size: u64,
}

impl Bytes for Part {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let count = u64::try_from(buffer.len()).unwrap_or(u64::MAX);
        let is_inside = offset
            .checked_add(count)
            .is_some_and(|end| end <= self.size);
        if !is_inside {
            return Err(bad(format!("byte {offset} lies beyond the partition")));
        }
        self.disk.read(self.start.saturating_add(offset), buffer)
    }
}

/// Opens the file system of a partition.
pub fn open(disk: &Arc<Disk>, partition: &Partition) -> io::Result<Arc<Ext4>> {
    let part = Part {
        disk: Arc::clone(disk),
        start: partition.start,
        size: partition.size,
    };
    Ext4::open(Arc::new(part)).map(Arc::new)
}

/// File systems, each but the first mounted on a directory of one before it.
#[derive(Debug, Clone)]
pub struct Tree {
    volumes: Vec<Arc<Ext4>>,
    /// The root that is seen in place of a directory.
    mounts: BTreeMap<NodeId, NodeId>,
}

impl Tree {
    /// A tree of one file system.
    pub fn new(root: Arc<Ext4>) -> Self {
        Self {
            volumes: vec![root],
            mounts: BTreeMap::new(),
        }
    }

    /// Mounts a file system on the directory `at`, to which no link leads.
    pub fn mount(&mut self, volume: Arc<Ext4>, at: &ImagePath) -> io::Result<()> {
        let directory = source::find(self, at)?;
        if self.look(directory)?.kind() != FileType::Directory {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let inode = ext4::ROOT;
        let volume_number = u64::try_from(self.volumes.len()).unwrap_or(u64::MAX);
        self.volumes.push(volume);
        let root = NodeId {
            volume: volume_number,
            inode,
        };
        self.mounts.insert(directory, root);
        Ok(())
    }

    fn volume(&self, node: NodeId) -> io::Result<&Ext4> {
        let volume = usize::try_from(node.volume).ok();
        let volume = volume.and_then(|number| self.volumes.get(number));
        let volume = volume.ok_or_else(|| bad("no such file system"))?;
        Ok(volume)
    }
}

impl Source for Tree {
    fn root(&self) -> NodeId {
        NodeId {
            volume: 0,
            inode: ext4::ROOT,
        }
    }

    fn look(&self, node: NodeId) -> io::Result<Metadata> {
        self.volume(node)?.look(node.inode)
    }

    fn list(&self, directory: NodeId, room: usize) -> io::Result<Vec<(Box<[u8]>, NodeId)>> {
        let volume = directory.volume;
        let names = self.volume(directory)?.list(directory.inode, room)?;
        let names = names.into_iter().map(|(name, inode)| {
            let node = NodeId { volume, inode };
            (name, self.mounts.get(&node).copied().unwrap_or(node))
        });
        Ok(names.collect())
    }

    fn target(&self, link: NodeId) -> io::Result<Vec<u8>> {
        self.volume(link)?.target(link.inode)
    }

    fn xattrs(&self, node: NodeId) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.volume(node)?.xattrs(node.inode)
    }

    fn read_at(&self, file: NodeId, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.volume(file)?.read_at(file.inode, offset, into)
    }
}
