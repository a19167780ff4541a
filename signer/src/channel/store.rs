//! Store of a channel document. A write replaces only what was read.

mod file;
mod https;
mod s3;

use std::{fmt, path::PathBuf, str::FromStr};

use earmark_manifest::name::ChannelName;

use crate::{
    exit::{Exit, Failure, Outcome},
    io::output::quote,
};

/// A file, an `https://` URL, which is read only, or an object of S3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A file of this host.
    File(PathBuf),
    /// Read only.
    Https(https::Url),
    /// An object of S3, or of what speaks as S3 does.
    S3(s3::Object),
}

/// A document as it was found.
#[derive(Debug)]
pub struct Found {
    bytes: Vec<u8>,
    /// Entity tag of the object in S3. A file has none, and is compared byte by byte.
    tag: Option<String>,
}

/// Outcome of replacing a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It is there.
    Done,
    /// Another writer was faster: the document that was read is not there any more. Nothing was written.
    Overtaken,
}

impl Found {
    /// The document.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once("://") {
            Some(("file", path)) if path.starts_with('/') => Ok(Self::File(path.into())),
            Some(("https", _)) => Ok(Self::Https(https::Url::parse(text)?)),
            Some(("s3", rest)) => s3::Object::parse(rest).map(Self::S3),
            Some(_) => Err("expected a path, or a URL file:///, https:// or s3://".to_owned()),
            None if text.is_empty() => Err("expected a path or a URL".to_owned()),
            None => Ok(Self::File(text.into())),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.write_str(&quote(path)),
            Self::Https(_) | Self::S3(_) => write!(f, "'{}'", self.name()),
        }
    }
}

impl Location {
    /// As it was named, for machines.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.to_string_lossy().into_owned(),
            Self::Https(url) => url.to_string(),
            Self::S3(object) => object.to_string(),
        }
    }

    /// The document, if there is one.
    pub fn read(&self) -> Outcome<Option<Found>> {
        match self {
            Self::File(path) => file::read(path),
            Self::Https(url) => url.read(),
            Self::S3(object) => object.read(),
        }
    }

    /// The document, which must be there.
    pub fn need(&self) -> Outcome<Found> {
        self.read()?.ok_or_else(|| {
            Failure::new(Exit::Undecided, format!("no channel exists at {self}"))
                .next("earmark channel init makes one")
        })
    }

    /// Puts `document` in the place of what was found, or where nothing was.
    pub fn write(&self, document: &[u8], replaced: Option<&Found>) -> Outcome<Written> {
        match self {
            Self::File(path) => file::write(path, document, replaced),
            Self::Https(_) => Err(self.is_read_only()),
            Self::S3(object) => object.write(document, replaced),
        }
    }

    /// Refuses what cannot be written, before anything is done for it.
    pub fn must_be_writable(&self) -> Outcome<()> {
        match self {
            Self::Https(_) => Err(self.is_read_only()),
            Self::File(_) | Self::S3(_) => Ok(()),
        }
    }

    fn is_read_only(&self) -> Failure {
        Failure::new(Exit::Usage, format!("{self} is read-only"))
            .next("name the file or the s3:// object that this URL serves")
    }

    /// The channel that a document there is of, by its name: `stable` for `…/stable.json`.
    pub fn channel(&self) -> Option<ChannelName> {
        let name = match self {
            Self::File(path) => path.file_name()?.to_str()?,
            Self::Https(url) => url.as_str().rsplit('/').next()?,
            Self::S3(object) => object.key().rsplit('/').next()?,
        };
        name.strip_suffix(".json")?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channel_location_accepts_path_file_https_and_s3_only() {
        let parse = |text: &str| text.parse::<Location>();
        for (text, channel) in [
            ("web/stable.json", Some("stable")),
            ("file:///srv/web/stable.json", Some("stable")),
            (
                "https://releases.example.com/web/canary.json",
                Some("canary"),
            ),
            ("s3://releases/web/stable.json", Some("stable")),
            ("s3://releases/web/Stable.json", None),
            ("stable", None),
        ] {
            let found = parse(text).unwrap().channel().map(|name| name.to_string());
            assert_eq!(found.as_deref(), channel, "{text}");
        }
        for bad in [
            "",
            "http://releases.example.com/stable.json",
            "file://host/stable.json",
            "https://user@releases.example.com/stable.json",
            "https://",
            "s3://releases",
            "s3://releases/",
            "s3://releases/../x.json",
            "s3://releases/a b.json",
            "s3://Releases/stable.json",
            "gs://releases/stable.json",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let url = parse("https://releases.example.com/web/stable.json").unwrap();
        assert!(url.must_be_writable().is_err());
    }
}
