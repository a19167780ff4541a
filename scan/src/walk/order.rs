//! Brings what a walk meets in the order of the paths.
//!
//! `a.b` lies between `a` and `a/b`, so that a directory comes twice: as a name among others, and, later, with
//! what it holds. The lists on the way to where the walk is are all that is held; no descriptor is.

use std::{os::fd::OwnedFd, thread};

use earmark_manifest::path::ImagePath;
use rustix::fs::{AtFlags, Mode, OFlags};

use super::{
    Directory, Scope, Seen, Stat, Step, Visitor,
    ahead::Ahead,
    flood::Flood,
    is_past,
    list::{Lister, Met},
};
use crate::{Root, ScanError, root::statx, source, threads::spawn_up_to, xattr::XattrReader};

/// Directories read at once. Measured cold: one thread 2.6 s, sixteen 0.9 s.
const THREADS: usize = 16;
/// Bytes in the lists on the way to where the walk is. What goes beyond that is held as far as it was signed.
const HELD: usize = 8 * 1024 * 1024;

/// Walks the root. Fails only if the walk as a whole cannot be made; what goes wrong at one path is
/// a doubt about that path.
pub(crate) fn walk(
    root: &Root,
    scope: &Scope<'_>,
    visitor: &mut dyn Visitor,
) -> Result<(), ScanError> {
    if let Some(source) = root.source() {
        return source::walk(source, scope, visitor);
    }
    let top = top(root, scope)?;
    // The caller's thread reads, too, and gets its working directory back.
    let _place = Place::of_this_thread()?;
    let lister = Lister::new(root, scope)?;
    let ahead = Ahead::new(scope.signed.is_some());
    thread::scope(|threads| {
        let serve = || {
            if let Ok(lister) = Lister::new(root, scope) {
                ahead.serve(lister);
            }
        };
        // This thread reads what they have not begun: with fewer of them, or none, it takes longer.
        let workers = spawn_up_to(threads, THREADS, serve);
        {
            let _end = End(&ahead);
            let mut walk = Walk {
                ahead: &ahead,
                lister,
                visitor,
                way: Vec::new(),
                held: 0,
            };
            walk.run(top);
        }
        workers.join();
    });
    Ok(())
}

fn top(root: &Root, scope: &Scope<'_>) -> Result<Seen, ScanError> {
    // By the descriptor: the path may name another directory since it was opened.
    let stat = statx(root.as_fd(), c"", AtFlags::EMPTY_PATH)
        .map_err(|errno| whole("look at", errno.into()))?;
    let mut xattrs = XattrReader::new();
    Ok(Seen {
        path: ImagePath::root(),
        class: scope.rules.class_of(&ImagePath::root()),
        // The root may well be a mount: it is where the image begins.
        stat: Stat {
            mount: false,
            ..Stat::of(&stat)
        },
        target: None,
        xattrs: Some(
            xattrs
                .of_descriptor(root.as_fd())
                .map_err(|errno| whole("read attributes of", errno.into()))?,
        ),
    })
}

pub(super) fn whole(what: &'static str, cause: std::io::Error) -> ScanError {
    ScanError {
        what,
        place: "/".to_owned(),
        cause,
    }
}

/// The working directory that a thread has, and has again afterwards.
struct Place(OwnedFd);

impl Place {
    fn of_this_thread() -> Result<Self, ScanError> {
        // O_PATH: a directory that the caller may search and not list can still be returned to.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(c".", flags, Mode::empty())
            .map(Self)
            .map_err(|errno| {
                whole(
                    "keep the working directory during the walk of",
                    errno.into(),
                )
            })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Nothing that comes later names a file by a path that would be misled: it fails instead.
        let _ = rustix::process::fchdir(&self.0);
    }
}

/// However the walk ends, the threads must not wait for more of it.
struct End<'a>(&'a Ahead);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

struct Walk<'a> {
    ahead: &'a Ahead,
    lister: Lister<'a>,
    visitor: &'a mut dyn Visitor,
    /// The directories on the way to where the walk is.
    way: Vec<Level>,
    /// Bytes in them.
    held: usize,
}

