//! Content of a device, and whether anything uses it.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::Duration,
};

use earmark_manifest::escape::Escaped;
use rustix::fs::OFlags;

use super::{super::Context, device::Device};
use crate::exec::{Failure, tool};

/// The first and the last of a device are read whole: what anything leaves on a device begins or ends it.
const END: u64 = 1024 * 1024;
/// And so many places between, each of so many bytes.
const SAMPLES: u64 = 256;
const SAMPLE: u64 = 4096;

/// Content that was found on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Nothing to any probe, and zero wherever it was looked at.
    Blank,
    /// One file system.
    Filesystem {
        /// Such as `ext4`.
        kind: String,
        /// Its UUID.
        uuid: String,
    },
    /// A partition table, a member of something, or several of these; in words.
    Other(String),
    /// No probe knows it, and it is not zero.
    Unknown,
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => f.write_str("nothing"),
            Self::Filesystem { kind, .. } => write!(f, "a file system of the kind {kind}"),
            Self::Other(what) => f.write_str(what),
            Self::Unknown => f.write_str("unknown data"),
        }
    }
}

/// Refuses a device that is mounted, a part of another device, swapped on or opened for itself alone.
pub fn must_be_unused(device: &Device) -> Result<(), Failure> {
    let name = device.path.display();
    let has = |directory: &Path, is_one: &dyn Fn(&Path) -> bool| {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).any(|path| is_one(&path))
    };
    // O_EXCL refuses a disk with a partition that is in use; this, one with partitions that are not.
    if has(&device.sys, &|path| path.join("partition").exists()) {
        return Err(format!("'{name}' has partitions").into());
    }
    if has(&device.sys.join("holders"), &|_| true) {
        return Err(format!("'{name}' is a part of another device").into());
    }
    match open_alone(&device.path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Err(format!(
            "'{name}' is in use: it is mounted elsewhere, or a part of something"
        )
        .into()),
        Err(error) => Err(format!("failed to open '{name}': {error}").into()),
    }
}

/// For itself alone: of block devices the kernel refuses that, if anything has it mounted or claimed.
fn open_alone(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::EXCL.bits()).unwrap_or_default();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Asks `blkid`, and looks itself where that finds nothing.
pub async fn probe(context: &Context<'_>, device: &Device) -> Result<Content, Failure> {
    let path = device.path.display().to_string();
    // Low-level, past any cache; only what is looked at, since but the last lines are kept.
    let words = [
        "-p", "-o", "export", "-s", "TYPE", "-s", "UUID", "-s", "PTTYPE", &path,
    ];
    let timeout = Duration::from_mins(2);
    let finished = tool::run(context.image, "blkid", "util-linux", &words, timeout).await?;
    match finished.code {
        Some(0) => Ok(named(&finished.tail)),
        // Nothing that it knows.
        Some(2) => {
            // blkid(8) also ends with 2 where it cannot read the device: that it is blank is seen by reading it.
            let is_zero = open_alone(&device.path).and_then(|file| is_zero(file, device.size));
            match is_zero {
                Ok(true) => Ok(Content::Blank),
                Ok(false) => Ok(Content::Unknown),
                Err(error) => Err(format!("failed to read '{path}': {error}").into()),
            }
        }
        Some(8) => Ok(Content::Other(
            "the signatures of several formats".to_owned(),
        )),
        _ => Err(Failure {
            reason: format!("blkid: {}", finished.how),
            tail: finished.tail,
        }),
    }
}

/// Reads the output of `blkid -o export`.
fn named(lines: &[String]) -> Content {
    let value = |key: &str| {
        let mut lines = lines.iter().filter_map(|line| line.split_once('='));
        let (_, value) = lines.find(|(name, _)| *name == key)?;
        Some(value.to_owned())
    };
    match (value("TYPE"), value("UUID"), value("PTTYPE")) {
        (Some(kind), Some(uuid), None) => Content::Filesystem { kind, uuid },
        // Also beside a file system: which of the two somebody uses cannot be told.
        (_, _, Some(table)) => {
            Content::Other(format!("a partition table ({})", Escaped(table.as_bytes())))
        }
        (Some(kind), None, None) => Content::Other(format!("'{}'", Escaped(kind.as_bytes()))),
        (None, _, None) => Content::Other("content that blkid does not name".to_owned()),
    }
}

/// Returns whether a device of `size` bytes is zero at both ends and at places between.
fn is_zero(mut file: impl Read + Seek, size: u64) -> io::Result<bool> {
    // GPT, RAID superblocks 0.90 and 1.0 and ZFS keep labels at the end, where a wiped beginning leaves them.
    let last = size.saturating_sub(END);
    let step = size / SAMPLES.saturating_add(1);
    let samples = (1..=SAMPLES).map(|index| (index.saturating_mul(step), SAMPLE));
    for (at, length) in [(0, END), (last, END)].into_iter().chain(samples) {
        file.seek(SeekFrom::Start(at))?;
        let mut bytes = Vec::new();
        (&mut file).take(length).read_to_end(&mut bytes)?;
        if bytes.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn device_is_blank_only_if_both_ends_and_samples_between_are_zero() {
        const SIZE: usize = 8 * 1024 * 1024;
        let size = u64::try_from(SIZE).unwrap();
        let with = |at: usize| {
            let mut bytes = vec![0; SIZE];
            bytes[at] = 1;
            is_zero(Cursor::new(bytes), size).unwrap()
        };
        assert!(is_zero(Cursor::new(vec![0; SIZE]), size).unwrap());
        let sample = SIZE / 257 * 200;
        for at in [
            0,
            1024,
            (1 << 20) - 1,
            SIZE - 1,
            SIZE - (1 << 20),
            sample,
            sample + 4095,
        ] {
            assert!(!with(at), "{at}");
        }
        // Smaller than what is read of an end.
        assert!(is_zero(Cursor::new(vec![0; 512]), 512).unwrap());
        assert!(!is_zero(Cursor::new(vec![1; 512]), 512).unwrap());
    }

    #[test]
    fn blkid_output_is_parsed_as_one_filesystem_or_other_content() {
        let of = |text: &str| named(&text.lines().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(
            of("DEVNAME=/dev/vdb\nUUID=ab-cd\nTYPE=ext4"),
            Content::Filesystem {
                kind: "ext4".to_owned(),
                uuid: "ab-cd".to_owned()
            }
        );
        for (text, part) in [
            ("PTTYPE=gpt", "gpt"),
            ("TYPE=vfat\nUUID=AB\nPTTYPE=dos", "partition table (dos)"),
            ("TYPE=zfs_member", "zfs_member"),
            ("DEVNAME=/dev/vdb", "does not name"),
        ] {
            let Content::Other(what) = of(text) else {
                panic!("{text}");
            };
            assert!(what.contains(part), "{what}");
        }
    }
}
