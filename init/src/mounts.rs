//! Mounts of the root and of what the image declares beneath it, all read-only.

use std::{
    ffi::CString,
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
    time::Duration,
};

use earmark_manifest::{layout, path::ImagePath, verify};
use earmark_scan::{
    Doubt, Root,
    disk::fstab::{self, FSTAB, FSTAB_BOUND},
    initrd::Mounted,
    openat2, seal,
};
use rustix::{
    fs::{OFlags, ResolveFlags, fstat, major, minor},
    mount::{MountFlags, UnmountFlags, mount},
};

use crate::{
    disks::{self, Device},
    judge::Anchor,
    line::Line,
};

/// Directory of the initrd that the root is mounted on.
pub const ROOT: &str = "/sysroot";
/// Tried in this order where neither the command line nor the disk says which it is.
const KINDS: [&str; 3] = ["ext4", "xfs", "btrfs"];
/// Mount that systemd expects when it starts, and cannot make without its content.
const STAYS: &[u8] = b"usr";

/// Mounts the root.
pub fn mount_root(device: &Device, line: &Line) -> Result<Root, String> {
    let declared = line.kind.as_deref().or(device.kind);
    let kinds = declared.map_or(KINDS.to_vec(), |kind| vec![kind]);
    let (flags, data) = options(&line.flags)?;
    let mut problem = String::new();
    for kind in kinds {
        // A journal is replayed by the kernel even so; a file system that needs more than that is refused.
        match mount(
            &*device.path,
            ROOT,
            kind,
            MountFlags::RDONLY | flags,
            &*data,
        ) {
            Ok(()) => return Root::open(Path::new(ROOT)).map_err(|error| error.to_string()),
            Err(errno) => problem = format!("as {kind}: {errno}"),
        }
    }
    Err(format!(
        "failed to mount the root {} {problem}; next: add the module of its file system to the initrd, or mend rootflags=",
        device.path.display()
    ))
}

/// Mounts what the image declares beneath its root, and the file system with the agent's state, which has the
/// record of the files that first boot wrote. Nothing, if the seal is not believed: that is for the verdict to say.
/// A mount that fails is a doubt, since nobody looked at it.
pub fn mount_declared(
    root: &Root,
    anchor: &Anchor,
    wait: Duration,
) -> Result<(Vec<Mounted>, Vec<Doubt>), String> {
    let (mut mounted, mut doubts) = (Vec::new(), Vec::new());
    mounted.push(Mounted {
        path: "/".to_owned(),
        device: device_number(root.as_fd())?,
    });
    let declared = seal::read_declared(root)
        .ok()
        .and_then(|(envelope, declaration)| {
            verify::verify_declaration(&envelope, &declaration, &anchor.trust).ok()
        });
    let Some(declared) = declared else {
        return Ok((mounted, doubts));
    };
    let path = image_path(FSTAB)?;
    let text = root.read_opt(&path, FSTAB_BOUND).unwrap_or_else(|error| {
        doubts.push(Doubt {
            path,
            problem: error.to_string(),
        });
        None
    });
    // Not believed yet, and sealed: another fstab than the signed one is a violation once all is mounted.
    let lines = fstab::parse(&String::from_utf8_lossy(&text.unwrap_or_default()));
    let state = image_path(layout::RENDERED)?;
    let is_wanted = |target: &ImagePath| {
        let wanted = &declared.declaration().tree.mounts;
        !target.is_root() && (wanted.contains(target) || state.is_beneath(target))
    };
    let mut lines: Vec<_> = lines
        .iter()
        .filter(|line| is_wanted(&line.target))
        .collect();
    // A directory before what lies beneath it.
    lines.sort_by(|a, b| a.target.cmp(&b.target));
    for line in lines {
        let found = disks::find(&line.source, wait);
        match found.and_then(|device| mount_beneath(root, line, &device)) {
            Ok(one) => mounted.push(one),
            Err(problem) => doubts.push(Doubt {
                path: line.target.clone(),
                problem,
            }),
        }
    }
    Ok((mounted, doubts))
}

