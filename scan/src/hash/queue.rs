//! The files that wait to be read, in the order of their inodes.

use std::{
    cmp::Reverse,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::Sought;
use crate::Progress;

/// Files from this size on are begun first.
const LARGE: u64 = 16 * 1024 * 1024;

/// Files that wait to be read. It is over when it is full and nothing waits.
pub(crate) struct Queue<I> {
    state: Mutex<(Vec<I>, bool)>,
    changed: Condvar,
    /// Few enough wait that more may be put in order.
    drained: Condvar,
    /// Number of files that are put in order at a time.
    batch: AtomicUsize,
}

impl<I> Queue<I> {
    pub(super) fn new(batch: usize) -> Self {
        Self {
            state: Mutex::new((Vec::new(), false)),
            changed: Condvar::new(),
            drained: Condvar::new(),
            batch: AtomicUsize::new(batch),
        }
    }

    /// Takes all that comes, before any of it is taken.
    pub(super) fn make_boundless(&self) {
        // Relaxed: it is called where no thread has started, so that nobody else reads it.
        self.batch.store(usize::MAX, Ordering::Relaxed);
    }

    /// Takes what `feed` hands out, in the order that suits reading it; a batch at a time, and no more than a
    /// batch and what is left of the one before.
    pub(super) fn fill<T>(
        &self,
        progress: &dyn Progress,
        sought: &impl Fn(&I) -> Sought<'_>,
        feed: impl FnOnce(&mut dyn FnMut(I)) -> T,
    ) -> T {
        // However this ends, the threads must not wait for more.
        let full = Full(self);
        let (mut later, mut total) = (Vec::new(), 0_u64);
        let returned = feed(&mut |item| {
            total = total.saturating_add(sought(&item).stat.size);
            later.push(item);
            if later.len() >= self.batch() {
                progress.total(total);
                self.put(&mut later, sought);
                // So many and a batch are all that is held.
                drop(self.wait_for(self.batch() / 2));
            }
        });
        progress.total(total);
        self.put(&mut later, sought);
        drop(full);
        returned
    }

    fn put(&self, later: &mut Vec<I>, sought: &impl Fn(&I) -> Sought<'_>) {
        // They are taken from the end. Large ones come first, so that none is left to one thread at the end.
        later.sort_by_cached_key(|item| {
            let stat = sought(item).stat;
            (stat.size >= LARGE, Reverse((stat.device, stat.inode)))
        });
        // Enough are left that no thread waits meanwhile.
        let mut state = self.wait_for(self.batch() / 8);
        // What is left of the batch before goes to the end, which is taken first.
        later.append(&mut state.0);
        state.0 = std::mem::take(later);
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until no more than `most` wait.
    fn wait_for(&self, most: usize) -> MutexGuard<'_, (Vec<I>, bool)> {
        let mut state = self.lock();
        while state.0.len() > most {
            state = self
                .drained
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state
    }

    fn batch(&self) -> usize {
        self.batch.load(Ordering::Relaxed)
    }

    /// The next one, waited for if need be.
    pub(crate) fn next(&self) -> Option<I> {
        let mut state = self.lock();
        loop {
            match self.pop(&mut state) {
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

    /// The next one, if one waits now.
    pub(crate) fn try_next(&self) -> Option<I> {
        self.pop(&mut self.lock())
    }

    fn pop(&self, state: &mut (Vec<I>, bool)) -> Option<I> {
        let item = state.0.pop();
        // The length falls by one at a time, so that neither mark is stepped over.
        if [self.batch() / 2, self.batch() / 8].contains(&state.0.len()) {
            self.drained.notify_one();
        }
        item
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
