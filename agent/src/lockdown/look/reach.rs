//! Lookup of a path that is in others' hands: a home, a spool.
//!
//! The path is walked name by name, by descriptors that are opened as such (`O_PATH`), so that nothing is
//! asked of a file system before its type is known. A FUSE file system that its owner serves, and does not
//! answer for, holds whoever asks it for ever, beyond the reach of a signal; that of a server that is gone, too.
//! `statfs` asks it, and so does a lookup in it; the id of a mount and attributes that are cached do not.
//!
//! On the way it is noted in whose hands the path is: who could have put there what was found.

use std::{
    collections::VecDeque,
    fs::File,
    io::{BufRead, BufReader, Read},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Statx, StatxFlags},
    io::Errno,
};

use super::{
    super::{
        cause::{Cause, Probe},
        item::Unseen,
    },
    Look,
};

/// As the kernel has it for one look-up.
const MOST_LINKS: usize = 40;
/// Names on the way, those of links included.
const MOST_NAMES: usize = 512;
/// Of a file that is looked into for anything but white space.
const GLANCE: u64 = 64 * 1024;
/// File systems that the kernel answers for by itself, without a process or a server.
const LOCAL: [&str; 16] = [
    "bcachefs", "btrfs", "devtmpfs", "erofs", "ext2", "ext3", "ext4", "f2fs", "overlay", "ramfs",
    "rootfs", "squashfs", "tmpfs", "vfat", "xfs", "zfs",
];
const OWN_MOUNTS: &str = "proc/self/mountinfo";
/// Of a line about one mount.
const LINE: u64 = 64 * 1024;

/// Something that was reached.
#[derive(Debug)]
pub struct Reached {
    /// Opened as such: nothing was asked of it but its attributes.
    pub place: OwnedFd,
    pub kind: FileType,
    /// The path without links.
    pub path: String,
    /// Least privilege that could have put it there.
    pub hands: Cause,
}

/// The reason why something was not reached.
#[derive(Debug)]
pub struct Missed {
    pub why: Unseen,
    /// Least privilege that could have brought that about.
    pub hands: Cause,
}

struct Step {
    place: OwnedFd,
    name: Vec<u8>,
    mount: u64,
}

