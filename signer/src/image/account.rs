//! Accounts for every byte of a disk: verified, matching a digest, empty, ignored by name, or not looked at.
//!
//! A host runs more of its disk than its root: boot code, GRUB in a partition of its own or in a gap, programs on
//! the EFI system partition. None of these is a file of the signed tree. What nobody vouches for is listed, and
//! keeps the result from being `verified`.
//!
//! Limit: blocks of a verified file system that no file has are not looked at. No name leads to them, and a
//! kernel runs none of them. A boot loader that finds its parts by block numbers (LILO, and GRUB where it was
//! installed into a partition with `--force`) could: boot code that does so is to be signed as a region.

mod fat;
mod measure;
mod parts;
mod rules;

use std::fmt;

use earmark_manifest::{
    declaration::{Disk as Declared, Region},
    digest::Sha256Digest,
};
use earmark_scan::verify::Verdict;
use serde::{Serialize, Serializer};

use earmark_scan::disk::bytes::Bytes;
use earmark_scan::disk::table::BOOT_CODE;

use self::rules::Rules;
use super::{Image, select};
use crate::{
    exit::{Exit, Exits, Outcome},
    io::output,
};

/// Ranges of a disk that cover all its bytes, each with its status.
#[derive(Debug, Clone, Serialize)]
pub struct Account {
    /// `raw` or `qcow2`.
    pub format: &'static str,
    /// Bytes of the disk.
    pub size: u64,
    /// True, if every range is verified, matches, is empty, or is ignored by name.
    pub complete: bool,
    /// All of the disk, in order and without overlaps.
    pub ranges: Vec<Range>,
}

/// Bytes that follow each other.
#[derive(Debug, Clone, Serialize)]
pub struct Range {
    /// The first byte.
    pub start: u64,
    /// Number of bytes.
    pub size: u64,
    /// The names by which it can be ignored or expected; none for the table and what is verified.
    pub regions: Vec<String>,
    /// Name by which it can be expected and not ignored: the number of a partition that a machine boots from.
    #[serde(skip)]
    expected_as: Option<String>,
    /// The partition that it lies in.
    pub partition: Option<u32>,
    /// Description for people, such as `boot code of the MBR`.
    pub what: String,
    /// The result for the range.
    pub status: Status,
    /// The reason why it is ignored, or why a number that was given does not have it ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The digest of all its bytes, if they were read and are not all zero.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub sha256: Option<Sha256Digest>,
    /// The digest that was expected.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub expected: Option<Sha256Digest>,
}

/// Result for a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// A file system of the verified root.
    Verified,
    /// A file system of a root whose verification came to another verdict, which the report has.
    Compared,
    /// The partition table, or the reserved sectors of a FAT, which this verification itself went by: copies agree,
    /// and there is no code in them.
    Read,
    /// It has the expected digest.
    Matches,
    /// All zero.
    Empty,
    /// It may be anything: it was named.
    Ignored,
    /// Nobody vouches for it.
    NotLookedAt,
    /// It has another digest than was expected.
    Differs,
}

/// Regions that are named on the command line, besides those that the declaration names.
#[derive(Debug, Clone, Default)]
pub struct Named {
    /// `--ignore`.
    pub ignore: Vec<Region>,
    /// `--expect`.
    pub expect: Vec<(Region, Sha256Digest)>,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Compared => "compared",
            Self::Read => "read",
            Self::Matches => "matches",
            Self::Empty => "empty",
            Self::Ignored => "ignored",
            Self::NotLookedAt => "not looked at",
            Self::Differs => "DIFFERS",
        }
    }
}

const TABLE: &str = "partition table";

impl Range {
    fn new(start: u64, end: u64, what: impl Into<String>, status: Status) -> Self {
        Self {
            start,
            size: end.saturating_sub(start),
            regions: Vec::new(),
            expected_as: None,
            partition: None,
            what: what.into(),
            status,
            reason: None,
            sha256: None,
            expected: None,
        }
    }

    /// One that nobody vouches for yet.
    fn open(start: u64, end: u64, what: impl Into<String>, regions: &[&str]) -> Self {
        Self {
            regions: regions.iter().map(|region| (*region).to_owned()).collect(),
            ..Self::new(start, end, what, Status::NotLookedAt)
        }
    }

    fn is(&self, region: &Region) -> bool {
        self.regions.iter().any(|own| own == region.name())
    }

    fn is_table(&self) -> bool {
        self.status == Status::Read && self.what == TABLE
    }

    /// A digest vouches for a range by any of its names.
    fn may_be_expected_as(&self, region: &Region) -> bool {
        self.is(region) || self.expected_as.as_deref() == Some(region.name())
    }
}

