//! Passphrases: from a file, an open descriptor, or a terminal. Never an argument, which every user of the
//! host could read, and never the environment, which every child inherits.

use std::{
    cell::OnceCell,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use rustix::termios::{self, LocalModes, OptionalActions, Termios};
use zeroize::Zeroizing;

use super::secret;
use crate::{
    exit::{Exit, Exits, Failure, Next, Outcome},
    io::output::quote,
};

/// A passphrase longer than this is a file that was not meant.
const LONGEST: usize = 1024;

/// Sources of passphrases.
#[derive(Debug, Default, clap::Args)]
pub struct PassphraseArgs {
    /// A file whose first line is the passphrase of the encrypted keys, or the
    /// PIN of a device; without it, it is asked for on the terminal
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// An open file descriptor to read it from instead
    #[arg(long, value_name = "N", conflicts_with = "passphrase_file")]
    passphrase_fd: Option<u32>,
}

/// Passphrase, which is read at most once, and only if a key needs it.
#[derive(Debug)]
pub struct Passphrase<'a> {
    args: &'a PassphraseArgs,
    read: OnceCell<Zeroizing<Vec<u8>>>,
}

impl PassphraseArgs {
    /// Nothing is read yet.
    pub fn source(&self) -> Passphrase<'_> {
        Passphrase {
            args: self,
            read: OnceCell::new(),
        }
    }

    /// Returns whether a file or a descriptor was given.
    pub fn is_given(&self) -> bool {
        self.passphrase_file.is_some() || self.passphrase_fd.is_some()
    }

    /// A new passphrase, which a terminal asks for twice.
    pub fn new_passphrase(&self) -> Outcome<Zeroizing<Vec<u8>>> {
        if let Some(given) = self.given()? {
            return Ok(given);
        }
        let (first, second) = (ask("New passphrase")?, ask("The same again")?);
        if first != second {
            return Err(Failure::new(Exit::Usage, "the two passphrases differ"));
        }
        Ok(first)
    }

    /// The one that does not come from a terminal.
    fn given(&self) -> Outcome<Option<Zeroizing<Vec<u8>>>> {
        match (&self.passphrase_file, self.passphrase_fd) {
            (Some(path), _) => from_file(path).map(Some),
            // Opened anew by its name: a descriptor that is a number belongs to nobody in particular.
            (None, Some(fd)) => {
                let what = format!("the descriptor {fd}");
                let file = File::open(format!("/proc/self/fd/{fd}"))
                    .with_context(|| format!("failed to read the passphrase from {what}"))
                    .exits(Exit::Undecided)?;
                read(file, &what).map(Some)
            }
            (None, None) => Ok(None),
        }
    }
}

/// The first line of a file, which only its owner may read.
pub fn from_file(path: &Path) -> Outcome<Zeroizing<Vec<u8>>> {
    read(secret::open(path, "secret in")?, &quote(path))
}

fn read(file: File, what: &str) -> Outcome<Zeroizing<Vec<u8>>> {
    let reading = || format!("failed to read the passphrase from {what}");
    let line = first_line(file)
        .with_context(reading)
        .exits(Exit::Undecided)?;
    not_empty(line, &reading())
}

impl Passphrase<'_> {
    /// The passphrase. One from a file or a descriptor is for all keys, a terminal is asked for each.
    pub fn get(&self, prompt: &str) -> Outcome<Zeroizing<Vec<u8>>> {
        if let Some(read) = self.read.get() {
            return Ok(read.clone());
        }
        match self.args.given()? {
            Some(given) => Ok(self.read.get_or_init(|| given).clone()),
            None => ask(prompt),
        }
    }
}

/// Up to the first newline, which belongs to the file, or to the return key. Byte by byte, into memory that
/// does not move: what is left behind by a move would not be overwritten.
#[expect(clippy::unbuffered_bytes, reason = "a buffer would keep a copy")]
fn first_line(file: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST));
    for byte in file.bytes() {
        match byte? {
            b'\n' => break,
            _ if line.len() == LONGEST => {
                let long = format!("its first line has more than {LONGEST} bytes");
                return Err(io::Error::other(long));
            }
            byte => line.push(byte),
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(line)
}

fn not_empty(line: Zeroizing<Vec<u8>>, reading: &str) -> Outcome<Zeroizing<Vec<u8>>> {
    if line.is_empty() {
        return Err(Failure::new(Exit::Usage, format!("{reading}: it is empty")));
    }
    Ok(line)
}

/// Asks on the terminal, which shows nothing of it. Without one nobody is asked: a pipe on standard input
/// is no person.
fn ask(prompt: &str) -> Outcome<Zeroizing<Vec<u8>>> {
    let reading = "failed to ask for a passphrase";
    let tty = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/tty")
        .context("no terminal")
        .context(reading)
        .exits(Exit::Usage)
        .or_next(|| "give --passphrase-file FILE or --passphrase-fd N".to_owned())?;
    let line = Silent::new(&tty)
        .and_then(|_silent| {
            write!(&tty, "{prompt}: ")?;
            first_line(&tty)
        })
        .context(reading)
        .exits(Exit::Undecided)?;
    not_empty(line, reading)
}

/// A terminal without echo, for as long as this lives.
struct Silent<'a> {
    tty: &'a File,
    before: Termios,
}

impl<'a> Silent<'a> {
    fn new(tty: &'a File) -> io::Result<Self> {
        let before = termios::tcgetattr(tty)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        silent.local_modes.insert(LocalModes::ECHONL);
        termios::tcsetattr(tty, OptionalActions::Flush, &silent)?;
        Ok(Self { tty, before })
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        // A terminal that hung up has nothing to restore.
        let _ = termios::tcsetattr(self.tty, OptionalActions::Flush, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passphrase_is_first_line_without_line_ending() {
        for (file, passphrase) in [
            (&b"secret"[..], &b"secret"[..]),
            (b"secret\n", b"secret"),
            (b"secret\r\nmore\n", b"secret"),
            (b" two words \n", b" two words "),
            (b"\nsecret\n", b""),
        ] {
            assert_eq!(*first_line(file).unwrap(), passphrase);
        }
        assert_eq!(first_line(&[b'x'; LONGEST][..]).unwrap().len(), LONGEST);
        assert!(first_line(&[b'x'; LONGEST + 1][..]).is_err());
    }

    #[test]
    fn empty_exposed_or_missing_passphrase_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("passphrase");
        let args = PassphraseArgs {
            passphrase_file: Some(file.clone()),
            passphrase_fd: None,
        };
        std::fs::write(&file, "secret\n").unwrap();
        let open_to_all = args.source().get("").unwrap_err().to_string();
        assert!(open_to_all.contains("chmod 0600"), "{open_to_all}");
        let own = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&file, own).unwrap();
        assert_eq!(*args.source().get("").unwrap(), b"secret");
        std::fs::write(&file, "\nsecret\n").unwrap();
        assert_eq!(args.source().get("").unwrap_err().exit(), Exit::Usage);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(args.source().get("").unwrap_err().exit(), Exit::Undecided);
    }
}
