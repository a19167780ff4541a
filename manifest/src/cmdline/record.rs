//! A line to be signed, from the line that a guest was booted with.

use super::{LineError, SignedLine, words};

/// Words that begin so differ from one disk, or one machine, to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PerDisk {
    /// The beginning of the word, up to what differs.
    pub begins: &'static str,
    /// The signed word that takes its place.
    pub signed: &'static str,
    /// The cause of the difference.
    pub why: &'static str,
}

const fn per_disk(begins: &'static str, signed: &'static str, why: &'static str) -> PerDisk {
    PerDisk {
        begins,
        signed,
        why,
    }
}

/// Words that are recorded as a pattern. Every other word is recorded as it stands.
pub const PER_DISK: [PerDisk; 12] = [
    per_disk(
        "BOOT_IMAGE=",
        "?BOOT_IMAGE=*",
        "GRUB adds the kernel's file name, other boot loaders nothing",
    ),
    per_disk(
        "BOOTIF=",
        "?BOOTIF=*",
        "PXE adds the network card's address",
    ),
    per_disk(
        "root=UUID=",
        "root=UUID=*",
        "the id of a file system, which a copy may change",
    ),
    per_disk(
        "root=PARTUUID=",
        "root=PARTUUID=*",
        "the id of a partition, which a copy may change",
    ),
    per_disk(
        "boot=UUID=",
        "boot=UUID=*",
        "the id of a file system, which a copy may change",
    ),
    per_disk(
        "boot=PARTUUID=",
        "boot=PARTUUID=*",
        "the id of a partition, which a copy may change",
    ),
    per_disk(
        "mount.usr=UUID=",
        "mount.usr=UUID=*",
        "the id of a file system, which a copy may change",
    ),
    per_disk("resume=UUID=", "resume=UUID=*", "the id of a swap area"),
    per_disk(
        "resume=PARTUUID=",
        "resume=PARTUUID=*",
        "the id of a partition",
    ),
    per_disk(
        "resume_offset=",
        "resume_offset=*",
        "where a swap file lies on its disk",
    ),
    per_disk(
        "rd.luks.uuid=",
        "rd.luks.uuid=*",
        "the id of an encrypted volume",
    ),
    per_disk("rd.md.uuid=", "rd.md.uuid=*", "the id of an array"),
];

impl SignedLine {
    /// Records the line to be signed for an image whose guest was booted with `line`, as `/proc/cmdline` has it.
    ///
    /// # Errors
    ///
    /// If a word has a `?` or a `*` that would be signed as a mark, or the line cannot be signed at all.
    pub fn recorded(line: &[u8]) -> Result<Self, LineError> {
        let mut text = Vec::new();
        for word in words(line) {
            let found = std::str::from_utf8(word)
                .map_err(|error| LineError::Byte(*word.get(error.valid_up_to()).unwrap_or(&0)))?;
            // What `*` would not match is not replaced by one: the line would not fit itself.
            let is_plain = !found.contains(['"', '\'', '\\'])
                && found.bytes().all(|byte| byte.is_ascii_graphic());
            let row = PER_DISK
                .iter()
                .find(|row| is_plain && found.starts_with(row.begins));
            match row {
                Some(row) => text.push(row.signed),
                // A `?` or a `*` of the line's own would be read as a mark of ours, and nobody wrote it as one.
                None if found.starts_with('?') => {
                    return Err(LineError::Optional(found.to_owned()));
                }
                None if found.contains('*') => {
                    return Err(LineError::OwnWildcard(found.to_owned()));
                }
                None => text.push(found),
            }
        }
        text.join(" ").parse()
    }
}