impl Image {
    /// Accounts for all bytes. `declared` counts only if the declaration was believed. An error, if the root is good
    /// and two files of it share a block: an account of such a disk would hold until its host writes.
    pub fn account(
        &self,
        verdict: Verdict,
        declared: Option<&Declared>,
        named: &Named,
    ) -> Outcome<Account> {
        if matches!(verdict, Verdict::Verified | Verdict::Partial) {
            // A violation names the path of what differs, which this cannot.
            for (volume, _) in self.used.iter().filter(|(volume, _)| volume.is_ext4()) {
                select::refuse_shared(&self.disk, volume)?;
            }
        }
        let mut ranges = self.ranges(verdict)?;
        let rules = Rules { declared, named };
        for region in rules.unmatched(&ranges) {
            // To be told of a digest that nothing was compared with would be worth nothing.
            let (start, end) = (self.disk.size(), self.disk.size());
            let mut range = Range::new(
                start,
                end,
                format!("{region}, which it does not have"),
                Status::Differs,
            );
            range.expected = rules.expected_of(region);
            ranges.push(range);
        }
        let mut left = measure::UNASKED;
        for range in &mut ranges {
            if range.status == Status::NotLookedAt {
                let looking = || format!("failed to read {} of the image", range.what);
                let expected = rules.expected(range);
                let place = (range.start, range.size);
                let content = measure::content(&self.disk, place, expected.is_some(), &mut left);
                let content = content.map_err(|error| anyhow::Error::new(error).context(looking()));
                rules.judge(range, content.exits(Exit::Undecided)?, expected);
            }
        }
        let is_known =
            |range: &Range| !matches!(range.status, Status::NotLookedAt | Status::Differs);
        Ok(Account {
            format: self.disk.format(),
            size: self.disk.size(),
            complete: ranges.iter().all(is_known),
            ranges,
        })
    }

    /// All bytes, each once.
    fn ranges(&self, verdict: Verdict) -> Outcome<Vec<Range>> {
        let mut parts = Vec::new();
        if let Some(table) = &self.table {
            parts.push(Range::open(
                0,
                BOOT_CODE,
                "boot code of the MBR",
                &["boot-code"],
            ));
            let table = table.structures.iter();
            parts.extend(table.map(|(start, size)| {
                let end = start.saturating_add(*size);
                Range::new(*start, end, TABLE, Status::Read)
            }));
        }
        for volume in &self.volumes {
            match self.used.iter().find(|(used, _)| used == volume) {
                Some((_, at)) => {
                    let reading = || format!("failed to read {volume} of the image");
                    let used = parts::used(&self.disk, volume, at, verdict)
                        .map_err(|error| anyhow::Error::new(error).context(reading()));
                    parts.extend(used.exits(Exit::Undecided)?);
                }
                None => parts.push(parts::unused(volume)),
            }
        }
        parts.sort_by_key(|part| part.start);
        let (mut ranges, mut at) = (Vec::new(), 0);
        let gap = |at: u64, end: u64| Range::open(at, end, "gap between partitions", &["gap"]);
        for part in parts {
            if part.start > at {
                ranges.push(gap(at, part.start));
            }
            at = at.max(part.start.saturating_add(part.size));
            match ranges.last_mut() {
                // A table of several parts that lie together is one.
                Some(last) if last.is_table() && part.is_table() => {
                    last.size = last.size.saturating_add(part.size);
                }
                _ => ranges.push(part),
            }
        }
        if at < self.disk.size() {
            ranges.push(gap(at, self.disk.size()));
        }
        ranges.retain(|range| range.size > 0);
        Ok(ranges)
    }
}

impl Account {
    /// The verdict on the disk, of which `root` is the verdict on the root.
    pub fn verdict(&self, root: Verdict) -> Verdict {
        match root {
            Verdict::Violated | Verdict::Undecided => root,
            Verdict::Verified | Verdict::Partial => {
                if self.differs().next().is_some() {
                    Verdict::Violated
                } else if self.complete {
                    root
                } else {
                    Verdict::Partial
                }
            }
        }
    }

    /// The reason why the verdict is not `verified`, in a line; none, if all ranges are known.
    pub fn reason(&self) -> Option<String> {
        if let Some(range) = self.differs().next() {
            return Some(format!("{} is not what was expected", range.what));
        }
        let open: Vec<_> = self.open().map(|range| range.what.as_str()).collect();
        match open[..] {
            [] => None,
            [first] => Some(format!("{first} was not looked at")),
            [first, ..] => Some(format!(
                "{first} was not looked at (and {} more)",
                open.len() - 1
            )),
        }
    }

    /// Ranges that nobody vouches for.
    pub fn open(&self) -> impl Iterator<Item = &Range> {
        self.ranges
            .iter()
            .filter(|range| range.status == Status::NotLookedAt)
    }

    fn differs(&self) -> impl Iterator<Item = &Range> {
        self.ranges
            .iter()
            .filter(|range| range.status == Status::Differs)
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = output::thousands(self.size);
        writeln!(f, "\ndisk: {}, {size} bytes", self.format)?;
        for range in &self.ranges {
            let size = output::size(range.size);
            writeln!(
                f,
                "  {:<14} {:>10}  {}",
                range.status.name(),
                size,
                range.what
            )?;
            for (name, digest) in [("expected", &range.expected), ("found", &range.sha256)] {
                if let Some(digest) = digest {
                    writeln!(f, "{:28} {name} {digest}", "")?;
                }
            }
            if let Some(reason) = &range.reason {
                writeln!(f, "{:28} {reason}", "")?;
            }
        }
        if self.open().next().is_some() {
            let hint = "vouch for a range: [[disk.expect]] or [[disk.ignore]] in earmark.toml, --expect or --ignore here";
            writeln!(f, "  next: {hint}")?;
        }
        Ok(())
    }
}

#[expect(clippy::ref_option, reason = "serde calls it so")]
fn as_text<S: Serializer>(digest: &Option<Sha256Digest>, serializer: S) -> Result<S::Ok, S::Error> {
    match digest {
        Some(digest) => serializer.collect_str(digest),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests;
