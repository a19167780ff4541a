//! File systems of a root, and what each can do.

use std::{
    fs::File,
    os::{fd::OwnedFd, unix::fs::MetadataExt},
};

use anyhow::Context;
use earmark_manifest::path::ImagePath;
use earmark_scan::{
    Root,
    fsverity_ioctl::{self, Support},
};
use rustix::fs::StatVfsMountFlags;

use crate::{
    exit::{Exit, Exits, Failure, Outcome},
    io::beneath,
    verity::{feature, kernels},
};

/// The file systems that belong to the image: that of its root, and those of the declared mounts.
#[derive(Debug)]
pub(super) struct Volumes(Vec<Volume>);

#[derive(Debug)]
struct Volume {
    /// Directory that it is mounted on.
    path: ImagePath,
    directory: OwnedFd,
    support: Support,
    is_needed: bool,
}

/// Block size of fs-verity, and of file systems on which kernels before 6.3 mount with the feature.
const BLOCK: u64 = 4096;

impl Volumes {
    pub(super) fn of(root: &Root, mounts: &[ImagePath]) -> Outcome<Self> {
        let top = ImagePath::root();
        let paths = [&top].into_iter().chain(mounts);
        let volumes = paths.map(|path| {
            let look = || -> std::io::Result<Volume> {
                let directory = beneath::directory(root, path)?;
                let support = fsverity_ioctl::support(&directory)?;
                Ok(Volume {
                    path: path.clone(),
                    directory,
                    support,
                    is_needed: false,
                })
            };
            look()
                .with_context(|| format!("failed to look at the file system of '{path}'"))
                .exits(Exit::Undecided)
        });
        Ok(Self(volumes.collect::<Outcome<_>>()?))
    }

    /// Takes it that a file is to be enforced. Returns whether its volume is one for that.
    pub(super) fn need(&mut self, path: &ImagePath) -> bool {
        let holders = self.0.iter_mut();
        let volume = holders
            .filter(|volume| path.is_beneath(&volume.path))
            .max_by_key(|volume| volume.path.as_bytes().len());
        let Some(volume) = volume else {
            return false;
        };
        // Without that of the root there is no point in it: that one is refused, and not passed over.
        if volume.support == Support::Never && !volume.path.is_root() {
            return false;
        }
        volume.is_needed = true;
        true
    }

    /// Refuses a root whose files could not be enforced, or that would not boot afterwards.
    pub(super) fn refuse_unable(&self, root: &Root) -> Outcome<()> {
        feature::refuse_signatures()?;
        if let Some(kernel) = kernels::without_fsverity(root)?.first() {
            return Err(Failure::new(
                Exit::Usage,
                format!(
                    "refused: the image's kernel of '{kernel}' has no CONFIG_FS_VERITY=y: it would mount a root with \
                     the feature 'verity' read-only"
                ),
            )
            .next("bake a kernel that has it, remove that one, or install without --verity"));
        }
        for volume in self.needed() {
            volume.refuse_unable()?;
        }
        Ok(())
    }

    /// Turns the feature on where it is not. Returns the devices.
    pub(super) fn turn_on(&self) -> Outcome<Vec<String>> {
        let mut devices = Vec::new();
        for volume in self.needed() {
            // Asked again: two declared mounts may be of one file system.
            if volume.ask()? == Support::Ready {
                continue;
            }
            let device = volume.device()?;
            feature::turn_on(&device)?;
            if volume.ask()? != Support::Ready {
                return Err(Failure::new(
                    Exit::Undecided,
                    format!(
                        "the feature 'verity' was written to '{device}', and the kernel does not see it on '{}'",
                        volume.path
                    ),
                )
                .next("reboot this guest, or mount that file system again; then run this again"));
            }
            devices.push(device);
        }
        Ok(devices)
    }

    /// Writes what the kernel holds of them to the disk.
    pub(super) fn sync(&self) -> Outcome<()> {
        for volume in self.needed() {
            rustix::fs::syncfs(&volume.directory)
                .with_context(|| format!("failed to write '{}' to its disk", volume.path))
                .exits(Exit::Undecided)?;
        }
        Ok(())
    }

    fn needed(&self) -> impl Iterator<Item = &Volume> {
        self.0.iter().filter(|volume| volume.is_needed)
    }
}

impl Volume {
    fn ask(&self) -> Outcome<Support> {
        fsverity_ioctl::support(&self.directory)
            .with_context(|| {
                format!(
                    "failed to ask the file system of '{}' for fs-verity",
                    self.path
                )
            })
            .exits(Exit::Undecided)
    }

    fn device(&self) -> Outcome<String> {
        let looking = || format!("failed to find the device of '{}'", self.path);
        let look = || File::from(self.directory.try_clone()?).metadata();
        let number = look().with_context(looking).exits(Exit::Undecided)?.dev();
        feature::device(number).map_err(|failure| failure.context(looking()))
    }

    fn refuse_unable(&self) -> Outcome<()> {
        let path = &self.path;
        let refuse = |why: String, next: &str| {
            Err(Failure::new(Exit::Usage, format!("refused: '{path}' {why}")).next(next))
        };
        let about = rustix::fs::fstatvfs(&self.directory)
            .with_context(|| format!("failed to look at the file system of '{path}'"))
            .exits(Exit::Undecided)?;
        let name = fsverity_ioctl::file_system(&self.directory)
            .context("failed to look at a file system")
            .exits(Exit::Undecided)?;
        let Some(name) = name else {
            return refuse(
                format!(
                    "is {}, which has no fs-verity that the agent believes: expected ext4 or btrfs",
                    feature::name_of(&self.directory)
                ),
                "make that file system ext4, or install without --verity: every file is read then",
            );
        };
        if about.f_flag.contains(StatVfsMountFlags::RDONLY) {
            return refuse(
                "is mounted read-only".to_owned(),
                "mount -o remount,rw that file system, and run this again",
            );
        }
        if about.f_bsize != BLOCK {
            return refuse(
                format!(
                    "is {name} with blocks of {} bytes, expected {BLOCK}: kernels before 6.3 would not mount it \
                     with the feature 'verity'",
                    about.f_bsize
                ),
                "make that file system with blocks of 4096 bytes (mke2fs -b 4096), or install without --verity",
            );
        }
        match (self.support, name) {
            (Support::Ready, _) => Ok(()),
            (Support::Off, "ext4") => {
                feature::refuse_kernel()?;
                self.device().map(|_| ())
            }
            (Support::Off, _) => refuse(
                format!("is {name} without the feature 'verity'"),
                "make it with the feature (mkfs.f2fs -O verity), or install without --verity",
            ),
            (Support::Never, _) => refuse(
                format!("is {name}, of which this kernel has no fs-verity"),
                "run a newer kernel (btrfs: 5.15), or install without --verity",
            ),
        }
    }
}
