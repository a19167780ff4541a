//! Reads the content of files: many at once, in the order of their inodes, each exactly once.
//!
//! Cold, the bound is the disk's queue: with one or two reads outstanding it idles, and neighbouring
//! inodes mostly have neighbouring blocks. Warm, the bound is SHA-256, of which two streams at once
//! fit on a core.

mod both;
mod pair;
mod queue;
mod reader;

pub(crate) use both::{both, content};
pub(crate) use pair::{Job, digests};
pub(crate) use queue::Queue;
pub(crate) use reader::{Opened, Reader, Sought};

use std::thread;

use earmark_manifest::path::ImagePath;

use crate::{Progress, Root, threads::spawn_up_to};

/// Files read at once. Measured cold: two threads 9.3 s, sixteen 4.7 s.
const THREADS: usize = 16;
/// Bytes read at a time, and so whole blocks of both digests.
const BUFFER: usize = 128 * 1024;
/// Files that are put in the order of their inodes at a time, where they are not in memory anyway. A server's
/// root has a hundred thousand.
pub(crate) const BATCH: usize = 32 * 1024;
/// All of them at once.
pub(crate) const ALL: usize = usize::MAX;

/// Calls `work` on many threads, which share what `feed` hands out, and collects what they return, in
/// no order. Files are first put in the order of their inodes, `batch` of them at a time, and read while `feed`
/// still runs.
pub(crate) fn for_each<I: Send, O: Send, T>(
    root: &Root,
    mounts: &[ImagePath],
    progress: &dyn Progress,
    batch: usize,
    sought: impl Fn(&I) -> Sought<'_>,
    feed: impl FnOnce(&mut dyn FnMut(I)) -> T,
    work: impl Fn(&mut Reader<'_>, &Queue<I>) -> Vec<O> + Sync,
) -> (T, Vec<O>) {
    let queue = Queue::new(batch);
    thread::scope(|threads| {
        let work = || work(&mut Reader::new(root, mounts, progress), &queue);
        let workers = spawn_up_to(threads, THREADS, work);
        // Without a thread nobody makes room, and this one works afterwards.
        if workers.started() == 0 {
            queue.make_boundless();
        }
        let returned = queue.fill(progress, &sought, feed);
        (returned, workers.join().into_iter().flatten().collect())
    })
}
