//! Looks at a qcow2 before anything unpacks it: whether it is all there, and needs no other file.
//!
//! `qemu-img` reads what lies behind the end of a file as zeros, and follows the names of other files in it. Here
//! each table and each cluster must lie in the file, and what refers to another file is refused.

use std::{collections::HashSet, io};

use earmark_scan::disk::bytes::{Bytes, Fields, bad};

const MAGIC: [u8; 4] = *b"QFI\xfb";
/// Larger than any volume that an image is made for; what is not written takes no space.
const LARGEST: u64 = 1 << 46;
/// Bytes of the first table: the bound of QEMU itself.
const FIRST_TABLE: u64 = 32 << 20;
/// Bytes of the header, with the fields of version 3.
const HEADER: usize = 112;

const DIRTY: u64 = 1;
const CORRUPT: u64 = 2;
const DATA_FILE: u64 = 4;
const COMPRESSION: u64 = 8;
const EXTENDED: u64 = 16;

const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
const COMPRESSED: u64 = 1 << 62;

/// Tells whether the bytes are a qcow2, by their magic.
pub fn is_one(file: &dyn Bytes) -> io::Result<bool> {
    let mut magic = [0; 4];
    if file.size() < 4 {
        return Ok(false);
    }
    file.read(0, &mut magic)?;
    Ok(magic == MAGIC)
}

/// Checks a qcow2, and returns the size of its disk.
pub fn screen(file: &dyn Bytes) -> io::Result<u64> {
    let mut raw = [0; HEADER];
    // Version 2 has a shorter header, and a file of version 2 could end with it.
    let there = usize::try_from(file.size()).unwrap_or(HEADER).min(HEADER);
    file.read(0, raw.get_mut(..there).unwrap_or_default())?;
    let header = Header::parse(&raw)?;
    header.refuse_other_files(file)?;
    let mut screen = Screen {
        file,
        header: &header,
        referred: 0,
    };
    screen.counts()?;
    screen.clusters()?;
    Ok(header.size)
}

struct Header {
    cluster: u64,
    cluster_bits: u32,
    size: u64,
    tables: (u64, u64),
    counts: (u64, u64),
    length: u64,
    features: u64,
}

fn big32(raw: &[u8], at: usize) -> u32 {
    Fields(raw).u32(at).swap_bytes()
}

fn big64(raw: &[u8], at: usize) -> u64 {
    Fields(raw).u64(at).swap_bytes()
}

impl Header {
    fn parse(raw: &[u8; HEADER]) -> io::Result<Self> {
        let version = big32(raw, 4);
        let features = if version >= 3 { big64(raw, 72) } else { 0 };
        let (cluster_bits, size) = (big32(raw, 20), big64(raw, 24));
        let known = DIRTY | CORRUPT | DATA_FILE | COMPRESSION | EXTENDED;
        for (is_so, problem) in [
            (!matches!(version, 2 | 3), "unknown version of qcow2"),
            (
                big64(raw, 8) != 0,
                "it has a backing file, and so is not the whole disk",
            ),
            (
                features & DATA_FILE != 0,
                "its data is in another file, and so it is not the whole disk",
            ),
            (big32(raw, 32) != 0, "it is encrypted"),
            (features & CORRUPT != 0, "it is marked corrupt"),
            (
                features & DIRTY != 0,
                "it was not closed: a machine is using it, or crashed",
            ),
            (features & !known != 0, "it has unknown features"),
            (size > LARGEST, "its disk is larger than 64 TiB"),
            (
                !(9..=21).contains(&cluster_bits),
                "the size of its clusters is invalid",
            ),
            (
                big32(raw, 60) != 0,
                "it has snapshots, which are other disks in the same file",
            ),
        ] {
            if is_so {
                return Err(bad(problem));
            }
        }
        let cluster = 1 << cluster_bits;
        Ok(Self {
            cluster,
            cluster_bits,
            size,
            tables: (big64(raw, 40), u64::from(big32(raw, 36)) * 8),
            counts: (big64(raw, 48), u64::from(big32(raw, 56)) * cluster),
            length: if version >= 3 {
                big32(raw, 100).into()
            } else {
                72
            },
            features,
        })
    }

