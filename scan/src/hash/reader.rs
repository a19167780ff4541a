//! Opens files and reads them on, as long as they are what the walk saw.

use std::{fmt::Display, io, os::fd::OwnedFd};

use earmark_manifest::{
    digest::VerityDigest, entry::Xattr, fsverity::VerityHasher, path::ImagePath,
};
use rustix::{
    fs::{AtFlags, SeekFrom},
    io::Errno,
};

use super::BUFFER;
use crate::{
    Doubt, Progress, Root, fsverity_ioctl,
    root::statx,
    source::{self, NodeId},
    walk::{Seen, Stat, crosses},
    xattr::XattrReader,
};

/// A file as the walk saw it: where it is, and what tells that it is still the same.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sought<'a> {
    pub(crate) path: &'a ImagePath,
    pub(crate) stat: &'a Stat,
}

/// Resources of one thread that reads files.
pub(crate) struct Reader<'r> {
    root: &'r Root,
    mounts: &'r [ImagePath],
    progress: &'r dyn Progress,
    xattrs: XattrReader,
}

/// A file that is open. That it is the one that the walk saw is known at the end of reading it.
pub(crate) struct Opened {
    file: Content,
    size: u64,
    /// Bytes that are still to be read.
    left: u64,
}

/// Source of the bytes of an open file.
enum Content {
    File(OwnedFd),
    /// A node of the root's [`source::Source`], which does not change while it is read.
    Node(NodeId),
}

impl<'r> Reader<'r> {
    pub(super) fn new(root: &'r Root, mounts: &'r [ImagePath], progress: &'r dyn Progress) -> Self {
        Self {
            root,
            mounts,
            progress,
            xattrs: XattrReader::new(),
        }
    }

    /// Opens the file that the walk saw, or what is in its place now: the end of reading it tells, and
    /// nothing that it brought counts before that.
    pub(crate) fn open(&self, sought: Sought<'_>) -> Result<Opened, Doubt> {
        let path = sought.path;
        let file = match self.root.source() {
            Some(_) => Content::Node(sought.stat.node()),
            None => self
                .root
                .open_file(path, crosses(self.mounts, path))
                .map(Content::File)
                .map_err(|errno| Doubt::new(path, "open it", errno))?,
        };
        // The walk's size and not the present one: it is what was compared with the signed one.
        Ok(Opened {
            file,
            size: sought.stat.size,
            left: sought.stat.size,
        })
    }

