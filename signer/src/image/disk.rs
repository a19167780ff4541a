//! The bytes of a disk, whatever its file's format.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Seek, SeekFrom},
    os::{
        fd::AsRawFd,
        unix::fs::{FileExt, FileTypeExt},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, anyhow};
use rustix::fs::{Mode, OFlags};

use crate::{
    exit::{Exit, Exits, Failure, Next, Outcome},
    output::quote,
    run::{self, Program},
};

const QCOW2: [u8; 4] = *b"QFI\xfb";
/// The header of version 3 as far as this reads it.
const HEADER: usize = 80;
/// Larger than any volume that an image is made for; what is not written takes no space.
const LARGEST: u64 = 1 << 46;
/// A large image on a slow disk.
const TIMEOUT: Duration = Duration::from_hours(2);

/// A disk that is only read.
#[derive(Debug)]
pub struct Disk {
    file: File,
    size: u64,
}

impl Disk {
    /// Opens a raw or a qcow2 image, or a block device. All that is done with it is done through this one
    /// descriptor: another file that takes its name meanwhile is not it.
    pub fn open(path: &Path) -> Outcome<Self> {
        let opening = || format!("failed to open the image {}", quote(path));
        // A pipe of that name would be waited for without end.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::open(path, flags, Mode::empty())
            .map(File::from)
            .map_err(io::Error::from)
            .with_context(opening)
            .exits(Exit::Undecided)?;
        let kind = file
            .metadata()
            .with_context(opening)
            .exits(Exit::Undecided)?
            .file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(anyhow!("it is neither a file nor a block device"))
                .with_context(opening)
                .exits(Exit::Usage)
                .or_next(|| "earmark verify --root verifies a directory".to_owned());
        }
        let disk = Self::of(file)
            .with_context(opening)
            .exits(Exit::Undecided)?;
        let header = Header::read(&disk)
            .with_context(|| format!("failed to read the image {}", quote(path)))
            .exits(Exit::Undecided)?;
        refuse_another_name(path, header.is_some())?;
        match header {
            None => Ok(disk),
            Some(header) => disk.unpack(&header, path),
        }
    }

    fn of(mut file: File) -> io::Result<Self> {
        let size = file.seek(SeekFrom::End(0))?;
        Ok(Self { file, size })
    }

    /// Bytes in it.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Fills `buffer` from `offset` on.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    /// The file itself, for looks at it.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// A name of the open file, for programs that this one starts and waits for.
    pub fn path(&self) -> PathBuf {
        descriptor(&self.file)
    }

    /// The raw disk in a qcow2, in a file without a name.
    fn unpack(&self, header: &Header, path: &Path) -> Outcome<Self> {
        if let Some(problem) = header.problem() {
            return Err(Failure::new(
                Exit::Undecided,
                format!("failed to read the image {}: {problem}", quote(path)),
            )
            .next("qemu-img convert -O raw makes a disk of it that stands alone, and which you can look at"));
        }
        let directory =
            std::env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
        let unpacking = || {
            let directory = quote(&directory);
            format!("failed to unpack {} in {directory}", quote(path))
        };
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let raw = rustix::fs::open(&directory, flags, Mode::RUSR | Mode::WUSR)
            .map(File::from)
            .map_err(io::Error::from)
            .and_then(|raw| raw.set_len(header.size).map(|()| raw))
            .with_context(unpacking)
            .exits(Exit::Undecided)?;
        let (from, to) = (self.path(), descriptor(&raw));
        // The format is given, never guessed: what is in an image must not choose how it is read.
        let words = "convert -f qcow2 -O raw -n --target-is-zero";
        let mut arguments: Vec<&OsStr> = words.split(' ').map(OsStr::new).collect();
        arguments.extend([from.as_os_str(), to.as_os_str()]);
        run::need(Program::QemuImg, &arguments, 4096, TIMEOUT)
            .map_err(|failure| failure.context(unpacking()))
            .or_next(|| "TMPDIR names a directory with room for the disk".to_owned())?;
        // For reading alone, so that no loop device made of it can be written through.
        let raw = File::open(to).with_context(unpacking)?;
        Ok(Self::of(raw).with_context(unpacking)?)
    }
}

/// What of a qcow2's header decides whether the file is all there is to it.
#[derive(Debug, PartialEq, Eq)]
struct Header {
    version: u32,
    backing: u64,
    size: u64,
    encryption: u32,
    features: u64,
}