impl Look<'_> {
    /// Looks a path up, through links, but not out of the root. Returns `None` if nothing is there.
    pub fn reach(&self, path: &str) -> Result<Option<Reached>, Missed> {
        let mut hands = Cause::Root;
        self.walk(path, &mut hands)
            .map_err(|why| Missed { why, hands })
    }

    fn walk(&self, path: &str, hands: &mut Cause) -> Result<Option<Reached>, Unseen> {
        let failed = |errno: Errno| {
            Unseen::errno(
                errno,
                format!(
                    "failed to look at '/{}': {errno}",
                    path.trim_start_matches('/')
                ),
            )
        };
        let open = |at: BorrowedFd<'_>, name: &[u8]| {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(at, name, flags, Mode::empty())
        };
        let root = open(self.root.as_fd(), b".").map_err(failed)?;
        let mut stat = attributes(&root).map_err(failed)?;
        let mut steps = vec![Step {
            mount: stat.stx_mnt_id,
            place: root,
            name: Vec::new(),
        }];
        let mut names: VecDeque<Vec<u8>> = split(path.as_bytes());
        let (mut links, mut walked) = (0_usize, 0_usize);
        while let Some(name) = names.pop_front() {
            walked = walked.saturating_add(1);
            // 40 links of 4,096 bytes make some 80,000 names, which the owner of a home could have walked each minute.
            if walked > MOST_NAMES {
                return Err(failed(Errno::NAMETOOLONG));
            }
            // As in a chroot, never above the root. The hands of the directory that is left still count.
            if name == b".." {
                if steps.len() > 1 {
                    steps.pop();
                }
                continue;
            }
            let Some(above) = steps.last() else {
                return Ok(None);
            };
            let directory = attributes(&above.place).map_err(failed)?;
            if !FileType::from_raw_mode(directory.stx_mode.into()).is_dir() {
                return Ok(None);
            }
            // Whoever may write this directory can replace what is looked up in it.
            *hands = (*hands).max(self.hands(&directory));
            let place = match open(above.place.as_fd(), &name) {
                Ok(place) => place,
                Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
                Err(errno) => return Err(failed(errno)),
            };
            stat = attributes(&place).map_err(failed)?;
            if stat.stx_mnt_id != above.mount {
                self.must_be_local(stat.stx_mnt_id, path)?;
            }
            let kind = FileType::from_raw_mode(stat.stx_mode.into());
            if kind.is_symlink() {
                links = links.saturating_add(1);
                if links > MOST_LINKS {
                    return Err(failed(Errno::LOOP));
                }
                let target = rustix::fs::readlinkat(&place, c"", Vec::new()).map_err(failed)?;
                if target.to_bytes().starts_with(b"/") {
                    // From the root that is looked at: an absolute link must not lead into this host's.
                    steps.truncate(1);
                }
                for name in split(target.to_bytes()).into_iter().rev() {
                    names.push_front(name);
                }
                continue;
            }
            let mount = stat.stx_mnt_id;
            steps.push(Step { place, name, mount });
        }
        let Some(last) = steps.pop() else {
            return Ok(None);
        };
        stat = attributes(&last.place).map_err(failed)?;
        *hands = (*hands).max(self.hands(&stat));
        let names = steps.iter().chain([&last]).skip(1);
        let names = names.map(|step| String::from_utf8_lossy(&step.name).into_owned());
        Ok(Some(Reached {
            kind: FileType::from_raw_mode(stat.stx_mode.into()),
            path: format!("/{}", names.collect::<Vec<_>>().join("/")),
            hands: *hands,
            place: last.place,
        }))
    }

    /// Returns the least privilege that can move what lies at `path`, which has no links in it: whoever may write a
    /// directory above it gives it another name, and root's mounts in it go along.
    pub fn movers(&self, path: &[u8]) -> Cause {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut hands = Cause::Root;
        let root = rustix::fs::openat(self.root.as_fd(), c".", flags, Mode::empty());
        let Ok(mut above) = root else {
            return hands;
        };
        let mut mount = None;
        // The point itself is not opened: its file system may be anybody's.
        for name in split(path) {
            let Ok(stat) = attributes(&above) else {
                break;
            };
            if mount.is_some_and(|mount| mount != stat.stx_mnt_id)
                && self.must_be_local(stat.stx_mnt_id, "").is_err()
            {
                return Cause::Anybody;
            }
            mount = Some(stat.stx_mnt_id);
            hands = hands.max(self.hands(&stat));
            // What is gone was moved by somebody whose hands are counted.
            let Ok(next) = rustix::fs::openat(&above, name.as_slice(), flags, Mode::empty()) else {
                break;
            };
            above = next;
        }
        hands
    }

    /// Returns the least privilege that may change an object with these attributes, or put something into it.
    pub fn hands(&self, stat: &Statx) -> Cause {
        hands(stat.stx_uid, stat.stx_mode.into(), self.owner)
    }

    /// Refuses a file system that somebody else answers for.
    fn must_be_local(&self, mount: u64, path: &str) -> Result<(), Unseen> {
        let kind = self.kind_of_mount(mount)?;
        match kind {
            // A list of what is safe: a type that nobody thought of counts as served by somebody who may not answer.
            Some(kind) if LOCAL.contains(&&*kind) => Ok(()),
            kind => {
                let kind = kind.unwrap_or_else(|| "a mount that came meanwhile".to_owned());
                let path = path.trim_start_matches('/');
                let text = format!("not looked into: '/{path}' is on {kind}");
                Err(Unseen::Unfit(Probe::HomesElsewhere, text))
            }
        }
    }

    /// The type of a file system, by the id of its mount: the kernel's list asks nobody.
    fn kind_of_mount(&self, mount: u64) -> Result<Option<String>, Unseen> {
        let failed = |problem: &dyn std::fmt::Display| {
            Unseen::from(format!("failed to read '/{OWN_MOUNTS}': {problem}"))
        };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT;
        let list = earmark_scan::openat2(self.root.as_fd(), OWN_MOUNTS, flags, resolve)
            .map_err(|errno| Unseen::errno(errno, failed(&errno).into()))?;
        let mut list = BufReader::new(File::from(list));
        let start = format!("{mount} ");
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = list.by_ref().take(LINE).read_until(b'\n', &mut line);
            match read {
                Ok(0) => return Ok(None),
                Ok(_) if line.starts_with(start.as_bytes()) => {
                    let text = String::from_utf8_lossy(&line);
                    let (_, rest) = text.split_once(" - ").unwrap_or_default();
                    let kind = rest.split(' ').next().unwrap_or_default();
                    return Ok(Some(kind.to_owned()));
                }
                Ok(_) => {}
                Err(error) => return Err(Unseen::io(&error, failed(&error).into())),
            }
        }
    }

    /// Returns whether a file in a directory that was reached has anything but white space in it. `true` also if it
    /// is no regular file, cannot be opened at once, or goes on for long: a pipe, and a lease that its owner does
    /// not give back, are not waited for.
    pub fn has_content(&self, directory: impl AsFd, name: &str) -> bool {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let place = match rustix::fs::openat(&directory, name, flags, Mode::empty()) {
            Ok(place) => place,
            Err(Errno::NOENT) => return false,
            Err(_) => return true,
        };
        let (Ok(above), Ok(stat)) = (attributes(&directory), attributes(&place)) else {
            return true;
        };
        let is_local = stat.stx_mnt_id == above.stx_mnt_id
            || self.must_be_local(stat.stx_mnt_id, name).is_ok();
        if !is_local || !FileType::from_raw_mode(stat.stx_mode.into()).is_file() {
            return true;
        }
        // The very file that was looked at: what takes its place meanwhile is not opened.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let again = format!("/proc/self/fd/{}", place.as_raw_fd());
        let Ok(file) = rustix::fs::open(again, flags, Mode::empty()) else {
            return true;
        };
        let mut bytes = Vec::new();
        let read = File::from(file)
            .take(GLANCE.saturating_add(1))
            .read_to_end(&mut bytes);
        let is_long = u64::try_from(bytes.len()).map_or(true, |length| length > GLANCE);
        let is_blank = bytes.iter().all(u8::is_ascii_whitespace);
        read.is_err() || is_long || !is_blank
    }
}

