//! The running host, as probes look at it: small texts of `/proc` and `/sys`, files, units. Nothing
//! is started for a look, and nothing is changed by it.

mod groups;
mod reach;
mod unit_files;

use std::{
    cell::OnceCell, collections::BTreeSet, fmt::Display, fs::File, io::Read, ops::ControlFlow,
};

use earmark_manifest::{escape::Escaped, path::ImagePath};
use earmark_scan::Root;
use rustix::{
    fs::{Dir, FileType, OFlags, ResolveFlags},
    io::Errno,
};

pub use self::{
    reach::{Missed, attributes},
    unit_files::is_of,
};
use super::item::Unseen;

/// Size of the largest file that is read, in bytes.
const BOUND: usize = 1024 * 1024;

/// A host.
pub struct Look<'a> {
    root: &'a Root,
    /// The user to whom the root belongs: on a running host root, and in a test whoever runs it.
    owner: u32,
    running: OnceCell<Result<BTreeSet<String>, Unseen>>,
    /// The names in each directory of units, each listed once for all units that are looked for.
    units: OnceCell<Result<Vec<BTreeSet<String>>, Unseen>>,
}

impl<'a> Look<'a> {
    pub fn new(root: &'a Root) -> Self {
        // Not the owner of `/`: a chown of it would make root's doing an account's, from which no policy follows.
        let owner = if root.is_live() {
            0
        } else {
            rustix::fs::fstat(root.as_fd()).map_or(0, |stat| stat.st_uid)
        };
        Self {
            root,
            owner,
            running: OnceCell::new(),
            units: OnceCell::new(),
        }
    }

    /// The root that is looked at.
    pub fn root(&self) -> &Root {
        self.root
    }

    /// The user that is root in the root that is looked at.
    pub fn owner(&self) -> u32 {
        self.owner
    }

    /// The text of a small file, without white space at its ends. Nothing, if there is no such
    /// file.
    pub fn text(&self, path: &str) -> Result<Option<String>, Unseen> {
        let path = absolute(path)?;
        let bytes = self.root.read_opt(&path, BOUND);
        let bytes = bytes.map_err(|error| Unseen::io(&error.cause, error.to_string()))?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()))
    }

    /// The text of a small file that may be reached through links, but not out of the root.
    pub fn text_through_links(&self, path: &str) -> Result<Option<String>, Unseen> {
        let failed = |problem: &dyn Display| format!("failed to read '{path}': {problem}");
        // A FIFO in its place would hold the open until somebody writes; a terminal would become our own.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        // Not BENEATH, which refuses absolute links with EXDEV: here they count from the root that is looked at.
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let file = match earmark_scan::openat2(self.root.as_fd(), path, flags, resolve) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(errno) => return Err(Unseen::errno(errno, failed(&errno))),
        };
        // Of the open file: between a look at the path and its opening the two could be swapped.
        let stat = rustix::fs::fstat(&file);
        let stat = stat.map_err(|errno| Unseen::errno(errno, failed(&errno)))?;
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err(failed(&"it is not a regular file").into());
        }
        let mut bytes = Vec::new();
        // Counted as it is read: files of /proc and /sys say a size of 0 or of a page, whatever is in them.
        let most = u64::try_from(BOUND).unwrap_or(u64::MAX);
        File::from(file)
            .take(most.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| Unseen::io(&error, failed(&error)))?;
        if bytes.len() > BOUND {
            return Err(failed(&"it is too large").into());
        }
        Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()))
    }

    /// Returns whether something is at the path, itself and not what it leads to. Links on the way are followed, but
    /// not out of the root.
    pub fn exists(&self, path: &str) -> Result<bool, Unseen> {
        // O_PATH asks nothing of what is there: no device is opened, no FIFO waited for, no automount set off.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        match earmark_scan::openat2(self.root.as_fd(), path, flags, resolve) {
            Ok(_) => Ok(true),
            // No other error means `not there`: after EACCES or ENOMEM nobody knows.
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
            Err(errno) => Err(Unseen::errno(
                errno,
                format!("failed to look at '{path}': {errno}"),
            )),
        }
    }

    /// The names in a directory; nothing, if there is no such directory. Links on the way to it are
    /// followed, but not out of the root.
    pub fn list(&self, path: &str) -> Result<Option<Vec<(String, FileType)>>, Unseen> {
        let names = self.root.list(path);
        let names = names.map_err(|errno| list_failed(path, errno))?;
        let text = |name: Vec<u8>| String::from_utf8_lossy(&name).into_owned();
        Ok(names.map(|names| {
            let names = names.into_iter();
            names.map(|found| (text(found.name), found.kind)).collect()
        }))
    }

    /// Hands on each name in a directory, of which none is kept, until that is enough; nothing, if there is no
    /// such directory. For directories to which others than root may add.
    fn each_name(
        &self,
        path: &str,
        each: &mut dyn FnMut(&str, FileType) -> ControlFlow<()>,
    ) -> Result<Option<ControlFlow<()>>, Unseen> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let opened = earmark_scan::openat2(self.root.as_fd(), path, flags, resolve);
        let directory = match opened {
            Ok(directory) => directory,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(errno) => return Err(list_failed(path, errno)),
        };
        let names = Dir::read_from(directory).map_err(|errno| list_failed(path, errno))?;
        for entry in names {
            let entry = match entry {
                Ok(entry) => entry,
                // It went meanwhile, and with it what was in it.
                Err(Errno::NOENT) => break,
                Err(errno) => return Err(list_failed(path, errno)),
            };
            let name = entry.file_name().to_string_lossy();
            if !matches!(&*name, "." | "..") && each(&name, entry.file_type()).is_break() {
                return Ok(Some(ControlFlow::Break(())));
            }
        }
        Ok(Some(ControlFlow::Continue(())))
    }

    /// Reads where a link leads; nothing, if there is none.
    pub fn link(&self, path: &str) -> Result<Option<String>, Unseen> {
        let failed =
            |errno| Unseen::errno(errno, format!("failed to read the link '{path}': {errno}"));
        // With these two openat2 returns even a magic link (/proc/PID/ns/net) itself, in spite of NO_MAGICLINKS.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let link = earmark_scan::openat2(self.root.as_fd(), path, flags, resolve);
        let link = match link {
            Ok(link) => link,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(errno) => return Err(failed(errno)),
        };
        match rustix::fs::readlinkat(link, c"", Vec::new()) {
            Ok(target) => Ok(Some(target.to_string_lossy().into_owned())),
            // It is something else: for an empty path readlinkat says ENOENT of what is no link.
            Err(Errno::NOENT | Errno::INVAL) => Ok(None),
            Err(errno) => Err(failed(errno)),
        }
    }
}

/// Names for a finding, escaped: the first few, and how many more there are.
pub fn few(names: &[String]) -> String {
    // Accounts choose these names: escaped, and few of them, so that none writes the console's lines.
    const FEW: usize = 4;
    let shown = names.iter().take(FEW);
    let mut text = shown
        .map(|name| Escaped(name.as_bytes()).to_string())
        .collect::<Vec<_>>()
        .join(", ");
    if let Some(more @ 1..) = names.len().checked_sub(FEW) {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

fn list_failed(path: &str, errno: Errno) -> Unseen {
    Unseen::errno(errno, format!("failed to list '{path}': {errno}"))
}

fn absolute(path: &str) -> Result<ImagePath, String> {
    ImagePath::from_absolute(path.as_bytes()).map_err(|error| format!("'{path}': {error}"))
}

#[cfg(test)]
mod tests;