impl Header {
    fn read(disk: &Disk) -> io::Result<Option<Self>> {
        let mut bytes = [0; HEADER];
        let there = usize::try_from(disk.size).unwrap_or(usize::MAX).min(HEADER);
        disk.read(0, &mut bytes[..there])?;
        Ok(Self::parse(&bytes))
    }

    fn parse(bytes: &[u8; HEADER]) -> Option<Self> {
        let number = |at: usize| u32::from_be_bytes(std::array::from_fn(|i| bytes[at + i]));
        let long = |at: usize| u64::from_be_bytes(std::array::from_fn(|i| bytes[at + i]));
        bytes.starts_with(&QCOW2).then(|| Self {
            version: number(4),
            backing: long(8),
            size: long(24),
            encryption: number(32),
            features: if number(4) >= 3 { long(72) } else { 0 },
        })
    }

    /// Why it is not read. A backing file is a path of the image's choice on this host: an image could
    /// have a file of this host's take the place of its own content.
    fn problem(&self) -> Option<&'static str> {
        const DIRTY: u64 = 1;
        const CORRUPT: u64 = 2;
        const DATA_FILE: u64 = 4;
        match self {
            Self { version, .. } if !matches!(version, 2 | 3) => {
                Some("it is of a version of qcow2 that is not known")
            }
            Self { backing, .. } if *backing != 0 => {
                Some("it has a backing file, and so is not the whole disk")
            }
            Self { features, .. } if features & DATA_FILE != 0 => {
                Some("its data is in another file, and so it is not the whole disk")
            }
            Self { encryption, .. } if *encryption != 0 => Some("it is encrypted"),
            Self { features, .. } if features & CORRUPT != 0 => Some("it is marked corrupt"),
            Self { features, .. } if features & DIRTY != 0 => {
                Some("it was not closed: a machine uses it, or died")
            }
            Self { size, .. } if *size > LARGEST => Some("its disk is larger than 64 TiB"),
            _ => None,
        }
    }
}

/// What is a qcow2 to one program and raw bytes to another is two disks in one file: the name decides
/// which is meant, and the content must agree.
fn refuse_another_name(path: &Path, is_qcow2: bool) -> Outcome<()> {
    let named = match path.extension().and_then(OsStr::to_str) {
        Some("qcow2") => true,
        Some("raw") => false,
        _ => return Ok(()),
    };
    if named == is_qcow2 {
        return Ok(());
    }
    let kind = if is_qcow2 { "a" } else { "not a" };
    Err(Failure::new(
        Exit::Undecided,
        format!(
            "the image {} is {kind} qcow2, other than its name says",
            quote(path)
        ),
    )
    .next("give it the name that it should have, if you know where it is from"))
}

fn descriptor(file: &File) -> PathBuf {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(change: impl Fn(&mut [u8; HEADER])) -> Option<Header> {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
        bytes[24..32].copy_from_slice(&(1u64 << 30).to_be_bytes());
        change(&mut bytes);
        Header::parse(&bytes)
    }

    #[test]
    fn a_qcow2_that_needs_another_file_is_refused() {
        let good = header(|_| ()).unwrap();
        assert_eq!((good.size, good.problem()), (1 << 30, None));
        for (at, value, why) in [
            (15, 104, "backing file"),
            (79, 4, "another file"),
            (79, 1, "not closed"),
            (79, 2, "corrupt"),
            (35, 2, "encrypted"),
            (7, 4, "not known"),
            (24, 1, "larger"),
        ] {
            let problem = header(|bytes| bytes[at] = value).unwrap().problem();
            assert!(problem.is_some_and(|said| said.contains(why)), "{why}");
        }
        // Version 2 has no features: what lies there is something else.
        let old = header(|bytes| (bytes[7], bytes[79]) = (2, 4)).unwrap();
        assert_eq!(old.problem(), None);
        assert_eq!(header(|bytes| bytes[0] = 0), None);
    }

    #[test]
    fn the_name_and_the_content_say_the_same() {
        for (name, is_qcow2, good) in [
            ("a.raw", false, true),
            ("a.raw", true, false),
            ("a.qcow2", true, true),
            ("a.qcow2", false, false),
            ("a.img", true, true),
            ("a", false, true),
        ] {
            assert_eq!(refuse_another_name(Path::new(name), is_qcow2).is_ok(), good);
        }
    }
}
