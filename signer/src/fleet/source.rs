//! Sources of reports, and the reading of all of them: bounded, a few at a time, none of them kept.

mod directory;
mod listing;
mod pace;
mod s3;

use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr};

use earmark_manifest::declaration::S3;

use super::{
    identity::Certificates,
    inventory::Inventory,
    report::{Seen, Taker, shown},
};
use crate::{aws::Bucket, exit::Outcome, io::output::quote};

/// A directory, or what the names of objects begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A directory of this host.
    Directory(PathBuf),
    /// `s3://BUCKET/PREFIX/`; the prefix is empty or ends in a slash.
    S3(Bucket, String),
}

/// Parameters of reading a source.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub now: u64,
    /// In seconds.
    pub silent_after: u64,
    pub certificates: Option<&'a Certificates>,
    pub inventory: Option<&'a Inventory>,
}

/// Result of reading sources.
#[derive(Debug, Default)]
pub struct Found {
    pub reports: Vec<Seen>,
    /// Names that were there.
    pub names: u64,
    /// Hosts whose last report is so old that it was not read.
    pub old: u64,
    /// Names that hold no report that counts: whoever may write there can leave such.
    pub unusable: Named,
    /// Names that could not be read, so that nobody knows what they say.
    pub unread: Named,
}

/// Things with a name and a reason: how many, and the first ones by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    count: u64,
    first: BTreeMap<Box<str>, Box<str>>,
}

/// Number of names that [`Named`] keeps, at most.
const NAMED: usize = 20;

impl Source {
    /// Reads every report that can matter.
    pub fn read(&self, asked: Asked<'_>) -> Outcome<Found> {
        match self {
            Self::Directory(path) => directory::read(path, asked),
            Self::S3(bucket, prefix) => s3::read(bucket, prefix, asked),
        }
    }
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once("://") {
            Some(("file", path)) if path.starts_with('/') => Ok(Self::Directory(path.into())),
            Some(("s3", rest)) => {
                let found: S3 = rest.parse()?;
                let bucket = Bucket::of(&found);
                let mut prefix = found.key;
                if !prefix.is_empty() && !prefix.ends_with('/') {
                    prefix.push('/');
                }
                Ok(Self::S3(bucket, prefix))
            }
            Some(("https", _)) => Err(
                "a web server cannot list reports: name the directory or the bucket that it writes \
                 them to"
                    .to_owned(),
            ),
            Some(_) => Err("expected a directory, or a URL file:/// or s3://".to_owned()),
            None if text.is_empty() => Err("expected a directory or a URL".to_owned()),
            None => Ok(Self::Directory(text.into())),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => f.write_str(&quote(path)),
            Self::S3(bucket, prefix) => write!(f, "'s3://{bucket}/{prefix}'"),
        }
    }
}

impl Found {
    /// With what was found elsewhere, too.
    pub fn merge(&mut self, other: Self) {
        self.reports.extend(other.reports);
        self.names += other.names;
        self.old += other.old;
        self.unusable.merge(other.unusable);
        self.unread.merge(other.unread);
    }

    fn take(&mut self, taker: &mut Taker<'_>, name: &str, bytes: &[u8]) {
        match taker.take(name, bytes) {
            Ok(seen) => self.reports.push(seen),
            Err(why) => self.unusable.add(name, &why),
        }
    }
}

impl Named {
    /// One more. The name is cleaned, the reason is one that can be shown.
    pub fn add(&mut self, name: &str, why: &str) {
        self.count += 1;
        self.keep(shown(name), why.into());
    }

    fn keep(&mut self, name: Box<str>, why: Box<str>) {
        self.first.insert(name, why);
        if self.first.len() > NAMED {
            self.first.pop_last();
        }
    }

    fn merge(&mut self, other: Self) {
        self.count += other.count;
        for (name, why) in other.first {
            self.keep(name, why);
        }
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn first(&self) -> impl Iterator<Item = (&str, &str)> {
        self.first.iter().map(|(name, why)| (&**name, &**why))
    }
}

/// Threads or requests at a time, and what each is given: a report, and one byte more to tell that it is longer.
const READ: usize = earmark_manifest::limits::REPORT + 1;

#[cfg(test)]
mod tests;
