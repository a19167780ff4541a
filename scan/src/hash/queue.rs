//! The files that wait to be read, in the order of their inodes.

use std::{
    cmp::Reverse,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use crate::{Progress, walk::Seen};

/// Files from this size on are begun first, so that none is left to one thread at the end.
const LARGE: u64 = 16 * 1024 * 1024;

/// Files that wait to be read. It is over when it is full and nothing waits.
pub(crate) struct Queue<I> {
    state: Mutex<(Vec<I>, bool)>,
    changed: Condvar,
}

impl<I> Queue<I> {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new((Vec::new(), false)),
            changed: Condvar::new(),
        }
    }

    /// Takes what `feed` hands out, in the order that suits reading it.
    pub(super) fn fill<T>(
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

    /// The next one, waited for if need be.
    pub(crate) fn next(&self) -> Option<I> {
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

    /// The next one, if one waits now.
    pub(crate) fn try_next(&self) -> Option<I> {
        self.lock().0.pop()
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
