//! The archive format of initrds: `newc` of cpio, as the kernel unpacks it (Documentation/driver-api/early-userspace).

use std::{borrow::Cow, fmt, io::Read};

/// Type bits of a mode.
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const CHARACTERS: u32 = 0o020_000;
const KIND: u32 = 0o170_000;

const MAGIC: &[u8] = b"070701";
const FIELDS: usize = 13;
/// Six bytes of magic, and thirteen numbers of eight hexadecimal digits.
const HEADER: usize = 6 + 8 * FIELDS;
const TRAILER: &str = "TRAILER!!!";
/// Objects in an archive that is read.
const MOST: usize = 4096;

/// An object of an archive, without its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Whether it may be run.
        is_program: bool,
        /// Its content.
        bytes: Vec<u8>,
    },
    /// `/dev/console`, without which the kernel gives the first process no standard output.
    Console,
    /// Something else, which no archive of ours has.
    Other,
}

/// Reason why bytes are no archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoArchive(String);

impl fmt::Display for NoArchive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// First bytes of zstd.
const PACKED: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// Level of zstd: more costs time and saves nothing to speak of.
const LEVEL: i32 = 19;

/// Packs an archive, for kernels that unpack zstd (`CONFIG_RD_ZSTD`).
pub fn pack(archive: &[u8]) -> std::io::Result<Vec<u8>> {
    zstd::bulk::compress(archive, LEVEL)
}

/// Unpacks an archive of at most `bound` bytes, if it is packed. What follows the packed one must be nothing: the kernel
/// would unpack another archive over it.
pub fn unpack(bytes: &[u8], bound: usize) -> std::io::Result<Cow<'_, [u8]>> {
    if !bytes.starts_with(PACKED) {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut archive = Vec::new();
    let limit = u64::try_from(bound).unwrap_or(u64::MAX);
    let mut reader = zstd::stream::read::Decoder::with_buffer(bytes)?.single_frame();
    (&mut reader)
        .take(limit.saturating_add(1))
        .read_to_end(&mut archive)?;
    if archive.len() > bound {
        return Err(std::io::Error::other(format!(
            "more than {bound} bytes unpacked"
        )));
    }
    if reader.finish().iter().any(|byte| *byte != 0) {
        return Err(std::io::Error::other("something behind the packed archive"));
    }
    Ok(Cow::Owned(archive))
}

/// Writes an archive. Nothing in it says when, where or by whom it was made.
pub fn write(objects: &[(String, Object)]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (number, (name, object)) in (1_u32..).zip(objects) {
        let (mode, links, device, bytes): (u32, u32, (u32, u32), &[u8]) = match object {
            Object::Directory => (DIRECTORY | 0o755, 2, (0, 0), &[]),
            Object::File { is_program, bytes } => {
                let mode = if *is_program { 0o755 } else { 0o644 };
                (REGULAR | mode, 1, (0, 0), bytes)
            }
            Object::Console => (CHARACTERS | 0o600, 1, (5, 1), &[]),
            Object::Other => continue,
        };
        push(
            &mut archive,
            name,
            [number, mode, links, device.0, device.1],
            bytes,
        );
    }
    push(&mut archive, TRAILER, [0, 0, 1, 0, 0], &[]);
    archive
}

fn push(archive: &mut Vec<u8>, name: &str, fields: [u32; 5], bytes: &[u8]) {
    let [number, mode, links, major, minor] = fields;
    let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    // Of nobody, of 1970: inode, mode, user, group, links, time, size, device of the file, device, name, checksum.
    let numbers = [
        number,
        mode,
        0,
        0,
        links,
        0,
        length(bytes.len()),
        0,
        0,
        major,
        minor,
        length(name.len() + 1),
        0,
    ];
    archive.extend_from_slice(MAGIC);
    for number in numbers {
        archive.extend_from_slice(format!("{number:08x}").as_bytes());
    }
    archive.extend_from_slice(name.as_bytes());
    archive.push(0);
    pad(archive);
    archive.extend_from_slice(bytes);
    pad(archive);
}

fn pad(archive: &mut Vec<u8>) {
    archive.resize(archive.len().next_multiple_of(4), 0);
}

