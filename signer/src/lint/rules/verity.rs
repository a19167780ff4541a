//! Rule about `[boot] verity`: an image that promises what its file system or its kernel cannot do.

use earmark_manifest::declaration::Declaration;
use earmark_scan::fsverity_ioctl;
use rustix::fs::{AtFlags, StatxAttributes, StatxFlags};

use super::{Image, Sink, path};
use crate::{io::output::plain, lint::finding::Draft, verity};

/// File systems of which the agent believes the kernel's digests, and `auto`, which says nothing.
const ABLE: [&str; 4] = ["ext4", "btrfs", "f2fs", "auto"];

/// A root on a file system without fs-verity, or a kernel without it.
pub fn unsupported(image: &Image<'_>, sink: &mut Sink) {
    let is_declared = |(declared, _): (&Declaration, _)| declared.boot.verity;
    if !image.declared.is_some_and(is_declared) {
        return;
    }
    if is_of_the_image(image)
        && let Ok(None) = fsverity_ioctl::file_system(image.root.as_fd())
    {
        let found = "is on a file system without fs-verity: expected ext4 or btrfs";
        sink.push(Draft::new(&path("/"), found));
    }
    let fstab = image.text("etc/fstab").unwrap_or_default();
    for line in fstab.lines() {
        let mut words = line.split_whitespace().skip(1);
        let (Some("/"), Some(kind)) = (words.next(), words.next()) else {
            continue;
        };
        if !line.trim_start().starts_with('#') && !kind.split(',').any(|kind| ABLE.contains(&kind))
        {
            let found = format!(
                "mounts / as {}, which has no fs-verity: expected ext4 or btrfs",
                plain(kind)
            );
            sink.push(Draft::new(&path("/etc/fstab"), found));
        }
    }
    match verity::kernels::without_fsverity(image.root) {
        Ok(kernels) => {
            for kernel in kernels {
                let found = "is of a kernel without CONFIG_FS_VERITY=y: it mounts a root with the feature read-only";
                sink.push(Draft::new(&kernel, found));
            }
        }
        Err(failure) => image.doubt(failure.to_string()),
    }
}

/// The root's file system is the one that hosts will have: of a running host, or mounted. One that is put together in a
/// directory gets another one later.
fn is_of_the_image(image: &Image<'_>) -> bool {
    let about = rustix::fs::statx(
        image.root.as_fd(),
        c"",
        AtFlags::EMPTY_PATH,
        StatxFlags::empty(),
    );
    let is_mounted =
        about.is_ok_and(|about| about.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
    image.live || is_mounted
}
