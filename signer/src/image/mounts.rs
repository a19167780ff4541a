//! File systems of a disk, mounted read-only.

use std::{
    ffi::OsStr,
    fs,
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use earmark_manifest::path::ImagePath;
use earmark_scan::Root;
use rustix::mount::UnmountFlags;

use super::{
    disk::Disk,
    select::Volume,
    superblock::{self, FileSystem, Kind},
};
use crate::{
    exit::{Exit, Exits, Failure, Next, Outcome},
    io::{
        beneath,
        run::{self, Program},
    },
};

const TIMEOUT: Duration = Duration::from_mins(1);

/// A mount that goes when this is dropped, and its loop device with it.
#[derive(Debug)]
pub struct Mounted(PathBuf);

impl Mounted {
    /// Mounts a volume on the directory `at`.
    pub fn new(disk: &Disk, volume: &Volume, options: &str, at: &Path) -> Outcome<Self> {
        mount(disk, volume, options, at)?;
        Ok(Self(at.to_owned()))
    }

    /// Mounts a volume on a directory of `root`, to which no link leads.
    pub fn beneath(
        disk: &Disk,
        volume: &Volume,
        options: &str,
        root: &Root,
        target: &ImagePath,
    ) -> Outcome<Self> {
        let looking = || format!("failed to open '{target}', to mount {volume} there");
        let directory = beneath::directory(root, target)
            .with_context(looking)
            .exits(Exit::Undecided)?;
        let (process, number) = (std::process::id(), directory.as_raw_fd());
        let at = PathBuf::from(format!("/proc/{process}/fd/{number}"));
        // The descriptor is of what the mount then hides: only its name leads to the mount.
        let path = fs::read_link(&at).with_context(looking)?;
        mount(disk, volume, options, &at)?;
        Ok(Self(path))
    }
}

fn mount(disk: &Disk, volume: &Volume, options: &str, at: &Path) -> Outcome<()> {
    let found = volume.file_system()?;
    refuse_writers(disk)?;
    superblock::screen(disk, &volume.partition, found)
        .with_context(|| format!("failed to read {volume}"))
        .exits(Exit::Undecided)?;
    let (source, options) = (disk.path(), mount_options(volume, found, options));
    // No helper of a file system, no file that says what is mounted, no other name of the source.
    let words = "--internal-only --no-mtab --no-canonicalize --types";
    let mut arguments: Vec<&OsStr> = words.split(' ').map(OsStr::new).collect();
    arguments.extend([found.kind.name(), "--options", &options].map(OsStr::new));
    arguments.extend([source.as_os_str(), at.as_os_str()]);
    run::need(Program::Mount, &arguments, 4096, TIMEOUT)
        .map_err(|failure| failure.context(format!("failed to mount {volume}")))
        .or_next(|| match found.kind {
            Kind::Xfs => format!("dmesg says why; where it is the log: {UNCLEAN}"),
            Kind::Ext4 | Kind::Vfat => "dmesg says why".to_owned(),
        })?;
    Ok(())
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // It would go with the process at the latest; there is nobody to tell otherwise.
        let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
        let _ = rustix::mount::unmount(&self.0, flags);
    }
}

/// The kernel mounts no ext4 and no XFS whose journal it would have to replay, where it cannot write. It is
/// not told to go without, as `noload` and `norecovery` would: what it refuses is what must be refused.
fn mount_options(volume: &Volume, found: &FileSystem, more: &str) -> String {
    let (start, size) = (volume.partition.start, volume.partition.size);
    let mut options = format!("ro,nosuid,nodev,noexec,loop,offset={start},sizelimit={size}");
    // Said here, so that no superblock has a say: one that asks for a panic would stop this host.
    options.push_str(match found.kind {
        Kind::Ext4 | Kind::Vfat => ",errors=remount-ro",
        // An image of a host is verified on that host, too.
        Kind::Xfs => ",nouuid",
    });
    if !more.is_empty() {
        options.push(',');
        options.push_str(more);
    }
    options
}

/// Next step for a file system that a mount would change.
pub const UNCLEAN: &str = "shut down the machine that the image is from, so that it unmounts its \
                           file systems, and make the image again";

/// A loop device of the same file that can be written is used again by `mount`, and would let the kernel
/// write; and what somebody writes meanwhile is not verified.
pub fn refuse_writers(disk: &Disk) -> Outcome<()> {
    let looking = "failed to look for loop devices of the image";
    let own = disk.file().metadata().context(looking)?;
    let devices = fs::read_dir("/sys/block")
        .context(looking)
        .exits(Exit::Undecided)?;
    for device in devices {
        let device = device.context(looking)?.path();
        let Ok(backing) = fs::read_to_string(device.join("loop/backing_file")) else {
            continue;
        };
        let is_own = fs::metadata(backing.trim_end_matches('\n'))
            .is_ok_and(|other| (other.dev(), other.ino()) == (own.dev(), own.ino()));
        let read_only = fs::read_to_string(device.join("ro")).is_ok_and(|ro| ro.trim() == "1");
        if is_own && !read_only {
            let name = device.file_name().unwrap_or_default().to_string_lossy();
            return Err(Failure::new(
                Exit::Undecided,
                format!("the image is attached as /dev/{name}, which can be written"),
            )
            .next(format!(
                "unmount it, and detach it: losetup --detach /dev/{name}"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{
        partitions::{Partition, Purpose},
        superblock::Content,
    };

    fn volume(kind: Kind) -> (Volume, FileSystem) {
        let found = FileSystem {
            kind,
            uuid: String::new(),
            label: String::new(),
            size: 1024,
        };
        let partition = Partition {
            number: 2,
            start: 512,
            size: 1024,
            purpose: Purpose::Root,
            uuid: String::new(),
            name: String::new(),
        };
        let content = Content::FileSystem(found.clone());
        (Volume { partition, content }, found)
    }

    #[test]
    fn image_mounts_are_read_only_nosuid_nodev_noexec() {
        for (kind, more, end) in [
            (
                Kind::Ext4,
                "",
                "offset=512,sizelimit=1024,errors=remount-ro",
            ),
            (Kind::Xfs, "", ",nouuid"),
            (Kind::Vfat, "umask=0077", ",umask=0077"),
        ] {
            let (volume, found) = volume(kind);
            let options = mount_options(&volume, &found, more);
            assert!(
                options.starts_with("ro,nosuid,nodev,noexec,loop,"),
                "{options}"
            );
            assert!(options.ends_with(end), "{options}");
        }
    }
}