/// Reads an archive. What follows its end must be nothing: the kernel would unpack a second archive over the first.
pub fn read(bytes: &[u8]) -> Result<Vec<(String, Object)>, NoArchive> {
    let mut objects = Vec::new();
    let mut at = 0;
    loop {
        let bad = |problem: &str| NoArchive(format!("{problem} at byte {at}"));
        let header = bytes.get(at..at + HEADER);
        let header = header
            .filter(|header| header.starts_with(MAGIC))
            .ok_or_else(|| bad("no header of a cpio archive"))?;
        let field = |index: usize| {
            let start = MAGIC.len() + 8 * index;
            let digits = std::str::from_utf8(header.get(start..start + 8).unwrap_or_default());
            let digits = digits
                .ok()
                .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
            let number = digits.and_then(|digits| usize::from_str_radix(digits, 16).ok());
            number.ok_or_else(|| bad("no number in a header"))
        };
        for index in 0..FIELDS {
            field(index)?;
        }
        let (mode, size, length) = (field(1)?, field(6)?, field(11)?);
        let name_at = at + HEADER;
        let content_at = (name_at + length).next_multiple_of(4);
        let end = (content_at + size).next_multiple_of(4);
        let name = bytes
            .get(name_at..name_at + length)
            .and_then(|name| name.strip_suffix(b"\0"));
        let content = bytes.get(content_at..content_at + size);
        let (Some(name), Some(content)) = (name, content) else {
            return Err(bad("an object that ends beyond the archive"));
        };
        let name = String::from_utf8_lossy(name).into_owned();
        if name == TRAILER {
            let rest = bytes.get(end..).unwrap_or_default();
            if rest.iter().any(|byte| *byte != 0) {
                return Err(NoArchive(format!(
                    "something behind its end, at byte {end}"
                )));
            }
            return Ok(objects);
        }
        let device = (field(9)?, field(10)?);
        let mode = u32::try_from(mode).unwrap_or(0);
        let object = match mode & KIND {
            DIRECTORY => Object::Directory,
            REGULAR => Object::File {
                is_program: mode & 0o111 != 0,
                bytes: content.to_vec(),
            },
            CHARACTERS if name == "dev/console" && device == (5, 1) => Object::Console,
            _ => Object::Other,
        };
        objects.push((name, object));
        if objects.len() > MOST {
            return Err(NoArchive(format!("more than {MOST} objects")));
        }
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects() -> Vec<(String, Object)> {
        let file = |bytes: &[u8], is_program| Object::File {
            is_program,
            bytes: bytes.to_vec(),
        };
        vec![
            ("dev".to_owned(), Object::Directory),
            ("dev/console".to_owned(), Object::Console),
            ("init".to_owned(), file(b"\x7fELF1", true)),
            ("x".to_owned(), file(b"", false)),
        ]
    }

    #[test]
    fn archive_reads_back_and_is_the_same_each_time() {
        let archive = write(&objects());
        assert_eq!(archive, write(&objects()));
        assert_eq!(read(&archive), Ok(objects()));
        // As the loader of a kernel may pad it.
        assert_eq!(read(&[&archive[..], &[0; 512]].concat()), Ok(objects()));
    }

    #[test]
    fn cpio_unpacks_what_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("archive");
        std::fs::write(&path, write(&objects()[2..])).unwrap();
        let list = format!(
            "cpio --list --verbose --numeric-uid-gid < {}",
            path.display()
        );
        #[allow(clippy::disallowed_methods, reason = "a test")]
        let said = std::process::Command::new("sh")
            .args(["-c", &list])
            .output()
            .unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), 2, "{said}");
        assert!(
            lines[0].starts_with("-rwxr-xr-x   1 0        0               5 Jan  1  1970 init"),
            "{said}"
        );
    }

    #[test]
    fn damaged_or_doubled_archive_is_refused() {
        let archive = write(&objects());
        for length in [0, 1, HEADER, archive.len() / 2] {
            assert!(read(&archive[..length]).is_err(), "{length}");
        }
        let twice = [&archive[..], &archive].concat();
        assert!(
            read(&twice)
                .unwrap_err()
                .to_string()
                .contains("behind its end")
        );
        let packed = pack(&archive).unwrap();
        let bound = archive.len();
        assert_eq!(unpack(&packed, bound).unwrap(), archive);
        let padded = [&packed[..], &[0; 8]].concat();
        assert_eq!(unpack(&padded, bound).unwrap(), archive);
        for more in [&archive, &packed] {
            let doubled = [&padded[..], more].concat();
            assert!(unpack(&doubled, bound).is_err());
        }
        assert!(unpack(&packed, bound - 1).is_err());
        let mut odd = archive;
        odd[7] = b'+';
        assert!(read(&odd).is_err());
    }
}
