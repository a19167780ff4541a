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
use rustix::{
    fs::{Mode, OFlags, SeekFrom as RawSeek},
    io::Errno,
};

use earmark_scan::disk::bytes::Bytes;

use super::qcow2;
use crate::{
    exit::{Exit, Exits, Failure, Next, Outcome},
    io::{
        output::quote,
        run::{self, Program},
    },
};

const QCOW2: &str = "copy it again, if it is truncated; qemu-img convert -O raw makes a disk of it \
                     that stands alone, and which you can look at";
/// A large image on a slow disk.
const TIMEOUT: Duration = Duration::from_hours(2);

/// A disk that is only read.
#[derive(Debug)]
pub struct Disk {
    file: File,
    size: u64,
    format: &'static str,
}

impl Bytes for Disk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
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
        let reading = || format!("failed to read the image {}", quote(path));
        let is_qcow2 = qcow2::is_one(&disk)
            .with_context(reading)
            .exits(Exit::Undecided)?;
        refuse_another_name(path, is_qcow2)?;
        if !is_qcow2 {
            return Ok(disk);
        }
        let size = qcow2::screen(&disk)
            .with_context(reading)
            .exits(Exit::Undecided)
            .or_next(|| QCOW2.to_owned())?;
        disk.unpack(size, path)
    }

    fn of(mut file: File) -> io::Result<Self> {
        let size = file.seek(SeekFrom::End(0))?;
        let format = "raw";
        Ok(Self { file, size, format })
    }

    /// The format of the file that was opened: `raw` or `qcow2`.
    pub fn format(&self) -> &'static str {
        self.format
    }

    /// The next bytes from `offset` on that may be other than zero: their start and end. None, if only a hole
    /// follows.
    pub fn data(&self, offset: u64) -> io::Result<Option<(u64, u64)>> {
        let start = match rustix::fs::seek(&self.file, RawSeek::Data(offset)) {
            Ok(start) => start,
            Err(Errno::NXIO) => return Ok(None),
            // A file system, or a device, that knows of no holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some((offset, self.size))),
            Err(errno) => return Err(errno.into()),
        };
        let end = rustix::fs::seek(&self.file, RawSeek::Hole(start))?;
        Ok(Some((start, end)))
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
    fn unpack(&self, size: u64, path: &Path) -> Outcome<Self> {
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
            .and_then(|raw| raw.set_len(size).map(|()| raw))
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
        let raw = Self::of(raw).with_context(unpacking)?;
        let format = "qcow2";
        Ok(Self { format, ..raw })
    }
}

/// Refuses a file whose name and content disagree. A qcow2 to one program and raw bytes to another is two
/// disks in one file: the name decides which is meant, and the content must agree.
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
            "the image {} is {kind} qcow2, which contradicts its name",
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

    #[test]
    fn image_format_must_match_a_raw_or_qcow2_extension() {
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
