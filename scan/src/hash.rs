//! Reads the content of files: many at once, in the order of their inodes, each exactly once.
//!
//! Cold, the bound is the disk's queue: with one or two reads outstanding it idles, and neighbouring
//! inodes mostly have neighbouring blocks. Warm, the bound is SHA-256.

use std::{
    cmp::Reverse,
    os::fd::OwnedFd,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use earmark_manifest::{
    crypto::Sha256,
    digest::{Sha256Digest, VerityDigest},
    entry::Xattr,
    fsverity::VerityHasher,
    path::ImagePath,
};
use rustix::{fs::AtFlags, io::Errno};

use crate::{
    Doubt, Progress, Root, fsverity_ioctl,
    root::statx,
    walk::{Seen, Stat, crosses},
    xattr::XattrReader,
};

/// Files read at once. Measured cold: two threads 9.3 s, sixteen 4.7 s.
const THREADS: usize = 16;
/// Bytes read at a time.
const BUFFER: usize = 128 * 1024;
/// Files from this size on are begun first, so that none is left to one thread at the end.
const LARGE: u64 = 16 * 1024 * 1024;

/// What one thread reads with.
pub(crate) struct Reader<'a> {
    root: &'a Root,
    mounts: &'a [ImagePath],
    progress: &'a dyn Progress,
    xattrs: XattrReader,
    buffer: Vec<u8>,
}

/// A file that is open, and is the one that the walk saw.
pub(crate) struct Opened<'a> {
    file: OwnedFd,
    seen: &'a Seen,
}

/// Calls `work`, on many threads, for each item that `feed` hands out, and collects what it returns,
/// in no order. Large files are read while `feed` still runs; the others are first put in the order
/// of their inodes.
pub(crate) fn for_each<I: Send + Sync, O: Send, T>(
    root: &Root,
    mounts: &[ImagePath],
    progress: &dyn Progress,
    seen_of: impl Fn(&I) -> &Seen + Sync,
    feed: impl FnOnce(&mut dyn FnMut(I)) -> T,
    work: impl Fn(&mut Reader<'_>, &I) -> Option<O> + Sync,
) -> (T, Vec<O>) {
    let queue = Queue::new();
    std::thread::scope(|threads| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                threads.spawn(|| {
                    let mut reader = Reader {
                        root,
                        mounts,
                        progress,
                        xattrs: XattrReader::new(),
                        buffer: vec![0; BUFFER],
                    };
                    let mut results = Vec::new();
                    while let Some(item) = queue.next() {
                        results.extend(work(&mut reader, &item));
                    }
                    results
                })
            })
            .collect();
        let returned = queue.fill(progress, &seen_of, feed);
        // A thread that panics takes the program with it: a file left unread is no result.
        let results = threads
            .into_iter()
            .flat_map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect();
        (returned, results)
    })
}

/// Files that wait to be read. It is over when it is full and nothing waits.
struct Queue<I> {
    state: Mutex<(Vec<I>, bool)>,
    changed: Condvar,
}

impl<I> Queue<I> {
    fn new() -> Self {
        Self {
            state: Mutex::new((Vec::new(), false)),
            changed: Condvar::new(),
        }
    }

    fn fill<T>(
        &self,
        progress: &dyn Progress,
        seen_of: &impl Fn(&I) -> &Seen,
        feed: impl FnOnce(&mut dyn FnMut(I)) -> T,
    ) -> T {
        // However this ends, the threads must not wait for more.
        let full = Full(self);
        let (mut later, mut total) = (Vec::new(), 0_u64);
        let returned = feed(&mut |item| {
            let size = seen_of(&item).stat.size;
            total = total.saturating_add(size);
            if size < LARGE {
                later.push(item);
            } else {
                self.lock().0.push(item);
                self.changed.notify_one();
            }
        });
        progress.total(total);
        // They are taken from the end: what is large and still waits stays in front.
        later.sort_by_cached_key(|item| {
            let stat = &seen_of(item).stat;
            Reverse((stat.device, stat.inode))
        });
        let mut state = self.lock();
        later.append(&mut state.0);
        state.0 = later;
        drop(state);
        drop(full);
        returned
    }

