//! Names in directories that change together or not at all.
//!
//! A directory is exchanged as a whole where the file system can. overlayfs without `redirect_dir` cannot
//! rename a directory of its lower layer (EXDEV, Linux 4.10 to 6.x): there the files are exchanged, one by
//! one and back again like everything else that is staged.

use std::{io, os::fd::OwnedFd, thread, time::Duration};

use rustix::{
    fs::{self, AtFlags, FlockOperation, Mode, RenameFlags, Stat},
    io::Errno,
};

use super::{
    Ownership,
    object::{Metadata, chown, open_directory, remove, write_file},
};
use crate::io::output;

/// Content of a new name.
pub(super) enum Content<'a> {
    File(&'a [u8]),
    /// Files and the metadata of each.
    Directory(&'a [(&'a str, &'a [u8])], &'a Metadata),
}

/// Changes that were made and can be taken back, last first. Dropping it without
/// [`Transaction::commit`] having succeeded takes them back.
pub(super) struct Transaction<'a> {
    checkpoint: &'a dyn Fn(&str) -> io::Result<()>,
    directories: Vec<(OwnedFd, String, Option<Stat>)>,
    staged: Vec<Staged>,
    /// Number of objects of `staged` that are in place.
    exchanged: usize,
    committed: bool,
}

struct Staged {
    directory: OwnedFd,
    name: String,
    /// True, if the name was taken; the temporary name then holds what had it.
    replaces: bool,
    /// The names in it and its own metadata, if it is a directory.
    inside: Option<(Vec<String>, Metadata)>,
}

pub(super) use crate::io::files::TEMPORARY;

/// Returns the name under which a new object waits for its own, and an old one for its removal.
pub(super) fn temporary_name(name: &str) -> String {
    format!("{TEMPORARY}{name}")
}

/// Attempts to take the lock, and the wait in between: a second in all.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// Keeps a second run out. The lock ends with the last copy of the descriptor: a process that one of
/// its threads was just starting has one, until it becomes another program.
pub(super) fn lock(directory: &OwnedFd) -> io::Result<()> {
    let lock = || fs::flock(directory, FlockOperation::NonBlockingLockExclusive);
    let mut locked = lock();
    for _ in 1..TRIES {
        if locked != Err(Errno::WOULDBLOCK) {
            break;
        }
        thread::sleep(PAUSE);
        locked = lock();
    }
    locked.map_err(|errno| match errno {
        Errno::WOULDBLOCK => io::Error::other("another earmark is running in this root"),
        errno => errno.into(),
    })
}

impl<'a> Transaction<'a> {
    pub(super) fn new(checkpoint: &'a dyn Fn(&str) -> io::Result<()>) -> Self {
        Self {
            checkpoint,
            directories: Vec::new(),
            staged: Vec::new(),
            exchanged: 0,
            committed: false,
        }
    }

    /// Makes the directory `name`, or gives an existing one this mode and owner.
    pub(super) fn ensure_directory(
        &mut self,
        parent: &OwnedFd,
        name: &str,
        metadata: &Metadata,
    ) -> io::Result<()> {
        (self.checkpoint)("make a directory")?;
        let created = match fs::mkdirat(parent, name, Mode::from_raw_mode(0o700)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(errno) => return Err(errno.into()),
        };
        let undo = |before| -> io::Result<_> { Ok((parent.try_clone()?, name.to_owned(), before)) };
        if created {
            self.directories.push(undo(None)?);
        }
        let directory = open_directory(parent, name)?;
        let before = fs::fstat(&directory)?;
        if metadata.is_that_of(&before) {
            return Ok(());
        }
        if !created {
            self.directories.push(undo(Some(before))?);
        }
        (self.checkpoint)("set a directory's mode")?;
        metadata.apply(&directory)
    }

    /// Writes and syncs what `name` is to hold, beside it.
    pub(super) fn stage(
        &mut self,
        directory: &OwnedFd,
        name: &str,
        content: &Content<'_>,
        metadata: &Metadata,
    ) -> io::Result<()> {
        let temporary = temporary_name(name);
        self.staged.push(Staged {
            directory: directory.try_clone()?,
            name: name.to_owned(),
            replaces: false,
            inside: match content {
                Content::File(_) => None,
                Content::Directory(files, _) => {
                    let names = files.iter().map(|(name, _)| (*name).to_owned());
                    Some((names.collect(), metadata.clone()))
                }
            },
        });
        (self.checkpoint)("write")?;
        match content {
            Content::File(bytes) => write_file(directory, &temporary, bytes, metadata),
            Content::Directory(files, each) => {
                fs::mkdirat(directory, &temporary, Mode::from_raw_mode(0o700))?;
                let made = open_directory(directory, &temporary)?;
                for (name, bytes) in *files {
                    (self.checkpoint)("write")?;
                    write_file(&made, name, bytes, each)?;
                }
                metadata.apply(&made)?;
                Ok(fs::fsync(&made)?)
            }
        }
    }

