//! `FS_IOC_MEASURE_VERITY` and `FS_IOC_ENABLE_VERITY`: the digest that the kernel enforces for a file, and how it
//! comes to enforce one.
//!
//! The only unsafe code of this crate: the kernel writes into a structure of ours whose size it is
//! told, and reads another.
#![allow(unsafe_code, reason = "two ioctls that no crate in the tree offers")]

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

impl Measure {
    fn new() -> Self {
        Self(FsverityDigest {
            algorithm: 0,
            // The kernel answers EOVERFLOW to a digest that needs more room than this.
            size: 32,
            digest: [0; 32],
        })
    }
}

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

/// `struct fsverity_enable_arg` of `linux/fsverity.h`: 128 bytes, without a salt or a signature.
#[repr(C)]
struct FsverityEnable {
    version: u32,
    algorithm: u32,
    block_size: u32,
    salt_size: u32,
    salt: u64,
    signature_size: u32,
    reserved: u32,
    signature: u64,
    more_reserved: [u64; 11],
}

struct Enable(FsverityEnable);

/// `_IOW('f', 133, struct fsverity_enable_arg)`.
const ENABLE: Opcode = ioctl::opcode::write::<FsverityEnable>(b'f', 133);

// SAFETY: the opcode takes a pointer to `struct fsverity_enable_arg`, which the kernel reads; it follows the pointers
// in it only where their sizes are not 0.
unsafe impl Ioctl for Enable {
    type Output = ();

    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        ENABLE
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut self.0).cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> Result<()> {
        Ok(())
    }
}

/// File systems whose fs-verity the kernel itself enforces on each read, as `statfs` names them. Others,
/// such as FUSE and overlayfs, pass the question on to somebody who can answer anything.
const ENFORCING: [i64; 3] = [EXT4, BTRFS, F2FS];
const EXT4: i64 = 0xef53;
const BTRFS: i64 = 0x9123_683e;
const F2FS: i64 = 0xf2f5_2010;

/// Answer of a file system about fs-verity, before anything is enabled on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// It can be enabled.
    Ready,
    /// ext4 or f2fs without the feature `verity`, or a kernel without fs-verity.
    Off,
    /// A file system that has no fs-verity, or whose answer the agent would not believe.
    Never,
}

/// What the file system of an open file can do. Changes nothing.
///
/// # Errors
///
/// That of the kernel.
pub fn support(file: impl AsFd) -> Result<Support> {
    if !is_enforcing(rustix::fs::fstatfs(&file)?.f_type) {
        return Ok(Support::Never);
    }
    // SAFETY: see the implementation of `Ioctl`.
    match unsafe { ioctl::ioctl(file, Measure::new()) } {
        // The feature is on where the question is about the file: it has a digest, or none.
        Ok(_) | Err(Errno::OVERFLOW | Errno::NODATA) => Ok(Support::Ready),
        Err(Errno::OPNOTSUPP) => Ok(Support::Off),
        // btrfs before Linux 5.15.
        Err(Errno::NOTTY) => Ok(Support::Never),
        Err(errno) => Err(errno),
    }
}

/// Name of the file system of an open file, as `/proc/filesystems` has it, if it is one that the kernel enforces
/// fs-verity on.
///
/// # Errors
///
/// That of the kernel.
pub fn file_system(file: impl AsFd) -> Result<Option<&'static str>> {
    Ok(match rustix::fs::fstatfs(file)?.f_type {
        EXT4 => Some("ext4"),
        BTRFS => Some("btrfs"),
        F2FS => Some("f2fs"),
        _ => None,
    })
}

/// Has the kernel enforce the content that the file has: from here on it can be read, renamed and deleted, and no
/// longer written. Reads all of it. A kernel that is stopped in the middle of it leaves the file as it was.
///
/// # Errors
///
/// That of the kernel: `EEXIST` if the file has fs-verity, `ETXTBSY` if somebody has it open for writing, and what
/// `fsverity.rst` lists.
pub fn enable(file: impl AsFd) -> Result<()> {
    let request = Enable(FsverityEnable {
        version: 1,
        algorithm: SHA256.into(),
        // With this size and without a salt, the digest is the one that a tree has.
        block_size: 4096,
        salt_size: 0,
        salt: 0,
        signature_size: 0,
        reserved: 0,
        signature: 0,
        more_reserved: [0; 11],
    });
    // SAFETY: see the implementation of `Ioctl`.
    unsafe { ioctl::ioctl(file, request) }
}

/// The kernel's fs-verity digest of an open file; `None` if the file system is none that enforces it, or
/// if it has one of another algorithm, which cannot be compared.
///
/// # Errors
///
/// That of the kernel: `ENODATA` if the file has no fs-verity.
pub fn measure(file: impl AsFd) -> Result<Option<VerityDigest>> {
    if !is_enforcing(rustix::fs::fstatfs(&file)?.f_type) {
        return Ok(None);
    }
    // SAFETY: see the implementation of `Ioctl`.
    match unsafe { ioctl::ioctl(file, Measure::new()) } {
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

    /// `linux/fsverity.h` and `asm-generic/ioctl.h`: direction, size, type and number.
    #[test]
    fn fsverity_requests_have_the_numbers_and_sizes_of_the_kernel() {
        assert_eq!(size_of::<FsverityEnable>(), 128);
        assert_eq!(u64::from(ENABLE), 0x4080_6685);
        assert_eq!(u64::from(MEASURE), 0xc004_6686);
    }

    #[test]
    fn fsverity_is_never_supported_on_tmpfs_and_pseudo_file_systems() {
        for path in ["/dev/null", "/proc/self/status"] {
            let file = std::fs::File::open(path).unwrap();
            assert_eq!(support(&file).unwrap(), Support::Never, "{path}");
            assert_eq!(file_system(&file).unwrap(), None, "{path}");
            assert!(enable(&file).is_err(), "{path}");
        }
    }

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
