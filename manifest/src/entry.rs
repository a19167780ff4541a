//! [`Entry`]: one file-system object's record.

use crate::{
    class::PathClass,
    digest::{Sha256Digest, VerityDigest},
    path::ImagePath,
};

/// One object of the image, as it was when it was measured. Time stamps, inode numbers, and sizes
/// and link counts of directories are never recorded: they are not stable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path of the object, relative to the root.
    pub path: ImagePath,
    /// Class of the path. Never [`PathClass::Generated`] or [`PathClass::Seal`]: such paths have
    /// no entry.
    pub class: PathClass,
    /// Type of the object, and the data of that type.
    pub node: Node,
    /// Absent for [`PathClass::State`].
    pub owner: Option<Owner>,
    /// The recorded extended attributes, in the order of their names. Empty but for sealed and
    /// rendered entries.
    pub xattrs: Vec<Xattr>,
}

/// Mode and owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// Permission bits with set-id and sticky bits: `0o7777` at most.
    pub mode: u32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Type of an object, and the data of that type. `None` where the class leaves it free to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A regular file.
    Regular(Option<Content>),
    /// A directory.
    Directory,
    /// A symbolic link and the bytes of its target.
    Symlink(Option<Box<[u8]>>),
    /// A character device.
    CharDevice(Option<Device>),
    /// A block device.
    BlockDevice(Option<Device>),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// Content of a regular file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// In bytes.
    pub size: u64,
    /// Of the bytes.
    pub sha256: Sha256Digest,
    /// As the kernel would measure it.
    pub verity: VerityDigest,
    /// The group of names that share the inode, if there is more than one.
    pub links: Option<LinkGroup>,
}

/// A hard-link group: numbered from 1 in the order of its first path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkGroup(pub u32);

/// A device number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// The driver.
    pub major: u32,
    /// The device.
    pub minor: u32,
}

/// An extended attribute that decides what a file may do or who may use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xattr {
    /// Name of the attribute.
    pub name: XattrName,
    /// The value as the kernel returns it.
    pub value: Box<[u8]>,
}

/// The extended attributes that are recorded; others (`user.*`, `trusted.*`) are left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum XattrName {
    /// File capabilities: what the file may do when it runs.
    Capability,
    /// The `SELinux` label.
    Selinux,
    /// The POSIX ACL.
    AclAccess,
    /// The POSIX ACL that new entries of a directory inherit.
    AclDefault,
}

impl XattrName {
    /// All of them, in the order of their names.
    pub const ALL: [Self; 4] = [
        Self::Capability,
        Self::Selinux,
        Self::AclAccess,
        Self::AclDefault,
    ];

    /// As the kernel spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Capability => "security.capability",
            Self::Selinux => "security.selinux",
            Self::AclAccess => "system.posix_acl_access",
            Self::AclDefault => "system.posix_acl_default",
        }
    }

    /// The one of this name, if it is recorded.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|known| known.name().as_bytes() == name)
    }
}

impl Node {
    /// The letter of the tree, which is also that of `find -type`.
    pub const fn letter(&self) -> char {
        match self {
            Self::Regular(_) => 'f',
            Self::Directory => 'd',
            Self::Symlink(_) => 'l',
            Self::CharDevice(_) => 'c',
            Self::BlockDevice(_) => 'b',
            Self::Fifo => 'p',
            Self::Socket => 's',
        }
    }

    /// The words for people.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Regular(_) => "regular file",
            Self::Directory => "directory",
            Self::Symlink(_) => "symbolic link",
            Self::CharDevice(_) => "character device",
            Self::BlockDevice(_) => "block device",
            Self::Fifo => "named pipe",
            Self::Socket => "socket",
        }
    }
}