    /// Puts all that is staged in place, and removes what it replaced.
    pub(super) fn commit(mut self) -> io::Result<()> {
        while let Some(staged) = self.staged.get_mut(self.exchanged) {
            (self.checkpoint)("rename")?;
            match staged.exchange() {
                Err(Errno::XDEV) if staged.inside.is_some() => self.split()?,
                Err(errno) => return Err(errno.into()),
                Ok(()) => self.exchanged += 1,
            }
        }
        for staged in &self.staged {
            (self.checkpoint)("sync")?;
            fs::fsync(&staged.directory)?;
        }
        for (parent, _, _) in &self.directories {
            fs::fsync(parent)?;
        }
        self.committed = true;
        // The new state is whole. What cannot be removed now is an extra entry to a verification,
        // so that it must be said.
        let mut left = Ok(());
        for staged in self.staged.iter().filter(|staged| staged.replaces) {
            let removed = (self.checkpoint)("remove what was replaced")
                .and_then(|()| remove(&staged.directory, &temporary_name(&staged.name)));
            left = left.and(removed.map(drop).map_err(|error| {
                let name = temporary_name(&staged.name);
                io::Error::other(format!(
                    "everything is in place, but '{name}' could not be removed ({error}): run this \
                     again"
                ))
            }));
        }
        left
    }

    /// Puts the files of the directory that is next in its place, instead of itself: each waits beside the
    /// one that it replaces, in the directory that is there, which gets the new one's mode and owner.
    fn split(&mut self) -> io::Result<()> {
        let Some(whole) = self.staged.get(self.exchanged) else {
            return Ok(());
        };
        let (parent, name) = (whole.directory.try_clone()?, whole.name.clone());
        let Some((files, metadata)) = whole.inside.clone() else {
            return Ok(());
        };
        let temporary = temporary_name(&name);
        let from = open_directory(&parent, &temporary)?;
        let to = open_directory(&parent, &name)?;
        let before = fs::fstat(&to)?;
        if !metadata.is_that_of(&before) {
            let undo = (parent.try_clone()?, name, Some(before));
            self.directories.push(undo);
            (self.checkpoint)("set a directory's mode")?;
            metadata.apply(&to)?;
        }
        for file in files {
            self.staged.push(Staged {
                directory: to.try_clone()?,
                name: file.clone(),
                replaces: false,
                inside: None,
            });
            (self.checkpoint)("move a file")?;
            let beside = temporary_name(&file);
            fs::renameat_with(&from, &file, &to, beside, RenameFlags::NOREPLACE)?;
        }
        (self.checkpoint)("remove the directory that stays empty")?;
        fs::unlinkat(&parent, temporary, AtFlags::REMOVEDIR)?;
        self.staged.remove(self.exchanged);
        Ok(())
    }
}

impl Staged {
    fn exchange(&mut self) -> rustix::io::Result<()> {
        let temporary = temporary_name(&self.name);
        let rename = |flags| {
            fs::renameat_with(
                &self.directory,
                &temporary,
                &self.directory,
                &self.name,
                flags,
            )
        };
        match rename(RenameFlags::EXCHANGE) {
            Ok(()) => self.replaces = true,
            Err(Errno::NOENT) => rename(RenameFlags::NOREPLACE)?,
            Err(errno) => return Err(errno),
        }
        Ok(())
    }

    fn take_back(&self) -> io::Result<()> {
        let flags = if self.replaces {
            RenameFlags::EXCHANGE
        } else {
            RenameFlags::NOREPLACE
        };
        let temporary = temporary_name(&self.name);
        fs::renameat_with(
            &self.directory,
            &self.name,
            &self.directory,
            &temporary,
            flags,
        )?;
        Ok(())
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        let say = |what: &str, name: &str, result: io::Result<()>| {
            if let Err(error) = result {
                output::note(&format!("failed to {what} '{name}': {error}"));
            }
        };
        for staged in self.staged.iter().take(self.exchanged).rev() {
            say("put back", &staged.name, staged.take_back());
        }
        for staged in self.staged.iter().rev() {
            let temporary = temporary_name(&staged.name);
            let removed = remove(&staged.directory, &temporary).map(drop);
            say("remove", &temporary, removed);
        }
        for (parent, name, before) in self.directories.iter().rev() {
            let undone = match before {
                None => fs::unlinkat(parent, name, AtFlags::REMOVEDIR).map_err(Into::into),
                Some(before) => restore(parent, name, before),
            };
            say("put back", name, undone);
        }
    }
}

fn restore(parent: &OwnedFd, name: &str, before: &Stat) -> io::Result<()> {
    let directory = open_directory(parent, name)?;
    let owner = Ownership {
        uid: before.st_uid,
        gid: before.st_gid,
    };
    chown(&directory, owner)?;
    Ok(fs::fchmod(
        &directory,
        Mode::from_raw_mode(before.st_mode & 0o7777),
    )?)
}
