//! The dynamic section of ELF programs: interpreter, libraries, and the directories that they are looked for in.
//!
//! Bounded by [`BOUND`] for each table, read by offset, and without a crate: the parsers of whole
//! object files are for much more than three fields (docs/adr/0015-derived-critical-set.md).

use std::{fs::File, os::unix::fs::FileExt};

/// First bytes of an ELF file.
pub(super) const MAGIC: &[u8] = b"\x7fELF";
/// Bytes of a table: a large program's strings of the dynamic linker have some hundred thousand.
const BOUND: u64 = 16 << 20;

const INTERPRETER: u32 = 3;
const DYNAMIC: u32 = 2;
const LOAD: u32 = 1;

const NEEDED: u64 = 1;
const STRINGS: u64 = 5;
const STRINGS_SIZE: u64 = 10;
const RPATH: u64 = 15;
const RUNPATH: u64 = 29;

/// Files that are loaded with a program, as it spells them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Loaded {
    pub(super) interpreter: Option<Vec<u8>>,
    pub(super) needed: Vec<Vec<u8>>,
    /// Directories of `RPATH` and `RUNPATH`.
    pub(super) places: Vec<Vec<u8>>,
}

struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    size: u64,
}

/// Reads a 64-bit little-endian file; nothing of another, or of one that is damaged.
pub(super) fn read(file: &File) -> Option<Loaded> {
    let head = part(file, 0, 64)?;
    let (class, order) = (*head.get(4)?, *head.get(5)?);
    if !head.starts_with(MAGIC) || (class, order) != (2, 1) {
        return None;
    }
    let (offset, size, count) = (u64_at(&head, 32)?, u16_at(&head, 54)?, u16_at(&head, 56)?);
    if size < 56 {
        return None;
    }
    let table = part(file, offset, u64::from(size) * u64::from(count))?;
    let segments: Vec<Segment> = table
        .chunks_exact(usize::from(size))
        .map(|bytes| {
            Some(Segment {
                kind: u32_at(bytes, 0)?,
                offset: u64_at(bytes, 8)?,
                address: u64_at(bytes, 16)?,
                size: u64_at(bytes, 32)?,
            })
        })
        .collect::<Option<_>>()?;
    let segment = |kind| segments.iter().find(move |segment| segment.kind == kind);
    let mut loaded = Loaded::default();
    if let Some(found) = segment(INTERPRETER) {
        loaded.interpreter = string(&part(file, found.offset, found.size)?, 0);
    }
    let Some(dynamic) = segment(DYNAMIC) else {
        return Some(loaded);
    };
    let dynamic = part(file, dynamic.offset, dynamic.size)?;
    let tags: Vec<(u64, u64)> = dynamic
        .chunks_exact(16)
        .filter_map(|bytes| Some((u64_at(bytes, 0)?, u64_at(bytes, 8)?)))
        .take_while(|(tag, _)| *tag != 0)
        .collect();
    let value = |wanted| {
        tags.iter()
            .find(|(tag, _)| *tag == wanted)
            .map(|(_, value)| *value)
    };
    let (address, size) = (value(STRINGS)?, value(STRINGS_SIZE)?);
    let holds = |segment: &&Segment| {
        segment.kind == LOAD
            && address
                .checked_sub(segment.address)
                .is_some_and(|at| at < segment.size)
    };
    let holder = segments.iter().find(holds)?;
    let strings = part(
        file,
        (address - holder.address).checked_add(holder.offset)?,
        size,
    )?;
    for (tag, at) in &tags {
        let text = || string(&strings, usize::try_from(*at).ok()?);
        match *tag {
            NEEDED => loaded.needed.extend(text()),
            RPATH | RUNPATH => {
                let places = text().unwrap_or_default();
                let places = places.split(|byte| *byte == b':').map(<[u8]>::to_vec);
                loaded.places.extend(places);
            }
            _ => {}
        }
    }
    Some(loaded)
}

fn part(file: &File, offset: u64, size: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(size.min(BOUND)).ok()?];
    file.read_exact_at(&mut bytes, offset).ok()?;
    Some(bytes)
}

fn string(bytes: &[u8], at: usize) -> Option<Vec<u8>> {
    let rest = bytes.get(at..)?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    Some(rest[..end].to_vec())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
