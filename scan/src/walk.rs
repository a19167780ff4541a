//! Walks a root: every name that is not beneath a `state` directory, with its metadata; those beneath one as
//! well, for whoever asks what an image has in it rather than whether it is the one that was signed.
//!
//! The names come in the order of their paths, one after the other, so that whoever compares them with a signed
//! tree holds neither as a whole. Directories are read ahead of that: cold, a walk waits for the disk, so
//! that many are read at once; warm, it is bound by the processors, which sixteen threads keep as busy as two do.
//! The memory for names that were read and not yet come to is bounded, and so is everything else that a hostile
//! root could make grow (`docs/adr/0013-streaming-comparison.md`).

mod ahead;
mod collect;
mod flood;
mod list;
mod order;

pub(crate) use collect::{Walked, collect};
pub(crate) use order::walk;

use earmark_manifest::{
    class::{PathClass, RuleSet},
    entry::{Device, Node, Owner, Xattr},
    path::ImagePath,
};
use rustix::fs::{FileType, Statx, StatxAttributes};

use crate::{
    Doubt,
    source::{Metadata, NodeId},
};

/// One name that a walk met.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) path: ImagePath,
    pub(crate) class: PathClass,
    pub(crate) stat: Stat,
    /// Symlinks only.
    pub(crate) target: Option<Box<[u8]>>,
    /// Read by the walk for all but files whose content will be read, whose descriptor has them.
    pub(crate) xattrs: Option<Box<[Xattr]>>,
}

/// Attributes that are compared, and those that tell that an object was swapped or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) links: u32,
    pub(crate) size: u64,
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) rdev: (u32, u32),
    /// `st_ctime` in nanoseconds, which no program can set.
    changed: i64,
    /// The kernel enforces fs-verity for it.
    pub(crate) verity: bool,
    /// Most of it takes no room on the disk: holes, which need not be read.
    pub(crate) sparse: bool,
    /// Something is mounted here that the walk was not told of.
    pub(crate) mount: bool,
}

/// Decision of a visitor on a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Go on, and beneath it, should it be a directory.
    Enter,
    /// Go on, and not beneath it.
    Pass,
    /// The walk is over.
    Stop,
}

/// Receiver of all that a walk meets.
pub(crate) trait Visitor {
    /// A name, in the order of the paths. `is_beneath_state`: no tree has it.
    fn see(&mut self, seen: Seen, is_beneath_state: bool) -> Step;

    /// Receives a path that could not be looked at, before anything beneath it.
    fn doubt(&mut self, doubt: Doubt);

    /// A name that was not signed, out of order, in a directory that holds more of them than can be kept. What
    /// is beneath it is not walked.
    fn see_unsigned(&mut self, seen: Seen);

    /// Receives the reason why such a name could not be looked at.
    fn doubt_unsigned(&mut self, doubt: Doubt);

    /// Returns whether it still wants to see those. If not, it is told of them by [`Visitor::count_unsigned`].
    fn wants_unsigned(&self) -> bool;

    /// A sealed name that was not signed, in such a directory, and was not looked at.
    fn count_unsigned(&mut self, path: &ImagePath, kind: FileType);
}

/// Extent of a walk.
pub(crate) struct Scope<'a> {
    pub(crate) rules: &'a RuleSet,
    /// Directories with a file system of their own that belongs to the image.
    pub(crate) mounts: &'a [ImagePath],
    /// True if `state` directories are entered, which no tree has anything of.
    pub(crate) state: bool,
    /// Predicate: the content of a regular file of this path and class will be read.
    pub(crate) reads: &'a (dyn Fn(&ImagePath, PathClass) -> bool + Sync),
    /// Predicate: a path was signed. For a root that may be hostile: directories of more names than can be kept
    /// are then searched for those that were signed. Absent for a root that is measured: all names are kept.
    pub(crate) signed: Option<&'a (dyn Fn(&ImagePath) -> bool + Sync)>,
}

/// Bytes of a file from which on it pays to look for holes.
const SPARSE: u64 = 8 << 20;

impl Stat {
    pub(crate) fn of(stat: &Statx) -> Self {
        Self {
            mode: stat.stx_mode,
            uid: stat.stx_uid,
            gid: stat.stx_gid,
            links: stat.stx_nlink,
            size: stat.stx_size,
            device: u64::from(stat.stx_dev_major) << 32 | u64::from(stat.stx_dev_minor),
            inode: stat.stx_ino,
            rdev: (stat.stx_rdev_major, stat.stx_rdev_minor),
            // ext4 stores years up to 2446, for which 64 bits of nanoseconds are too few: it wraps, being compared for
            // equality alone. An overflow would abort the program (docs/adr/0004-release-profile.md).
            changed: stat
                .stx_ctime
                .tv_sec
                .wrapping_mul(1_000_000_000)
                .wrapping_add(stat.stx_ctime.tv_nsec.into()),
            verity: stat.stx_attributes.contains(StatxAttributes::VERITY),
            sparse: stat.stx_size >= SPARSE
                && stat.stx_blocks.saturating_mul(512) <= stat.stx_size / 2,
            // A bind mount of the same file system has the device number of its place: this bit alone shows it.
            mount: stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
        }
    }