    /// Extensions of the header that name other files, or keys.
    fn refuse_other_files(&self, file: &dyn Bytes) -> io::Result<()> {
        let mut at = self.length;
        if at < 72 || at > self.cluster {
            return Err(bad("the length of its header is invalid"));
        }
        while at.saturating_add(8) <= self.cluster.min(file.size()) {
            let mut raw = [0; 8];
            file.read(at, &mut raw)?;
            match big32(&raw, 0) {
                0 => return Ok(()),
                0xe279_2aca => {
                    return Err(bad("it has a backing file, and so is not the whole disk"));
                }
                0x4441_5441 => {
                    return Err(bad(
                        "its data is in another file, and so it is not the whole disk",
                    ));
                }
                0x0537_be77 => return Err(bad("it is encrypted")),
                _ => {}
            }
            let length = u64::from(big32(&raw, 4)).next_multiple_of(8);
            at = at.saturating_add(8).saturating_add(length);
        }
        Ok(())
    }
}

struct Screen<'a> {
    file: &'a dyn Bytes,
    header: &'a Header,
    /// Bytes of the file that clusters refer to. Each has its own; a few bytes that are a disk of terabytes are
    /// made to fill the one that it is unpacked to.
    referred: u64,
}

impl Screen<'_> {
    fn must_have(&self, start: u64, size: u64, what: &str) -> io::Result<()> {
        match start
            .checked_add(size)
            .filter(|end| *end <= self.file.size())
        {
            Some(_) => Ok(()),
            None => Err(bad(format!(
                "{what} at byte {start} goes beyond its end at {}: it is truncated",
                self.file.size()
            ))),
        }
    }

    fn table(&self, at: u64, size: u64, what: &str) -> io::Result<Vec<u64>> {
        self.must_have(at, size, what)?;
        let mut raw = vec![0; usize::try_from(size).unwrap_or(0)];
        self.file.read(at, &mut raw)?;
        Ok(raw.chunks_exact(8).map(|entry| big64(entry, 0)).collect())
    }

    /// The table of reference counts, and their blocks.
    fn counts(&self) -> io::Result<()> {
        let (at, size) = self.header.counts;
        if size > FIRST_TABLE {
            return Err(bad("its table of reference counts is too large"));
        }
        for block in self.table(at, size, "its table of reference counts")? {
            if block & OFFSET != 0 {
                self.must_have(
                    block & OFFSET,
                    self.header.cluster,
                    "a block of its reference counts",
                )?;
            }
        }
        Ok(())
    }

    fn clusters(&mut self) -> io::Result<()> {
        let Header {
            cluster,
            size,
            tables: (at, length),
            ..
        } = *self.header;
        let entry = if self.header.features & EXTENDED == 0 {
            8
        } else {
            16
        };
        // Disk bytes that one table of the second level has.
        let covered = (cluster / entry).saturating_mul(cluster);
        if length > FIRST_TABLE || size.div_ceil(covered).saturating_mul(8) > length {
            return Err(bad("its first table does not fit its size"));
        }
        let mut seen = HashSet::new();
        for table in self.table(at, length, "its first table")? {
            let table = table & OFFSET;
            if table == 0 {
                continue;
            }
            if !seen.insert(table) {
                return Err(bad("duplicate table: two parts of it share one"));
            }
            let step = usize::try_from(entry / 8).unwrap_or(1);
            let entries = self.table(table, cluster, "a table")?;
            for entry in entries.into_iter().step_by(step) {
                self.cluster(entry)?;
            }
        }
        Ok(())
    }

    fn cluster(&mut self, entry: u64) -> io::Result<()> {
        let size = if entry & COMPRESSED == 0 {
            let offset = entry & OFFSET;
            if offset == 0 {
                return Ok(());
            }
            self.must_have(offset, self.header.cluster, "a cluster")?;
            self.header.cluster
        } else {
            let bits = 62_u32.saturating_sub(self.header.cluster_bits.saturating_sub(8));
            let offset = entry & ((1 << bits) - 1);
            let sectors = (entry & (COMPRESSED - 1)) >> bits;
            // Whole sectors behind the one that it begins in, of which it may use but a part.
            let size = (sectors + 1)
                .saturating_mul(512)
                .saturating_sub(offset % 512);
            self.must_have(offset, size, "a compressed cluster")?;
            size.saturating_sub(511)
        };
        self.referred = self.referred.saturating_add(size);
        if self.referred > self.file.size() {
            return Err(bad(
                "its clusters are more than the bytes of the file: they overlap",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct File(Vec<u8>);

    impl Bytes for File {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }

        fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            let at = usize::try_from(offset).unwrap();
            let bytes = self
                .0
                .get(at..at + buffer.len())
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            buffer.copy_from_slice(bytes);
            Ok(())
        }
    }

    /// Clusters of 4 KiB: header, first table, second table, reference counts and their block, two of data.
    fn good() -> Vec<u8> {
        let mut file = vec![0; 7 * 4096];
        file[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
        put(&mut file, 20, 12);
        put64(&mut file, 24, 1 << 20);
        put(&mut file, 36, 1);
        put64(&mut file, 40, 4096);
        put64(&mut file, 48, 3 * 4096);
        put(&mut file, 56, 1);
        put(&mut file, 100, 104);
        put64(&mut file, 4096, (1 << 63) | (2 * 4096));
        put64(&mut file, 3 * 4096, 4 * 4096);
        put64(&mut file, 2 * 4096, (1 << 63) | (5 * 4096));
        put64(&mut file, 2 * 4096 + 24, (1 << 63) | (6 * 4096));
        file
    }

    fn put(file: &mut [u8], at: usize, value: u32) {
        file[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }

    fn put64(file: &mut [u8], at: usize, value: u64) {
        file[at..at + 8].copy_from_slice(&value.to_be_bytes());
    }

    fn problem(change: impl Fn(&mut Vec<u8>)) -> String {
        let mut file = good();
        change(&mut file);
        match screen(&File(file)) {
            Ok(size) => format!("good: {size}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn qcow2_with_unsupported_feature_or_external_file_is_refused() {
        assert_eq!(problem(|_| ()), "good: 1048576");
        for (at, value, why) in [
            (15, 104, "backing file"),
            (79, 4, "another file"),
            (79, 1, "not closed"),
            (79, 2, "corrupt"),
            (79, 32, "unknown features"),
            (35, 2, "encrypted"),
            (7, 4, "unknown version"),
            (24, 1, "larger"),
            (63, 1, "snapshots"),
            (23, 30, "clusters is invalid"),
        ] {
            let said = problem(|file| file[at] = value);
            assert!(said.contains(why), "{said}");
        }
        for (extension, why) in [
            (0xe279_2aca, "backing file"),
            (0x4441_5441, "another file"),
            (0x0537_be77, "encrypted"),
            (0x6803_f857, "good"),
        ] {
            let said = problem(|file| put(file, 104, extension));
            assert!(said.contains(why), "{said}");
        }
        // Version 2 has no features: what lies there is something else.
        assert_eq!(
            problem(|file| (file[7], file[79]) = (2, 4)),
            "good: 1048576"
        );
        assert!(!is_one(&File(b"QFI".to_vec())).unwrap());
        assert!(is_one(&File(good())).unwrap());
    }

    #[test]
    fn qcow2_with_a_table_or_a_cluster_beyond_its_end_is_refused() {
        for clusters in 1..7 {
            let said = problem(|file| file.truncate(clusters * 4096));
            assert!(said.contains("truncated"), "{said}");
        }
        let said = problem(|file| file.truncate(7 * 4096 - 1));
        assert!(said.contains("truncated"), "{said}");
        let compressed = |offset: u64, sectors: u64| {
            problem(move |file| put64(file, 2 * 4096 + 24, COMPRESSED | sectors << 58 | offset))
        };
        assert_eq!(compressed(6 * 4096 + 100, 7), "good: 1048576");
        assert!(compressed(6 * 4096 + 100, 8).contains("truncated"));
    }

    #[test]
    fn qcow2_whose_clusters_overlap_is_refused() {
        let said = problem(|file| {
            for entry in 0..64 {
                put64(file, 2 * 4096 + 8 * entry, 5 * 4096);
            }
        });
        assert!(said.contains("overlap"), "{said}");
        let said = problem(|file| {
            put(file, 36, 2);
            put64(file, 4096 + 8, 2 * 4096);
        });
        assert!(said.contains("duplicate table"), "{said}");
        let said = problem(|file| put64(file, 24, 1 << 30));
        assert!(said.contains("first table"), "{said}");
    }
}
