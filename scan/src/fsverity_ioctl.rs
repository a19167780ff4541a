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

/// The kernel's fs-verity digest of an open file; `None` if it has one of another algorithm, which
/// cannot be compared.
pub(crate) fn measure(file: impl AsFd) -> Result<Option<VerityDigest>> {
    let request = Measure(FsverityDigest {
        algorithm: 0,
        size: 32,
        digest: [0; 32],
    });
    // SAFETY: see the implementation of `Ioctl`.
    match unsafe { ioctl::ioctl(file, request) } {
        Ok(answer) if answer.algorithm == SHA256 && answer.size == 32 => {
            Ok(Some(VerityDigest::new(answer.digest)))
        }
        Ok(_) | Err(Errno::OVERFLOW) => Ok(None),
        Err(errno) => Err(errno),
    }
}
