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
pub(crate) struct XattrReader {
    list: Vec<u8>,
    value: Vec<u8>,
}

impl XattrReader {
    pub(crate) fn new() -> Self {
        Self {
            list: vec![0; LIST],
            value: vec![0; limits::XATTR],
        }
    }

    /// Those of an open file or directory.
    pub(crate) fn of_descriptor(&mut self, descriptor: impl AsFd) -> Result<Vec<Xattr>> {
        let length = rustix::fs::flistxattr(&descriptor, &mut self.list[..]);
        let Self { list, value } = self;
        collect(list, length, |name| {
            let length = rustix::fs::fgetxattr(&descriptor, name.name(), &mut value[..])?;
            Ok(value.get(..length).unwrap_or_default().into())
        })
    }

    /// Those of the entry `name` of the thread's working directory, which is not opened: it may be a
    /// link, a pipe or a device.
    pub(crate) fn of_name(&mut self, name: &CStr) -> Result<Vec<Xattr>> {
        let length = rustix::fs::llistxattr(name, &mut self.list[..]);
        let Self { list, value } = self;
        collect(list, length, |xattr| {
            let length = rustix::fs::lgetxattr(name, xattr.name(), &mut value[..])?;
            Ok(value.get(..length).unwrap_or_default().into())
        })
    }
}

fn collect(
    list: &[u8],
    length: Result<usize>,
    mut get: impl FnMut(XattrName) -> Result<Box<[u8]>>,
) -> Result<Vec<Xattr>> {
    let length = match length {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        other => other?,
    };
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
    xattrs.sort_by_key(|xattr| xattr.name);
    Ok(xattrs)
}
