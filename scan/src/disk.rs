//! Disks, read without the kernel's help: partition tables, contents by their first bytes, and the fstab that names them.
//!
//! For the signer, which opens images, and for the initrd, which has no udev to tell it the names of disks.

pub mod bytes;
pub mod fstab;
pub mod superblock;
pub mod table;