fn mount_beneath(root: &Root, line: &fstab::Line, device: &Device) -> Result<Mounted, String> {
    let wrong = |problem: &dyn std::fmt::Display| {
        format!(
            "failed to mount {} on {}: {problem}",
            device.path.display(),
            line.target
        )
    };
    let at = directory(root, &line.target).map_err(|problem| wrong(&problem))?;
    let kind = match &*line.kind {
        "" | "auto" => device.kind.unwrap_or_default(),
        kind => kind,
    };
    let flags = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID;
    // Through the descriptor: no name is looked up twice.
    let target = format!("/proc/self/fd/{}", at.as_raw_fd());
    mount(&*device.path, &*target, kind, flags, None).map_err(|errno| wrong(&errno))?;
    let now = directory(root, &line.target).map_err(|problem| wrong(&problem))?;
    Ok(Mounted {
        path: line.target.to_string(),
        device: device_number(&now)?,
    })
}

/// Opens a directory beneath the root. A link there would lead out of it, onto the initrd's own.
pub fn directory(root: &Root, path: &ImagePath) -> Result<OwnedFd, String> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let name = CString::new(path.as_bytes()).map_err(|error| error.to_string())?;
    openat2(root.as_fd(), &*name, flags, resolve).map_err(|errno| errno.to_string())
}

/// Unmounts all but the root and `/usr`: the running system mounts them itself, with the options of its fstab.
/// Returns what could not be unmounted.
pub fn unmount(mounted: &[Mounted]) -> Vec<String> {
    let stays =
        |one: &&Mounted| one.path == "/" || one.path.as_bytes().strip_prefix(b"/") == Some(STAYS);
    let problem = |one: &Mounted| {
        let at = format!("{ROOT}{}", one.path);
        let unmounted = rustix::mount::unmount(&*at, UnmountFlags::NOFOLLOW);
        let errno = unmounted.err()?;
        Some(format!("failed to unmount {at}: {errno}"))
    };
    // What lies beneath goes first.
    let mounted = mounted.iter().rev().filter(|one| !stays(one));
    mounted.filter_map(problem).collect()
}

/// Makes the judged root writable, as the command line asks. Most images have `ro` there, and systemd does it by fstab.
pub fn make_writable(line: &Line) -> Result<(), String> {
    if !line.is_writable {
        return Ok(());
    }
    let (flags, _) = options(&line.flags)?;
    rustix::mount::mount_remount(ROOT, flags, c"")
        .map_err(|errno| format!("failed to make the root writable, as 'rw' asks: {errno}"))
}

/// As `/proc/self/mountinfo` spells it.
fn device_number(directory: impl std::os::fd::AsFd) -> Result<String, String> {
    let stat = fstat(directory).map_err(|errno| format!("failed to look at a mount: {errno}"))?;
    Ok(format!("{}:{}", major(stat.st_dev), minor(stat.st_dev)))
}

/// Splits mount options into those of all file systems and those of one.
fn options(text: &str) -> Result<(MountFlags, CString), String> {
    let mut flags = MountFlags::empty();
    let mut rest = Vec::new();
    for option in text.split(',').filter(|option| !option.is_empty()) {
        match option {
            // It is read-only until it is believed; afterwards the running system remounts it.
            "ro" | "rw" | "defaults" => {}
            "noatime" => flags |= MountFlags::NOATIME,
            "nodiratime" => flags |= MountFlags::NODIRATIME,
            "relatime" => flags |= MountFlags::RELATIME,
            "strictatime" => flags |= MountFlags::STRICTATIME,
            "nodev" => flags |= MountFlags::NODEV,
            "nosuid" => flags |= MountFlags::NOSUID,
            option => rest.push(option),
        }
    }
    let data = CString::new(rest.join(","));
    Ok((
        flags,
        data.map_err(|error| format!("rootflags={text}: {error}"))?,
    ))
}

/// A path of an image, by its name as a constant.
pub fn image_path(path: &str) -> Result<ImagePath, String> {
    ImagePath::from_absolute(path.as_bytes()).map_err(|error| format!("{path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rootflags_are_split_into_flags_and_data() {
        let (flags, data) = options("rw,noatime,data=ordered,nosuid,subvol=@").unwrap();
        assert_eq!(flags, MountFlags::NOATIME | MountFlags::NOSUID);
        assert_eq!(data.to_str(), Ok("data=ordered,subvol=@"));
        assert_eq!(options("").unwrap().1.to_str(), Ok(""));
    }

    #[test]
    fn mount_point_behind_a_link_is_refused() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("boot")).unwrap();
        std::os::unix::fs::symlink("/run", root.path().join("srv")).unwrap();
        let root = Root::open(root.path()).unwrap();
        assert!(directory(&root, &image_path("/boot").unwrap()).is_ok());
        assert!(directory(&root, &image_path("/srv").unwrap()).is_err());
    }
}