    /// Returns whether nothing about the object changed between two looks at it. A descriptor tells nothing
    /// reliable of mounts, so that these are left out.
    pub(crate) fn is_unchanged(&self, now: &Self) -> bool {
        // `changed` is ctime, which reading a file does not move: hashing it does not make it look changed.
        *self
            == Self {
                mount: self.mount,
                // Blocks are given to what was written a while ago, too.
                sparse: self.sparse,
                ..*now
            }
    }

    /// Of a node that this program reads itself. The kernel enforces nothing for it, and nothing is mounted.
    pub(crate) fn of_node(node: NodeId, metadata: &Metadata) -> Self {
        Self {
            mode: metadata.mode,
            uid: metadata.uid,
            gid: metadata.gid,
            links: metadata.links,
            size: metadata.size,
            device: node.volume,
            inode: node.inode,
            rdev: metadata.rdev,
            changed: 0,
            verity: false,
            sparse: false,
            mount: false,
        }
    }

    pub(crate) fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.mode.into())
    }

    pub(crate) fn owner(&self) -> Owner {
        Owner {
            mode: u32::from(self.mode) & 0o7777,
            uid: self.uid,
            gid: self.gid,
        }
    }

    pub(crate) fn rdev(&self) -> Device {
        Device {
            major: self.rdev.0,
            minor: self.rdev.1,
        }
    }
}

impl Seen {
    /// Returns the type of the object, without the data of that type.
    pub(crate) fn bare_node(&self) -> Option<Node> {
        node_of(self.stat.file_type())
    }
}

/// The kind of object that a type is, without what the kind has.
pub(crate) fn node_of(file_type: FileType) -> Option<Node> {
    Some(match file_type {
        FileType::RegularFile => Node::Regular(None),
        FileType::Directory => Node::Directory,
        FileType::Symlink => Node::Symlink(None),
        FileType::CharacterDevice => Node::CharDevice(None),
        FileType::BlockDevice => Node::BlockDevice(None),
        FileType::Fifo => Node::Fifo,
        FileType::Socket => Node::Socket,
        // The inode of a hostile disk can have type bits that no kernel hands out.
        FileType::Unknown => return None,
    })
}

/// Returns whether `path` lies in a file system that the walk was told to cross into.
pub(crate) fn crosses(mounts: &[ImagePath], path: &ImagePath) -> bool {
    mounts.iter().any(|mount| path.is_beneath(mount))
}

/// A directory that is to be read.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    pub(crate) path: ImagePath,
    /// It is of the class `state`, or beneath one that is.
    pub(crate) is_state: bool,
}

impl Directory {
    /// Returns the place of its content among paths and other directories: `a.b` lies between `a` and `a/b`.
    fn key(&self) -> Vec<u8> {
        let mut key = self.path.as_bytes().to_vec();
        if !self.path.is_root() {
            key.push(b'/');
        }
        key
    }
}

/// Returns whether `path`, which is neither `directory` nor before it, comes after all beneath `directory`.
pub(crate) fn is_past(path: &ImagePath, directory: &ImagePath) -> bool {
    let rest = path.as_bytes().strip_prefix(directory.as_bytes());
    match rest.and_then(<[u8]>::first) {
        // The root's path is a prefix of all others: by the next arm its content would end at its first name.
        _ if directory.is_root() => false,
        // `a.b` and `a-b` lie before what is beneath `a`; `a0` lies behind it.
        Some(byte) => *byte > b'/',
        None => path > directory,
    }
}

impl Scope<'_> {
    /// Returns the directory that is to be read for the names beneath `seen`, if there is one.
    pub(crate) fn directory(&self, seen: &Seen, is_beneath_state: bool) -> Option<Directory> {
        let is_state = is_beneath_state || seen.class == PathClass::State;
        // What is mounted over a sealed directory is a violation, not a part of the image.
        let is_entered = seen.stat.file_type() == FileType::Directory
            && !seen.stat.mount
            && (self.state || !is_state);
        is_entered.then(|| Directory {
            path: seen.path.clone(),
            is_state,
        })
    }
}
