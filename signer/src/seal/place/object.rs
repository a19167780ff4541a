//! Single objects: written and synced, or removed, beneath a directory's descriptor.

use std::{
    io::{self, Write},
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{self, AtFlags, Gid, Mode, OFlags, Stat, Uid, XattrFlags},
    io::Errno,
};

use super::Ownership;
use crate::io::beneath;

/// Mode, owner and extended attributes.
#[derive(Debug, Clone)]
pub(super) struct Metadata {
    mode: u32,
    owner: Ownership,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Metadata {
    pub(super) fn new(mode: u32, owner: Ownership) -> Self {
        Self {
            mode,
            owner,
            xattrs: Vec::new(),
        }
    }

    /// That of the regular file `name`: what replaces it must not lose its label or ACL.
    pub(super) fn of(directory: &OwnedFd, name: &str) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = fs::openat(directory, name, flags, Mode::empty())?;
        let stat = fs::fstat(&file)?;
        let mut xattrs = Vec::new();
        for name in xattr_names(&file)? {
            let mut value = vec![0; 64 * 1024];
            let length = fs::fgetxattr(&file, name.as_slice(), &mut value)?;
            value.truncate(length);
            xattrs.push((name, value));
        }
        Ok(Self {
            mode: stat.st_mode & 0o7777,
            owner: Ownership {
                uid: stat.st_uid,
                gid: stat.st_gid,
            },
            xattrs,
        })
    }

    /// Returns whether an object has this mode and owner already.
    pub(super) fn is_that_of(&self, stat: &Stat) -> bool {
        stat.st_mode & 0o7777 == self.mode
            && stat.st_uid == self.owner.uid
            && stat.st_gid == self.owner.gid
    }

    pub(super) fn apply(&self, object: &OwnedFd) -> io::Result<()> {
        chown(object, self.owner)?;
        for (name, value) in &self.xattrs {
            fs::fsetxattr(object, name.as_slice(), value, XattrFlags::empty())?;
        }
        // Last: changing the owner clears set-id bits, and an ACL is a part of the mode.
        fs::fchmod(object, Mode::from_raw_mode(self.mode))?;
        Ok(())
    }
}

pub(super) fn chown(object: impl AsFd, owner: Ownership) -> io::Result<()> {
    let stat = fs::fstat(&object)?;
    if stat.st_uid == owner.uid && stat.st_gid == owner.gid {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    Ok(fs::fchown(object, Some(uid), Some(gid))?)
}

pub(super) fn write_file(
    directory: &OwnedFd,
    name: &str,
    bytes: &[u8],
    metadata: &Metadata,
) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = fs::openat(directory, name, flags, Mode::from_raw_mode(0o600))?;
    let mut file = std::fs::File::from(file);
    file.write_all(bytes)?;
    let file = OwnedFd::from(file);
    metadata.apply(&file)?;
    Ok(fs::fsync(&file)?)
}

pub(super) fn open_directory(parent: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(fs::openat(parent, name, flags, Mode::empty())?)
}

/// Removes a file, or a directory of files, and says whether there was one. It is not recursive: a seal
/// has no directory in it, and what has one is not Earmark's to remove.
pub(super) fn remove(directory: &OwnedFd, name: &str) -> io::Result<bool> {
    match fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) => return Ok(true),
        Err(Errno::NOENT) => return Ok(false),
        Err(Errno::ISDIR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let inner = open_directory(directory, name)?;
    for entry in beneath::names(&inner)? {
        fs::unlinkat(&inner, entry.as_c_str(), AtFlags::empty())?;
    }
    fs::unlinkat(directory, name, AtFlags::REMOVEDIR)?;
    Ok(true)
}

fn xattr_names(file: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let mut list = vec![0; 64 * 1024];
    let length = match fs::flistxattr(file, &mut list) {
        Err(Errno::OPNOTSUPP) => 0,
        length => length?,
    };
    list.truncate(length);
    Ok(list
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(<[u8]>::to_vec)
        .collect())
}