    /// The content of a small file that nobody measures. It may change as it is read, as what is free to change
    /// does on a running host, and is what it was at one time or another.
    pub(crate) fn look<'b>(
        &self,
        seen: &Seen,
        buffer: &'b mut Vec<u8>,
    ) -> Result<&'b [u8], (Doubt, Errno)> {
        buffer.resize(BUFFER, 0);
        let failed = |what, errno| (Doubt::new(&seen.path, what, errno), errno);
        let file = self
            .root
            .open_file(&seen.path, crosses(self.mounts, &seen.path))
            .map_err(|errno| failed("open it", errno))?;
        let mut filled = 0;
        while let Some(free) = buffer.get_mut(filled..).filter(|free| !free.is_empty()) {
            match rustix::io::read(&file, free) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(failed("read it", errno)),
            }
            // The usual small file is done without asking for its end.
            if u64::try_from(filled) == Ok(seen.stat.size) {
                break;
            }
        }
        self.progress.advance(seen.stat.size);
        Ok(buffer.get(..filled).unwrap_or_default())
    }

    /// The attributes of an open file.
    pub(crate) fn xattrs(
        &mut self,
        sought: Sought<'_>,
        opened: &Opened,
    ) -> Result<Box<[Xattr]>, Doubt> {
        let doubt = |cause: &dyn Display| Doubt::new(sought.path, "read its attributes", cause);
        match (&opened.file, self.root.source()) {
            (Content::File(file), _) => self
                .xattrs
                .of_descriptor(file)
                .map_err(|errno| doubt(&errno)),
            (Content::Node(node), Some(source)) => {
                source::xattrs(source, *node).map_err(|error| doubt(&error))
            }
            (Content::Node(_), None) => Err(doubt(&"its file system was unmounted")),
        }
    }

    /// The fs-verity digest that the kernel enforces for the file, if it does: no byte is read.
    pub(crate) fn kernel_digest(
        &self,
        sought: Sought<'_>,
        opened: &Opened,
    ) -> Option<VerityDigest> {
        // statx told already: no ioctl for each file of a root that has no fs-verity.
        if !sought.stat.verity {
            return None;
        }
        // Whatever is wrong with the kernel's answer, reading the file tells.
        let Content::File(file) = &opened.file else {
            return None;
        };
        let digest = fsverity_ioctl::measure(file).ok().flatten()?;
        self.progress.skip(opened.size);
        Some(digest)
    }

    /// The fs-verity digest of a file that is mostly holes: only its data is read. `None` if the file system does not say
    /// where that is.
    ///
    /// The file system's word on a hole counts as much as its word on what is read: it answers both.
    pub(crate) fn digest_of_data(
        &self,
        sought: Sought<'_>,
        opened: &Opened,
    ) -> Result<Option<VerityDigest>, Doubt> {
        let Content::File(file) = &opened.file else {
            return Ok(None);
        };
        let failed = |errno: Errno| Doubt::new(sought.path, "read it", errno);
        let mut hasher = VerityHasher::new();
        let mut buffer = vec![0; BUFFER];
        let mut at = 0;
        while at < opened.size {
            let data = match rustix::fs::seek(file, SeekFrom::Data(at)) {
                Ok(data) => data.min(opened.size),
                // There is none behind it.
                Err(Errno::NXIO) => opened.size,
                Err(Errno::INVAL | Errno::OPNOTSUPP) if at == 0 => {
                    // It is read from its beginning, by a descriptor that was moved.
                    rustix::fs::seek(file, SeekFrom::Start(0)).map_err(failed)?;
                    return Ok(None);
                }
                Err(errno) => return Err(failed(errno)),
            };
            // A FUSE file system answers what it likes: without headway this would never end.
            if data < at {
                return Err(failed(Errno::INVAL));
            }
            hasher.zeros(data.saturating_sub(at));
            self.progress.skip(data.saturating_sub(at));
            at = data;
            if at == opened.size {
                break;
            }
            let end = rustix::fs::seek(file, SeekFrom::Hole(at)).map_err(failed)?;
            let end = end.min(opened.size);
            if end <= at {
                return Err(failed(Errno::INVAL));
            }
            while at < end {
                let most = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
                let most = most.min(buffer.len());
                let piece = buffer.get_mut(..most).unwrap_or_default();
                match rustix::io::pread(file, &mut *piece, at) {
                    // Truncated since the walk: the digest of less is not the file's.
                    Ok(0) => return Err(sought.changed()),
                    Ok(count) => {
                        hasher.update(piece.get(..count).unwrap_or_default());
                        let read = u64::try_from(count).unwrap_or(u64::MAX);
                        self.progress.advance(read);
                        at = at.saturating_add(read);
                    }
                    Err(Errno::INTR) => {}
                    Err(errno) => return Err(failed(errno)),
                }
            }
        }
        Ok(Some(hasher.finish()))
    }

    /// Reads on. The end, with 0, comes after exactly the bytes that the walk saw, and only if the
    /// file did not change: what was handed out before a doubt counts for nothing.
    pub(super) fn read(
        &self,
        sought: Sought<'_>,
        opened: &mut Opened,
        into: &mut [u8],
    ) -> Result<usize, Doubt> {
        // The usual small file is done without asking for its end: its size and change time are
        // looked at again.
        if opened.left == 0 {
            return opened.must_be_unchanged(sought).map(|()| 0);
        }
        loop {
            match self.read_once(opened, into) {
                // Truncated since the walk: the digest of less is not the file's.
                Ok(0) => return Err(sought.changed()),
                Ok(count) => {
                    let read = u64::try_from(count).unwrap_or(u64::MAX);
                    // The buffer may be longer than what is left, so that a file that grew is noticed.
                    let left = opened.left.checked_sub(read);
                    opened.left = left.ok_or_else(|| sought.changed())?;
                    self.progress.advance(read);
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Doubt::new(sought.path, "read it", error)),
            }
        }
    }

    fn read_once(&self, opened: &Opened, into: &mut [u8]) -> io::Result<usize> {
        match (&opened.file, self.root.source()) {
            (Content::File(file), _) => Ok(rustix::io::read(file, into)?),
            (Content::Node(node), Some(source)) => source.read_at(*node, opened.offset(), into),
            (Content::Node(_), None) => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Opened {
    /// Bytes that were read already.
    fn offset(&self) -> u64 {
        self.size.saturating_sub(self.left)
    }

    /// Bytes in the file.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Another file in the place of the one that the walk saw, or a change to it since, is a doubt: what
    /// is there now was not compared.
    pub(super) fn must_be_unchanged(&self, sought: Sought<'_>) -> Result<(), Doubt> {
        let Content::File(file) = &self.file else {
            return Ok(());
        };
        // Of the descriptor that was read: by now the path may lead to another file.
        let stat = statx(file, c"", AtFlags::EMPTY_PATH)
            .map_err(|errno| Doubt::new(sought.path, "look at it", errno))?;
        // Misses a store into a mapped page that is dirty already, and, before Linux 6.13, a second write in one clock
        // tick: neither moves ctime.
        if sought.stat.is_unchanged(&Stat::of(&stat)) {
            Ok(())
        } else {
            Err(sought.changed())
        }
    }
}

impl Sought<'_> {
    fn changed(&self) -> Doubt {
        Doubt::new(
            self.path,
            "read it",
            "it changed while it was being verified",
        )
    }
}

impl Seen {
    pub(crate) fn sought(&self) -> Sought<'_> {
        Sought {
            path: &self.path,
            stat: &self.stat,
        }
    }
}