/// A directory that is being gone through.
struct Level {
    is_state: bool,
    source: Source,
    next: Option<Met>,
    /// Directories whose names came, and not yet what they hold, and whether that is wanted.
    pending: Vec<(Directory, bool)>,
    bytes: usize,
}

enum Source {
    List(std::vec::IntoIter<Met>),
    Flood(Flood),
}

/// Next item at a level.
enum Next {
    Contents(Directory, bool),
    Name(Met),
    End,
}

impl Walk<'_> {
    fn run(&mut self, top: Seen) {
        let directory = Directory {
            path: ImagePath::root(),
            is_state: false,
        };
        if self.visitor.see(top, false) == Step::Enter {
            self.enter(&directory);
        }
        while let Some(level) = self.way.last_mut() {
            let is_state = level.is_state;
            match level.next(&mut self.lister, self.visitor) {
                Next::Contents(directory, true) => self.enter(&directory),
                Next::Contents(directory, false) => self.ahead.skip(&directory),
                Next::Name(Met::Doubt(doubt)) => self.visitor.doubt(doubt),
                Next::Name(Met::Seen(seen)) => {
                    let directory = self.lister.scope.directory(&seen, is_state);
                    let step = self.visitor.see(seen, is_state);
                    if step == Step::Stop {
                        return;
                    }
                    let Some(directory) = directory else { continue };
                    let is_entered = step == Step::Enter;
                    // A list has all its directories read ahead when it comes; a flood gives them one by one.
                    if is_entered && matches!(level.source, Source::Flood(_)) {
                        self.ahead.add_one(directory.clone());
                    }
                    level.pending.push((directory, is_entered));
                }
                Next::End => {
                    let level = self.way.pop();
                    let bytes = level.map_or(0, |level| level.bytes);
                    self.held = self.held.saturating_sub(bytes);
                }
            }
        }
    }

    fn enter(&mut self, directory: &Directory) {
        let mut listing = self.ahead.take(directory).unwrap_or_else(|| {
            let ahead = self.ahead;
            let mut may_grow = |more, bytes| ahead.may_grow(more, bytes);
            let listing = self.lister.read(directory, &mut may_grow);
            // What is on the way is bounded by `HELD`, and no longer counts against the readers.
            ahead.give_back(listing.charged);
            ahead.add(&listing, &self.lister);
            listing
        });
        // Before the names: an entry whose name was not listed must find the doubt, and not be missing.
        for doubt in std::mem::take(&mut listing.troubles) {
            self.visitor.doubt(doubt);
        }
        let is_bounded = self.lister.scope.signed.is_some();
        // 300 levels of 3,000 long names took 1.1 GiB when all lists were held (docs/bounds.md).
        let is_too_much = is_bounded && self.held.saturating_add(listing.bytes) > HELD;
        let (source, bytes) = if listing.is_flood || is_too_much {
            // Before the flood takes memory for its first part.
            drop(listing);
            let flood = Flood::begin(directory.clone(), &mut self.lister, self.visitor);
            (Source::Flood(flood), 0)
        } else {
            (Source::List(listing.met.into_iter()), listing.bytes)
        };
        self.held = self.held.saturating_add(bytes);
        self.way.push(Level {
            is_state: directory.is_state,
            source,
            next: None,
            pending: Vec::new(),
            bytes,
        });
    }
}

impl Level {
    fn next(&mut self, lister: &mut Lister<'_>, visitor: &mut dyn Visitor) -> Next {
        if self.next.is_none() {
            self.next = match &mut self.source {
                Source::List(met) => met.next(),
                Source::Flood(flood) => flood.next(lister, visitor),
            };
        }
        // The one that came last holds what comes first: `a!/` lies before `a/`.
        let is_due = |(directory, _): &mut (Directory, bool)| {
            self.next
                .as_ref()
                .is_none_or(|next| is_past(next.path(), &directory.path))
        };
        if let Some((directory, is_entered)) = self.pending.pop_if(is_due) {
            return Next::Contents(directory, is_entered);
        }
        self.next.take().map_or(Next::End, Next::Name)
    }
}