    fn next(&self) -> Option<I> {
        let mut state = self.lock();
        loop {
            match state.0.pop() {
                None if state.1 => return None,
                None => {
                    state = self
                        .changed
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                item => return item,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, (Vec<I>, bool)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Full<'a, I>(&'a Queue<I>);

impl<I> Drop for Full<'_, I> {
    fn drop(&mut self) {
        self.0.lock().1 = true;
        self.0.changed.notify_all();
    }
}

impl Reader<'_> {
    /// Opens the file that the walk saw. Another one in its place is a doubt: what is there now was
    /// not compared.
    pub(crate) fn open<'s>(&self, seen: &'s Seen) -> Result<Opened<'s>, Doubt> {
        let file = self
            .root
            .open_file(&seen.path, crosses(self.mounts, &seen.path))
            .map_err(|errno| Doubt::new(&seen.path, "open it", errno))?;
        let opened = Opened { file, seen };
        opened.must_be_unchanged()?;
        Ok(opened)
    }

    /// The attributes of an open file.
    pub(crate) fn xattrs(&mut self, opened: &Opened<'_>) -> Result<Box<[Xattr]>, Doubt> {
        self.xattrs
            .of_descriptor(&opened.file)
            .map_err(|errno| Doubt::new(&opened.seen.path, "read its attributes", errno))
    }

    /// The fs-verity digest that the kernel enforces for the file, if it does: no byte is read.
    pub(crate) fn kernel_digest(&self, opened: &Opened<'_>) -> Option<VerityDigest> {
        if !opened.seen.stat.verity {
            return None;
        }
        // Whatever is wrong with the kernel's answer, reading the file tells.
        let digest = fsverity_ioctl::measure(&opened.file).ok().flatten()?;
        self.progress.skip(opened.seen.stat.size);
        Some(digest)
    }

    /// The SHA-256 of the file.
    pub(crate) fn sha256(&mut self, opened: &Opened<'_>) -> Result<Sha256Digest, Doubt> {
        let mut hasher = Sha256::new();
        self.read(opened, |bytes| hasher.update(bytes))?;
        Ok(hasher.finish())
    }

    /// Both digests of the file, from one read.
    pub(crate) fn both(
        &mut self,
        opened: &Opened<'_>,
    ) -> Result<(Sha256Digest, VerityDigest), Doubt> {
        let (mut sha256, mut verity) = (Sha256::new(), VerityHasher::new());
        self.read(opened, |bytes| {
            sha256.update(bytes);
            verity.update(bytes);
        })?;
        Ok((sha256.finish(), verity.finish()))
    }

    /// Hands on exactly the bytes that the walk saw, or nothing that counts.
    fn read(&mut self, opened: &Opened<'_>, mut take: impl FnMut(&[u8])) -> Result<(), Doubt> {
        let doubt = |errno: Errno| Doubt::new(&opened.seen.path, "read it", errno);
        let mut left = opened.seen.stat.size;
        loop {
            let count = match rustix::io::read(&opened.file, &mut self.buffer[..]) {
                Ok(0) => break,
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(doubt(errno)),
            };
            let bytes = self.buffer.get(..count).unwrap_or_default();
            let read = u64::try_from(count).unwrap_or(u64::MAX);
            self.progress.advance(read);
            left = left.checked_sub(read).ok_or_else(|| opened.changed())?;
            take(bytes);
            // The usual small file is done without asking for its end: its size and change time
            // are looked at again below.
            if left == 0 {
                break;
            }
        }
        if left > 0 {
            return Err(opened.changed());
        }
        opened.must_be_unchanged()
    }
}

impl Opened<'_> {
    fn must_be_unchanged(&self) -> Result<(), Doubt> {
        let stat = statx(&self.file, c"", AtFlags::EMPTY_PATH)
            .map_err(|errno| Doubt::new(&self.seen.path, "look at it", errno))?;
        if self.seen.stat.is_unchanged(&Stat::of(&stat)) {
            Ok(())
        } else {
            Err(self.changed())
        }
    }

    fn changed(&self) -> Doubt {
        Doubt::new(
            &self.seen.path,
            "read it",
            "it changed while it was being verified",
        )
    }
}
