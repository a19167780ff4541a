//! Spools of cron and at: directories into which set-uid and set-gid programs put what people want to be run later.
//! Anybody may have it there, and as much of it as they like.

use std::ops::ControlFlow::{Break, Continue};

use rustix::fs::{Dir, Mode, OFlags};

use super::{
    super::{
        cause::Probe,
        item::{Seen, Strength, Unseen},
        look::{Look, attributes},
    },
    Spool,
};

/// Names in a spool that are looked at.
const MOST: usize = 65_536;
/// Files of others that are looked into; the rest counts as having something in it.
const LOOKED_INTO: usize = 4_096;
/// As fcron and its editor name a table of root's.
const ROOTS: [&str; 3] = ["root", "root.orig", "new.root"];

/// Counts of the files that wait, for root and for others.
#[derive(Debug, Default)]
struct Waiting {
    is_there: bool,
    of_root: usize,
    of_others: usize,
    names: usize,
}

/// Counts the files with content in these directories, separately for root and for others. Their owners and their
/// content stay out of reports: they are private.
pub(super) fn waiting(look: &Look<'_>, spool: Spool, places: &[&str]) -> [Seen; 2] {
    let mut waiting = Waiting::default();
    let mut unseen = None;
    for place in places {
        // The next place is looked at all the same: a full spool must not hide a job of root's in another one.
        if let Err(problem) = count(look, spool, place, &mut waiting) {
            unseen = Some(problem);
        }
    }
    [waiting.of_root, waiting.of_others].map(|count| match (count, &unseen) {
        (0, Some(unseen)) => Seen::from(unseen.clone()),
        (0, None) if waiting.is_there => Seen::Shut(Strength::Reversible, "none".to_owned()),
        (0, None) => Seen::Absent("no such directory".to_owned()),
        (count, _) => Seen::Open(format!("{count} not empty")),
    })
}

fn count(look: &Look<'_>, spool: Spool, place: &str, waiting: &mut Waiting) -> Result<(), Unseen> {
    let reached = look.reach(place).map_err(|missed| missed.why)?;
    let Some(directory) = reached.filter(|reached| reached.kind.is_dir()) else {
        return Ok(());
    };
    waiting.is_there = true;
    let failed = |errno| Unseen::errno(errno, format!("failed to list '{place}': {errno}"));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // Of the directory that was reached: its path may lead elsewhere by now.
    let directory = rustix::fs::openat(&directory.place, c".", flags, Mode::empty());
    let directory = directory.map_err(failed)?;
    let mut names = Dir::read_from(&directory).map_err(failed)?;
    let end = names.try_for_each(|entry| {
        let entry = match entry {
            Ok(entry) => entry,
            Err(errno) => return Break(failed(errno)),
        };
        let name = entry.file_name().to_string_lossy();
        // at keeps its counter so, and cron passes such names over.
        if name.starts_with('.') {
            return Continue(());
        }
        waiting.names = waiting.names.saturating_add(1);
        if waiting.names > MOST {
            let text = format!("'{place}' has more than {MOST} files");
            return Break(Unseen::Unfit(Probe::SpoolFit, text));
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // By its bytes: a name that is no text would be another one, and so none.
        let file = rustix::fs::openat(&directory, entry.file_name(), flags, Mode::empty());
        let stat = match file.and_then(attributes) {
            Ok(stat) => stat,
            // What went meanwhile waits no longer.
            Err(rustix::io::Errno::NOENT) => return Continue(()),
            Err(errno) => return Break(failed(errno)),
        };
        let kind = rustix::fs::FileType::from_raw_mode(stat.stx_mode.into());
        if kind.is_dir() {
            return Continue(());
        }
        let is_roots = match spool {
            Spool::OfNames => ROOTS.contains(&&*name),
            Spool::OfOwners => stat.stx_uid == look.owner(),
        };
        let counted = if is_roots {
            &mut waiting.of_root
        } else {
            &mut waiting.of_others
        };
        let is_beyond = !is_roots && *counted >= LOOKED_INTO;
        let is_text = std::str::from_utf8(entry.file_name().to_bytes()).is_ok();
        if is_beyond || !is_text || look.has_content(&directory, &name) {
            *counted = counted.saturating_add(1);
        }
        Continue(())
    });
    match end {
        Break(unseen) => Err(unseen),
        Continue(()) => Ok(()),
    }
}
