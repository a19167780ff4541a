//! Extended attributes: in the inode, and in a block that inodes may share.

use std::io;

use earmark_scan::disk::bytes::{Fields, bad, crc32c};

use super::{Ext4, inode::Inode};

const MAGIC: u32 = 0xea02_0000;
const BLOCK_HEADER: usize = 32;
const ENTRY: usize = 16;
/// Bytes of a name's index and of what stands for it.
const ACL_ACCESS: u8 = 2;
const ACL_DEFAULT: u8 = 3;

/// The attributes of an inode, by their full names, as `getxattr` returns them.
pub(super) fn read(fs: &Ext4, inode: &Inode) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let wrong = |problem: &str| bad(format!("attributes of inode {}: {problem}", inode.number));
    let mut found = Vec::new();
    let body = inode.xattr_body()?;
    if Fields(body).u32(0) == MAGIC {
        let body = body.get(4..).unwrap_or_default();
        entries(body, 0, false, &mut found).map_err(wrong)?;
    }
    let number = inode.xattr_block();
    if number != 0 {
        let block = fs.block(number, &format!("attributes of inode {}", inode.number))?;
        if Fields(&block).u32(0) != MAGIC || Fields(&block).u32(8) != 1 {
            return Err(wrong("their block has no header"));
        }
        check(fs, number, &block).map_err(wrong)?;
        entries(&block, BLOCK_HEADER, true, &mut found).map_err(wrong)?;
    }
    Ok(found)
}

fn check(fs: &Ext4, number: u64, block: &[u8]) -> Result<(), &'static str> {
    if !fs.superblock.has_checksums {
        return Ok(());
    }
    let crc = crc32c(fs.superblock.seed, &number.to_le_bytes());
    let crc = crc32c(crc, block.get(..16).unwrap_or_default());
    let crc = crc32c(crc, &[0; 4]);
    let crc = crc32c(crc, block.get(20..).unwrap_or_default());
    if crc == Fields(block).u32(16) {
        Ok(())
    } else {
        Err("the checksum of their block does not match")
    }
}

/// Reads the entries from `at` on; values are counted from the beginning of `bytes`. In a block the kernel
/// stops where the order says that a name cannot follow.
fn entries(
    bytes: &[u8],
    mut at: usize,
    is_sorted: bool,
    into: &mut Vec<(Vec<u8>, Vec<u8>)>,
) -> Result<(), &'static str> {
    let mut previous: Option<(u8, usize, &[u8])> = None;
    loop {
        let entry = Fields(bytes.get(at..).unwrap_or_default());
        if entry.0.len() < 4 {
            return Err("they have no end marker");
        }
        if entry.u32(0) == 0 {
            return Ok(());
        }
        let (length, index) = (usize::from(entry.u8(0)), entry.u8(1));
        let name = entry.bytes(ENTRY, length);
        if entry.0.len() < ENTRY || name.len() != length {
            return Err("a name goes beyond their end");
        }
        let key = (index, length, name);
        if is_sorted && previous.is_some_and(|previous| previous >= key) {
            return Err("they are out of order");
        }
        previous = Some(key);
        if entry.u32(4) != 0 {
            return Err("a value lies in an inode of its own");
        }
        let size = usize::try_from(entry.u32(8)).unwrap_or(usize::MAX);
        let value = Fields(bytes).bytes(entry.u16(2).into(), size);
        if value.len() != size {
            return Err("a value goes beyond their end");
        }
        let prefix: &[u8] = match index {
            1 => b"user.",
            ACL_ACCESS if name.is_empty() => b"system.posix_acl_access",
            ACL_DEFAULT if name.is_empty() => b"system.posix_acl_default",
            4 => b"trusted.",
            6 => b"security.",
            _ => return Err("one is of an unknown kind"),
        };
        let name = [prefix, name].concat();
        let value = match index {
            ACL_ACCESS | ACL_DEFAULT => acl(value).ok_or("an ACL is invalid")?,
            _ if name == b"security.capability" => capability(value),
            _ => value.to_vec(),
        };
        into.push((name, value));
        at = at.saturating_add(ENTRY + length.next_multiple_of(4));
    }
}

/// An ACL as the kernel returns it: version 2, and an id in each entry.
fn acl(disk: &[u8]) -> Option<Vec<u8>> {
    const NOBODY: u32 = u32::MAX;
    if disk.is_empty() {
        return Some(Vec::new());
    }
    if Fields(disk).u32(0) != 1 || disk.len() < 4 {
        return None;
    }
    let mut kernel = 2_u32.to_le_bytes().to_vec();
    let mut rest = disk.get(4..)?;
    while !rest.is_empty() {
        let entry = Fields(rest);
        let (id, length) = match entry.u16(0) {
            1 | 4 | 0x10 | 0x20 => (NOBODY, 4),
            2 | 8 => (entry.u32(4), 8),
            _ => return None,
        };
        kernel.extend_from_slice(rest.get(..4)?);
        kernel.extend_from_slice(&id.to_le_bytes());
        rest = rest.get(length..)?;
    }
    Some(kernel)
}

/// A capability of the initial user namespace's root is shown in the older form, without that id.
fn capability(disk: &[u8]) -> Vec<u8> {
    const REVISION: u32 = 0xff00_0000;
    let fields = Fields(disk);
    let magic = fields.u32(0);
    if disk.len() == 24 && magic & REVISION == 0x0300_0000 && fields.u32(20) == 0 {
        let magic = magic & !REVISION | 0x0200_0000;
        return [&magic.to_le_bytes(), fields.bytes(4, 16)].concat();
    }
    disk.to_vec()
}