/// The attributes that the kernel knows by itself.
pub fn attributes(place: impl AsFd) -> rustix::io::Result<Statx> {
    // From the cache: FUSE or a server that does not answer would otherwise hold this process.
    let flags = AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    // The kernel gives the id of the mount unasked. Where an attribute is asked for, FUSE without `allow_other`
    // answers EACCES.
    let basic = StatxFlags::TYPE | StatxFlags::MODE | StatxFlags::UID;
    match rustix::fs::statx(&place, c"", flags, basic) {
        Err(Errno::ACCESS) => rustix::fs::statx(&place, c"", flags, StatxFlags::empty()),
        stat => stat,
    }
}

/// Returns the least privilege that may change an object with this owner and mode, where `root` is the user to whom
/// the root belongs.
pub(super) fn hands(owner: u32, mode: u32, root: u32) -> Cause {
    if FileType::from_raw_mode(mode).is_symlink() {
        // Its mode means nothing, and it is replaced in its directory.
        Cause::Root
    } else if mode & 0o002 != 0 {
        Cause::Anybody
    } else if owner != root || mode & 0o020 != 0 {
        // The group's bits are also the mask of an ACL: a file that one lets a named user write has this bit set.
        Cause::Account
    } else {
        Cause::Root
    }
}

fn split(path: &[u8]) -> VecDeque<Vec<u8>> {
    let names = path.split(|byte| *byte == b'/');
    let names = names.filter(|name| !name.is_empty() && *name != b".");
    names.map(<[u8]>::to_vec).collect()
}
