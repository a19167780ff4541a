//! The recorded extended attributes of an object, through its descriptor or its name.

use std::{ffi::CStr, os::fd::AsFd};

use earmark_manifest::{
    entry::{Xattr, XattrName},
    limits,
};
use rustix::io::{Errno, Result};

/// Bytes in all names of one object's attributes: the kernel's own bound (`XATTR_LIST_MAX`).
const LIST: usize = 64 * 1024;

/// Buffers that one thread reads attributes with.
///
/// The kernel allocates a buffer as large as the one that it is given, for each call. Most objects
/// have no attributes, so that the length is asked for first, which allocates nothing.
pub(crate) struct XattrReader {
    list: Vec<u8>,
    value: Vec<u8>,
}

impl XattrReader {
    pub(crate) fn new() -> Self {
        Self {
            list: vec![0; LIST],
            // A longer value is ERANGE, and so a doubt: it is never cut.
            value: vec![0; limits::XATTR],
        }
    }

    /// Those of an open file or directory.
    pub(crate) fn of_descriptor(&mut self, descriptor: impl AsFd) -> Result<Box<[Xattr]>> {
        if is_empty(rustix::fs::flistxattr_query(&descriptor))? {
            return Ok(Box::default());
        }
        let length = rustix::fs::flistxattr(&descriptor, &mut self.list[..])?;
        let Self { list, value } = self;
        collect(list, length, |name| {
            let length = rustix::fs::fgetxattr(&descriptor, name.name(), &mut value[..])?;
            Ok(value.get(..length).unwrap_or_default().into())
        })
    }

    /// Those of the entry `name` of the thread's working directory, which is not opened: it may be a
    /// link, a pipe or a device.
    pub(crate) fn of_name(&mut self, name: &CStr) -> Result<Box<[Xattr]>> {
        if is_empty(rustix::fs::llistxattr_query(name))? {
            return Ok(Box::default());
        }
        let length = rustix::fs::llistxattr(name, &mut self.list[..])?;
        let Self { list, value } = self;
        collect(list, length, |xattr| {
            let length = rustix::fs::lgetxattr(name, xattr.name(), &mut value[..])?;
            Ok(value.get(..length).unwrap_or_default().into())
        })
    }
}

fn is_empty(length: Result<usize>) -> Result<bool> {
    match length {
        // A file system without attributes has none.
        Err(Errno::OPNOTSUPP) => Ok(true),
        length => Ok(length? == 0),
    }
}

fn collect(
    list: &[u8],
    length: usize,
    mut get: impl FnMut(XattrName) -> Result<Box<[u8]>>,
) -> Result<Box<[Xattr]>> {
    let mut xattrs = Vec::new();
    for name in list
        .get(..length)
        .unwrap_or_default()
        .split(|byte| *byte == 0)
    {
        let Some(name) = XattrName::from_name(name) else {
            continue;
        };
        match get(name) {
            // The kernel reports an empty value as set, and means nothing by it.
            Ok(value) if value.is_empty() => {}
            Ok(value) => xattrs.push(Xattr { name, value }),
            // Listed, and gone or not readable as that: ext4 lists ACLs that a mount turned off.
            Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno),
        }
    }
    // The file system lists them in any order; lists are compared as a whole.
    xattrs.sort_by_key(|xattr| xattr.name);
    Ok(xattrs.into())
}
