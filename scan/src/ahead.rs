//! Unpacks and parses a signed tree on a thread of its own, ahead of the one that compares it.

use std::{
    io::BufRead,
    sync::{Mutex, PoisonError, mpsc},
    thread,
};

use earmark_manifest::{
    entry::Entry,
    tree::{TreeError, TreeReader},
};

/// Entries handed over at once: a lock for each would cost more than to parse it.
const BATCH: usize = 256;
/// Batches that may wait. The tree is never in memory as a whole.
const WAITING: usize = 4;

/// Calls `compare` with the entries of `tree`, in their order and to their end, or to the first that
/// cannot be read. Should `compare` return before that, the rest is not read.
pub(crate) fn ahead<R: BufRead + Send, T>(
    tree: &mut TreeReader<R>,
    compare: impl FnOnce(&mut dyn Iterator<Item = Result<Entry, TreeError>>) -> T,
) -> T {
    let (sender, receiver) = mpsc::sync_channel::<Vec<Result<Entry, TreeError>>>(WAITING);
    // A spawn that fails drops the closure with all that moved into it: behind a lock the tree is still there.
    let tree = Mutex::new(tree);
    let lock = || tree.lock().unwrap_or_else(PoisonError::into_inner);
    // A thread that panics takes the program with it: entries left unread are no comparison.
    thread::scope(|threads| {
        let unpack = move || {
            let mut batch = Vec::with_capacity(BATCH);
            for entry in &mut **lock() {
                batch.push(entry);
                if batch.len() == BATCH {
                    let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
                    if sender.send(full).is_err() {
                        return;
                    }
                }
            }
            // Nobody waits for it if the comparison is over.
            let _ = sender.send(batch);
        };
        match thread::Builder::new().spawn_scoped(threads, unpack) {
            Ok(_) => compare(&mut receiver.into_iter().flatten()),
            // Where no thread can be had, it takes longer.
            Err(_) => compare(&mut **lock()),
        }
    })
}
