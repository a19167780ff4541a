//! The feature `verity` of ext4, and the kernel and the tool that it takes.

use std::{
    ffi::OsStr,
    fs,
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::Path,
    time::Duration,
};

use anyhow::Context;

use crate::{
    exit::{Exit, Exits, Failure, Next, Outcome},
    io::run::{self, Program},
};

/// It writes one block.
const TIMEOUT: Duration = Duration::from_mins(2);
const OUTPUT: u64 = 64 * 1024;

/// Turns the feature on, on a mounted file system. Its kernel sees it at once: both write the same buffer.
pub(super) fn turn_on(device: &str) -> Outcome<()> {
    let arguments = ["-O", "verity", device].map(OsStr::new);
    run::need(Program::Tune2fs, &arguments, OUTPUT, TIMEOUT)
        .map_err(|failure| {
            failure.context(format!("failed to turn on the feature 'verity' of '{device}'"))
        })
        .or_next(|| {
            "e2fsprogs 1.45.2 or later must be installed, and write to a mounted disk; or make the file system \
             with the feature (mke2fs -O verity)"
                .to_owned()
        })?;
    Ok(())
}

/// The block device of a device number, as a path that leads to it.
pub(super) fn device(number: u64) -> Outcome<String> {
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    let uevent = format!("/sys/dev/block/{major}:{minor}/uevent");
    let text = fs::read_to_string(&uevent)
        .with_context(|| format!("failed to read '{uevent}'"))
        .exits(Exit::Undecided)
        .or_next(|| "mount sysfs on /sys".to_owned())?;
    let name = text.lines().find_map(|line| line.strip_prefix("DEVNAME="));
    let name = name
        .with_context(|| format!("'{uevent}' has no DEVNAME"))
        .exits(Exit::Undecided)?;
    let path = format!("/dev/{name}");
    let found = fs::metadata(&path)
        .with_context(|| format!("failed to look at '{path}'"))
        .exits(Exit::Undecided)
        .or_next(|| "mount devtmpfs on /dev".to_owned())?;
    // A name in a /dev that somebody filled by hand may be another disk's.
    if found.rdev() != number {
        return Err(Failure::new(
            Exit::Undecided,
            format!("'{path}' is not the device {major}:{minor}"),
        )
        .next("mount devtmpfs on /dev"));
    }
    Ok(path)
}

/// Refuses a running kernel without fs-verity: it could not mount the file system writable again.
pub(super) fn refuse_kernel() -> Outcome<()> {
    let known = Path::new("/sys/fs/ext4/features");
    if !known.is_dir() {
        return Err(Failure::new(
            Exit::Undecided,
            format!(
                "'{}' is not there: it says what the kernel can",
                known.display()
            ),
        )
        .next("mount sysfs on /sys"));
    }
    if known.join("verity").exists() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Usage,
        "refused: the running kernel has no fs-verity (CONFIG_FS_VERITY), and could not mount an ext4 with the feature \
         'verity' writable",
    )
    .next("run this on a kernel that has it, such as in the image's own guest; or install without --verity"))
}

/// Refuses a kernel that takes signed files alone.
pub(super) fn refuse_signatures() -> Outcome<()> {
    let path = "/proc/sys/fs/verity/require_signatures";
    match fs::read_to_string(path) {
        Ok(text) if text.trim() != "0" => Err(Failure::new(
            Exit::Usage,
            format!("refused: '{path}' is {}, expected 0: the kernel takes no fs-verity without a signature of its own", text.trim()),
        )
        .next("sysctl fs.verity.require_signatures=0")),
        // Absent without CONFIG_FS_VERITY_BUILTIN_SIGNATURES.
        _ => Ok(()),
    }
}

/// The name of a file system that cannot, for a message.
pub(super) fn name_of(directory: impl AsFd) -> String {
    match rustix::fs::fstatfs(directory).map(|about| about.f_type) {
        Ok(0x5846_5342) => "XFS".to_owned(),
        Ok(0x0102_1994) => "tmpfs".to_owned(),
        Ok(0x794c_7630) => "overlayfs".to_owned(),
        Ok(0x6573_5546) => "FUSE".to_owned(),
        Ok(0x6969) => "NFS".to_owned(),
        Ok(0x4d44) => "FAT".to_owned(),
        Ok(0x2fc1_2fc1) => "ZFS".to_owned(),
        Ok(other) => format!("a file system of type {other:#x}"),
        Err(errno) => format!("unknown ({errno})"),
    }
}
