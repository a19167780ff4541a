//! `FS_IOC_MEASURE_VERITY`: the digest that the kernel enforces for a file.
//!
//! The only unsafe code of this crate: the kernel writes into a structure of ours whose size it is
//! told.
#![allow(unsafe_code, reason = "one ioctl that no crate in the tree offers")]

use std::{ffi::c_void, os::fd::AsFd};

use earmark_manifest::digest::VerityDigest;
use rustix::{
    io::{Errno, Result},
    ioctl::{self, Ioctl, IoctlOutput, Opcode},
};

/// `struct fsverity_digest` of `linux/fsverity.h`, with room for a SHA-256.
#[repr(C)]
#[derive(Clone, Copy)]
struct FsverityDigest {
    algorithm: u16,
    size: u16,
    digest: [u8; 32],
}

struct Measure(FsverityDigest);

/// `_IOWR('f', 134, struct fsverity_digest)`, whose flexible array counts as nothing: 4 bytes.
const MEASURE: Opcode = ioctl::opcode::read_write::<[u16; 2]>(b'f', 134);
/// `FS_VERITY_HASH_ALG_SHA256`.
const SHA256: u16 = 1;

// SAFETY: the opcode takes a pointer to `struct fsverity_digest`, of which the kernel reads `size`
// and then writes at most `size` bytes of digest; `size` is the room that there is.
unsafe impl Ioctl for Measure {
    type Output = FsverityDigest;

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        MEASURE
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut self.0).cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, pointer: *mut c_void) -> Result<FsverityDigest> {
        // SAFETY: the pointer is that of `as_ptr`, and every bit pattern is a value of the type.
        Ok(unsafe { pointer.cast::<FsverityDigest>().read() })
    }
}

/// File systems whose fs-verity the kernel itself enforces on each read, as `statfs` names them. Others,
/// such as FUSE and overlayfs, pass the question on to somebody who can answer anything.
const ENFORCING: [i64; 3] = [
    0xef53,      // ext4
    0x9123_683e, // btrfs
    0xf2f5_2010, // f2fs
];

/// The kernel's fs-verity digest of an open file; `None` if the file system is none that enforces it, or
/// if it has one of another algorithm, which cannot be compared.
pub(crate) fn measure(file: impl AsFd) -> Result<Option<VerityDigest>> {
    if !is_enforcing(rustix::fs::fstatfs(&file)?.f_type) {
        return Ok(None);
    }
    let request = Measure(FsverityDigest {
        algorithm: 0,
        // The kernel answers EOVERFLOW to a digest that needs more room than this.
        size: 32,
        digest: [0; 32],
    });
    // SAFETY: see the implementation of `Ioctl`.
    match unsafe { ioctl::ioctl(file, request) } {
        Ok(answer) if answer.algorithm == SHA256 && answer.size == 32 => {
            Ok(Some(VerityDigest::new(answer.digest)))
        }
        // Of another algorithm, or a SHA-512, whose 64 bytes do not fit: the file is read instead.
        Ok(_) | Err(Errno::OVERFLOW) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn is_enforcing(file_system: i64) -> bool {
    ENFORCING.contains(&file_system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fsverity_is_trusted_only_on_enforcing_file_systems() {
        // FUSE, overlayfs, tmpfs, NFS, 9p.
        for magic in [0x6573_5546, 0x794c_7630, 0x0102_1994, 0x6969, 0x0102_1997] {
            assert!(!is_enforcing(magic), "{magic:x}");
        }
        for magic in ENFORCING {
            assert!(is_enforcing(magic), "{magic:x}");
        }
    }
}
