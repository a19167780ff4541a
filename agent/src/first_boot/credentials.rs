//! Secrets for one step: a file each, in a directory in memory that nobody else may enter and that is
//! gone when the step is.
//!
//! Protects against a secret in arguments, in an environment that children inherit, in a log, and on a
//! disk. Does not protect against another program that runs as root at the same time.

use std::{fs::File, io::Write, os::fd::OwnedFd};

use earmark_manifest::name::ParameterName;
use earmark_scan::Root;
use rustix::fs::{AtFlags, Mode, OFlags};

use crate::{exec::Failure, parameters::Values};

/// Beneath the root, which is the host's own: a tmpfs, made by the service manager for this service.
const PARENT: &str = "run/earmark-first-boot";
const NAME: &str = "credentials";
/// `f_type` of a tmpfs and of a ramfs.
const IN_MEMORY: [u32; 2] = [0x0102_1994, 0x8584_58f6];

/// The directory, which is removed with all that is in it when this goes out of scope.
#[derive(Debug)]
pub struct Credentials {
    parent: OwnedFd,
    directory: OwnedFd,
    names: Vec<String>,
}

impl Credentials {
    /// Writes the secrets; nothing if there are none.
    pub fn make(
        root: &Root,
        values: &Values,
        secrets: &[ParameterName],
    ) -> Result<Option<Self>, Failure> {
        if secrets.is_empty() {
            return Ok(None);
        }
        let mut credentials = Self::open(root)
            .map_err(|error| format!("failed to make '/{PARENT}/{NAME}': {error}"))?;
        for secret in secrets {
            // Without a value there is no file: an optional secret that was not given.
            if let Some(value) = values.get(secret.as_str()) {
                credentials
                    .write(secret.as_str(), value.text().as_bytes())
                    .map_err(|error| format!("failed to write the secret '{secret}': {error}"))?;
            }
        }
        Ok(Some(credentials))
    }

    /// Returns the path of the directory, for the step.
    pub fn path() -> String {
        format!("/{PARENT}/{NAME}")
    }

    fn open(root: &Root) -> std::io::Result<Self> {
        let root = root.as_fd();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let private = Mode::from_raw_mode(0o700);
        match rustix::fs::mkdirat(root, PARENT, private) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let parent = rustix::fs::openat(root, PARENT, flags, Mode::empty())?;
        // A tmpfs is swapped out where the host has swap: this does not keep a secret off that.
        let is_in_memory = u32::try_from(rustix::fs::fstatfs(&parent)?.f_type)
            .is_ok_and(|kind| IN_MEMORY.contains(&kind));
        // A /run that is no mount of its own lies on the disk, which keeps the blocks of a removed file.
        if !is_in_memory {
            return Err(std::io::Error::other("it would be on a disk"));
        }
        // One of a run that was killed.
        remove(&parent)?;
        // EEXIST is an error here: a directory that somebody else made may be open to them.
        rustix::fs::mkdirat(&parent, NAME, private)?;
        let directory = rustix::fs::openat(&parent, NAME, flags, Mode::empty())?;
        Ok(Self {
            parent,
            directory,
            names: Vec::new(),
        })
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.directory, name, flags, Mode::from_raw_mode(0o600))?;
        self.names.push(name.to_owned());
        File::from(file).write_all(bytes)
    }
}

impl Drop for Credentials {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = rustix::fs::unlinkat(&self.directory, name, AtFlags::empty());
        }
        if let Err(error) = remove(&self.parent) {
            complain!("earmark-agent: failed to remove '/{PARENT}/{NAME}': {error}");
        }
    }
}

/// Removes the directory and the files in it: there are no others.
fn remove(parent: &OwnedFd) -> std::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = match rustix::fs::openat(parent, NAME, flags, Mode::empty()) {
        Ok(directory) => directory,
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for entry in rustix::fs::Dir::read_from(&directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            rustix::fs::unlinkat(&directory, entry.file_name(), AtFlags::empty())?;
        }
    }
    rustix::fs::unlinkat(parent, NAME, AtFlags::REMOVEDIR).map_err(Into::into)
}
