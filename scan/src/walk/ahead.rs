//! Reads directories ahead of who wants them, many at a time and as far as there is room.
//!
//! Directories wait in the order in which they will be wanted, so that what is read first is wanted first. One
//! that is wanted and that nobody began to read is for the caller to read: it never waits for room.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use super::{
    Directory,
    list::{Lister, Listing},
};

/// Bytes in lists that wait, from which on nothing more is begun.
const AHEAD: usize = 6 * 1024 * 1024;
/// Bytes in lists that wait and are being read, from which on one that is being read is given up.
const MOST: usize = 12 * 1024 * 1024;
/// Bytes in one list that is kept.
const LIST: usize = 4 * 1024 * 1024;

/// Directories that wait to be read, and those that were.
pub(super) struct Ahead {
    state: Mutex<State>,
    /// There is something to read, and room for it.
    work: Condvar,
    /// The wanted listing was read.
    arrived: Condvar,
    is_bounded: bool,
}

struct State {
    waiting: BTreeMap<Vec<u8>, Directory>,
    being_read: BTreeSet<Vec<u8>>,
    read: BTreeMap<Vec<u8>, Listing>,
    bytes: usize,
    /// Position of the walk: directories before it are no longer wanted.
    position: Vec<u8>,
    wanted: Option<Vec<u8>>,
    idle_threads: usize,
    is_over: bool,
}

impl Ahead {
    pub(super) fn new(is_bounded: bool) -> Self {
        Self {
            state: Mutex::new(State {
                waiting: BTreeMap::new(),
                being_read: BTreeSet::new(),
                read: BTreeMap::new(),
                bytes: 0,
                position: Vec::new(),
                wanted: None,
                idle_threads: 0,
                is_over: false,
            }),
            work: Condvar::new(),
            arrived: Condvar::new(),
            is_bounded,
        }
    }

    /// Reads what waits, until it is over.
    pub(super) fn serve(&self, mut lister: Lister<'_>) {
        while let Some((key, directory)) = self.next() {
            let listing = lister.read(&directory, &mut |more, bytes| self.may_grow(more, bytes));
            self.keep(key, listing, &lister);
        }
    }

    /// Charges `more` bytes, and returns whether a list may then have `bytes`.
    pub(super) fn may_grow(&self, more: usize, bytes: usize) -> bool {
        let mut state = self.lock();
        state.bytes = state.bytes.saturating_add(more);
        // A measured root is its builder's own, and all its names are needed at once; a verified one may be hostile.
        !self.is_bounded || (bytes <= LIST && state.bytes <= MOST)
    }

    /// Releases bytes that were charged.
    pub(super) fn give_back(&self, bytes: usize) {
        let mut state = self.lock();
        state.bytes = state.bytes.saturating_sub(bytes);
    }

    fn next(&self) -> Option<(Vec<u8>, Directory)> {
        let mut state = self.lock();
        loop {
            if state.is_over {
                return None;
            }
            if self.has_room(&state)
                && let Some((key, directory)) = state.waiting.pop_first()
            {
                state.being_read.insert(key.clone());
                return Some((key, directory));
            }
            state.idle_threads = state.idle_threads.saturating_add(1);
            state = self
                .work
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.idle_threads = state.idle_threads.saturating_sub(1);
        }
    }

    fn keep(&self, key: Vec<u8>, listing: Listing, lister: &Lister<'_>) {
        let found = directories(&listing, lister);
        let mut state = self.lock();
        state.being_read.remove(&key);
        state.bytes = state.bytes.saturating_sub(listing.charged);
        // The walk did not enter it, and is past it: nobody would take the list, which would hold its bytes to the end.
        if key < state.position {
            return;
        }
        // A flood holds no names: its size is only where it was given up.
        if !listing.is_flood {
            state.bytes = state.bytes.saturating_add(listing.bytes);
        }
        let is_wanted = state.wanted.as_ref() == Some(&key);
        state.read.insert(key, listing);
        // This thread takes one of them itself, and no more threads are woken than there is work for.
        let woken = found.len().saturating_sub(1).min(state.idle_threads);
        state.waiting.extend(found);
        drop(state);
        if is_wanted {
            self.arrived.notify_one();
        }
        (0..woken).for_each(|_| self.work.notify_one());
    }

    /// Has these read, if there is room.
    pub(super) fn add(&self, listing: &Listing, lister: &Lister<'_>) {
        self.add_each(directories(listing, lister));
    }

    /// Has one read, if there is room.
    pub(super) fn add_one(&self, directory: Directory) {
        self.add_each(vec![(directory.key(), directory)]);
    }

    fn add_each(&self, found: Vec<(Vec<u8>, Directory)>) {
        let mut state = self.lock();
        let woken = found.len().min(state.idle_threads);
        for (key, directory) in found {
            // It may have been read before its directory was found to hold too much.
            if !state.being_read.contains(&key) && !state.read.contains_key(&key) {
                state.waiting.insert(key, directory);
            }
        }
        drop(state);
        (0..woken).for_each(|_| self.work.notify_one());
    }

    /// Returns the listing of a directory, waited for if it is being read; nothing if nobody began to. Directories
    /// before it are no longer wanted.
    pub(super) fn take(&self, directory: &Directory) -> Option<Listing> {
        let key = directory.key();
        let mut state = self.lock();
        state.pass(&key);
        loop {
            if let Some(listing) = state.read.remove(&key) {
                if !listing.is_flood {
                    state.bytes = state.bytes.saturating_sub(listing.bytes);
                }
                self.wake_one(state);
                return Some(listing);
            }
            // Not begun, so the walk reads it: a reader would first wait for room, which the walk alone makes.
            if state.waiting.remove(&key).is_some() || !state.being_read.contains(&key) {
                return None;
            }
            state.wanted = Some(key.clone());
            state = self
                .arrived
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Nothing beneath the directory is wanted.
    pub(super) fn skip(&self, directory: &Directory) {
        let mut beyond = directory.path.as_bytes().to_vec();
        // The byte after the slash: greater than all that is beneath, and no greater than what follows.
        beyond.push(b'/' + 1);
        let mut state = self.lock();
        state.pass(&beyond);
        self.wake_one(state);
    }

    /// Nothing more is wanted.
    pub(super) fn end(&self) {
        self.lock().is_over = true;
        self.work.notify_all();
    }

    fn wake_one(&self, state: MutexGuard<'_, State>) {
        let has_work = state.idle_threads > 0 && !state.waiting.is_empty() && self.has_room(&state);
        drop(state);
        if has_work {
            self.work.notify_one();
        }
    }

    fn has_room(&self, state: &State) -> bool {
        !self.is_bounded || state.bytes < AHEAD
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Forgets all that lies before `key`.
    fn pass(&mut self, key: &[u8]) {
        while let Some(first) = self.waiting.first_entry()
            && first.key().as_slice() < key
        {
            first.remove();
        }
        while let Some(first) = self.read.first_entry()
            && first.key().as_slice() < key
        {
            let listing = first.remove();
            if !listing.is_flood {
                self.bytes = self.bytes.saturating_sub(listing.bytes);
            }
        }
        self.position = key.to_vec();
    }
}

/// The directories in a list that are to be read in their turn.
fn directories(listing: &Listing, lister: &Lister<'_>) -> Vec<(Vec<u8>, Directory)> {
    let seen = listing.met.iter().filter_map(|met| match met {
        super::list::Met::Seen(seen) => Some(seen),
        super::list::Met::Doubt(_) => None,
    });
    seen.filter_map(|seen| lister.scope.directory(seen, listing.directory.is_state))
        .map(|directory| (directory.key(), directory))
        .collect()
}
